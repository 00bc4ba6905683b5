#!/bin/bash -e

systemd-sysusers mojomail-relay.conf
systemctl enable mojomaild.service mojomail-prepare.service mojomail-relay.socket
