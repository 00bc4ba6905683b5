#!/bin/bash -e

# The time zone, and the earliest time a node without a clock may believe in:
# systemd takes the date of this file as the floor.
ln -sfn "/usr/share/zoneinfo/${TIMEZONE_DEFAULT}" "${ROOTFS_DIR}/etc/localtime"
echo "${TIMEZONE_DEFAULT}" > "${ROOTFS_DIR}/etc/timezone"
touch --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}" "${ROOTFS_DIR}/usr/lib/clock-epoch"
