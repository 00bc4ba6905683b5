#!/bin/bash -e

# What packages made for themselves and must differ from node to node: keys of a certificate
# that nothing here uses, Roundcube's key (the webmail's is made on the first start).
rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem
rm -rf /etc/dovecot/private /etc/ssl/mojomail
rm -f /etc/roundcube/des_key /etc/roundcube/debian-db.php /etc/roundcube/debian-db-roundcube.php
rm -f /var/lib/dbconfig-common/sqlite3/roundcube/roundcube
find /var/lib/postfix /var/log/roundcube /var/lib/roundcube/temp -mindepth 1 -delete

# ucf keeps a copy of each configuration file that it made, Roundcube's with a key in it; ours are whole files.
rm -f /var/lib/ucf/cache/:etc:roundcube:* /var/lib/ucf/cache/:etc:dbconfig-common:*
sed -i -e '\# /etc/roundcube/#d' -e '\# /etc/dbconfig-common/#d' /var/lib/ucf/hashfile
rm -f /var/lib/ucf/hashfile.[0-9]* /var/lib/ucf/registry.[0-9]*
