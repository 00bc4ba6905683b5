#!/bin/bash -e

# Host keys are made by mojomail-first-secrets.service, on each node its own.
systemctl disable ssh.socket sshd-keygen.service
if [ "${ENABLE_SSH:-0}" = 1 ]; then
	systemctl enable ssh.service
else
	systemctl disable ssh.service
fi
