#!/bin/bash -e

packages="${ROOTFS_DIR}/usr/lib/python3/dist-packages"
rm -rf "${packages}/firstboot"
install -d -m 755 "${packages}"
cp -R --no-preserve=ownership "${STAGE_DIR}/../../firstboot" "${packages}/firstboot"
find "${packages}/firstboot" -name __pycache__ -prune -exec rm -rf {} +
chmod -R u=rwX,go=rX "${packages}/firstboot"
