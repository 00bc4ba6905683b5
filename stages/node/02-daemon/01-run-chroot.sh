#!/bin/bash -e

systemd-sysusers mojomail-relay.conf mojomail-sender.conf
systemctl enable mojomaild.service mojomail-prepare.service mojomail-relay.socket \
	mojomail-sender.socket

# Compiled now: a person's run cannot keep what it compiles, and would do it anew each time. By content, so that the
# same source is the same file.
python3 -m compileall -q --invalidation-mode unchecked-hash /usr/lib/python3/dist-packages/mojomail
