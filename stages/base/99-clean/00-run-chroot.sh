#!/bin/bash -e

# Nothing that must differ from node to node leaves in the image. The node makes
# all of it again: systemd, NetworkManager, and mojomail-first-secrets.service.
cd /

rm -f etc/ssh/ssh_host_*
rm -rf etc/ssh/.first-secrets
rm -f etc/hostid
rm -f etc/ssl/private/ssl-cert-snakeoil.key etc/ssl/certs/ssl-cert-snakeoil.pem
rm -f var/lib/systemd/random-seed var/lib/systemd/credential.secret
rm -f var/lib/systemd/timesync/clock
rm -rf var/lib/NetworkManager/* var/lib/ModemManager/*
rm -rf etc/NetworkManager/system-connections/*
rm -rf var/lib/dhcp/* var/log/journal/* var/tmp/*
rm -rf root/.ssh/known_hosts root/.gnupg root/.bash_history root/.rnd

# Empty, not missing: systemd makes the id and writes it down, and does not take
# this for a first boot in its own sense, which would enable units by preset.
: > etc/machine-id
chmod 644 etc/machine-id
if [ -d var/lib/dbus ]; then
	ln -sfn /etc/machine-id var/lib/dbus/machine-id
fi

# The caches that systemd would make anew on the first start, while somebody waits, are those of this build:
# systemd-update-done.service(8). Each package has brought its own up to date.
for place in etc var; do
	printf 'TIMESTAMP_NSEC=%s000000000\n' "${SOURCE_DATE_EPOCH:-$(date +%s)}" > "$place/.updated"
done
