#!/bin/bash -e

systemctl enable mojomail-firstboot.service mojomail-tv.service

# The first screen is theirs; a login prompt, where nobody can log in, is on the second one. Masked, since logind would
# start it all the same on the screen that is shown (logind.conf(5), NAutoVTs=).
systemctl disable getty@tty1.service
systemctl mask getty@tty1.service
