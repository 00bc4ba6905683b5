#!/bin/bash -e

# The keys that may log in, as root: there is no other user.
keys="${MOJOMAIL_SSH_KEYS:-${PUBKEY_SSH_FIRST_USER:-}}"
if [ -n "${keys}" ]; then
	install -m 700 -d "${ROOTFS_DIR}/root/.ssh"
	printf '%s\n' "${keys}" > "${ROOTFS_DIR}/root/.ssh/authorized_keys"
	chmod 600 "${ROOTFS_DIR}/root/.ssh/authorized_keys"
elif [ "${ENABLE_SSH:-0}" = 1 ]; then
	echo "ssh is switched on, but no public key is given: nobody could log in" >&2
	exit 1
fi
