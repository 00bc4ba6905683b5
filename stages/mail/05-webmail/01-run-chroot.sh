#!/bin/bash -e

# nginx.conf and the pool webmail.conf are all there is.
rm -f /etc/nginx/sites-enabled/default /etc/php/8.4/fpm/pool.d/www.conf
install -d -m 755 /etc/nginx/mojomail.d

# Roundcube looks for plugins where Debian links them.
ln -sfn /usr/share/roundcube/plugins/mojomail_status /var/lib/roundcube/plugins/mojomail_status

# Nothing for them to do: there are no caches, and old files go by tmpfiles.d and the pool's own rule.
systemctl disable phpsessionclean.timer roundcube-gc.timer roundcube-cleandb.timer
systemctl enable nginx.service php8.4-fpm.service
