#!/bin/bash -e

# One whole file is the configuration; Debian's pieces are not read.
rm -rf /etc/dovecot/conf.d
install -d -m 755 /srv/mail
systemctl disable dovecot.socket
systemctl enable dovecot.service
