"""The queries by which Postfix and Dovecot look things up, word for word as their configuration has them.

Postfix puts the address it looks for, lower-case, in place of `%s` (sqlite_table(5)); Dovecot puts what the person
typed, lower-case, in place of `%{user}`. Both quote it. A test runs each of them.
"""

from __future__ import annotations

POSTFIX = {
    "smtpd_sender_login_maps": "SELECT login FROM postfix_sender_login WHERE address = '%s'",
    "sender_dependent_relayhost_maps": "SELECT relayhost FROM postfix_relayhost WHERE address = '%s'",
    "sender_dependent_default_transport_maps": "SELECT transport FROM postfix_transport WHERE address = '%s'",
    "virtual_alias_maps": "SELECT recipients FROM postfix_alias WHERE address = '%s'",
    "virtual_mailbox_maps": "SELECT login FROM postfix_mailbox WHERE address = '%s'",
    "virtual_mailbox_domains": "SELECT domain FROM local_domain WHERE domain = '%s'",
}
"""By Postfix parameter; dbpath = /var/lib/mojomail/mojomail.db."""

DOVECOT_PASSDB = "SELECT login AS user, password, nologin, reason FROM dovecot_password WHERE name = '%{user | lower}'"
"""For /var/lib/mojomail/logins.db."""

DOVECOT_USERDB = "SELECT login AS user, uid, gid, home FROM dovecot_user WHERE name = '%{user | lower}'"
"""For /var/lib/mojomail/mojomail.db."""

DOVECOT_ITERATE = "SELECT login AS user FROM dovecot_user WHERE name = login"
"""All people, for `doveadm ... -A`; for /var/lib/mojomail/mojomail.db."""
