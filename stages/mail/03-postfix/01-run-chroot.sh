#!/bin/bash -e

# The group that may look people up, and its members.
systemd-sysusers mojomail-mail.conf

# Postfix's chroot is not used, so there is nothing to copy into it.
systemctl disable postfix-resolvconf.path
systemctl enable postfix.service
