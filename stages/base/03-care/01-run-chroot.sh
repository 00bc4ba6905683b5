#!/bin/bash -e

systemctl enable systemd-timesyncd.service

# Nothing fetches packages, scrubs or copies by itself on a metered link and a
# small card; the preset keeps it so when the packages are upgraded.
systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
