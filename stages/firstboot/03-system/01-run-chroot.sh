#!/bin/bash -e

systemctl enable mojomail-firstboot.service mojomail-tv.service

# The first screen is theirs; a login prompt, where nobody can log in, is on the second one.
systemctl disable getty@tty1.service
