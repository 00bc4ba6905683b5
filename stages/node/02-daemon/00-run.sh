#!/bin/bash -e

"${STAGE_DIR}/../install-overlay"

# The Python package, as it lies in the tree.
target="${ROOTFS_DIR}/usr/lib/python3/dist-packages/mojomail"
rm -rf "${target}"
install -d -m 755 "${target%/*}"
cp -R "${STAGE_DIR}/../../node/mojomail" "${target}"
find "${target}" -name __pycache__ -prune -exec rm -rf {} +
find "${target}" -type d -exec chmod 755 {} +
find "${target}" -type f -exec chmod 644 {} +
if [ "$(id -u)" = 0 ]; then
	chown -R root:root "${target}"
fi
