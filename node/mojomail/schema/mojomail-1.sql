-- mojomail.db: who lives here and which accounts they have. Postfix and Dovecot read it, so it holds no secret.
-- Times are seconds since 1970 (UTC). Addresses are kept as written, and lower-case with the domain in both spellings
-- of IDNA (address_ascii: xn--..., address_unicode), since mail may carry either.

CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The uid is the key. AUTOINCREMENT never gives a number twice, also when its person is gone.
CREATE TABLE person (
    uid INTEGER PRIMARY KEY AUTOINCREMENT CHECK (uid BETWEEN 20001 AND 59999),
    login TEXT NOT NULL UNIQUE CHECK (login <> '' AND login NOT GLOB '*[^a-z0-9.-]*'),
    name TEXT NOT NULL,
    language TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
INSERT INTO sqlite_sequence (name, seq) VALUES ('person', 20000);

-- Whose mail may still lie in /srv/mail/<uid>; `erase` is 1 while it has yet to be erased.
CREATE TABLE former_person (
    uid INTEGER PRIMARY KEY,
    login TEXT NOT NULL,
    name TEXT NOT NULL,
    removed_at INTEGER NOT NULL,
    erase INTEGER NOT NULL DEFAULT 0 CHECK (erase IN (0, 1))
);

CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid INTEGER NOT NULL REFERENCES person (uid) ON DELETE CASCADE,
    position INTEGER NOT NULL,                  -- 1 is the address a person sends from unless another is chosen
    address TEXT NOT NULL,
    address_ascii TEXT NOT NULL UNIQUE,
    address_unicode TEXT NOT NULL UNIQUE,
    sender_name TEXT NOT NULL DEFAULT '',       -- '' means the person's name
    provider TEXT NOT NULL,
    secret_kind TEXT NOT NULL CHECK (secret_kind IN ('password', 'app-password', 'oauth2')),
    imap_host TEXT NOT NULL,
    imap_port INTEGER NOT NULL CHECK (imap_port BETWEEN 1 AND 65535),
    imap_tls TEXT NOT NULL CHECK (imap_tls IN ('tls', 'starttls')),
    imap_user TEXT NOT NULL,
    smtp_host TEXT NOT NULL,
    smtp_port INTEGER NOT NULL CHECK (smtp_port BETWEEN 1 AND 65535),
    smtp_tls TEXT NOT NULL CHECK (smtp_tls IN ('tls', 'starttls')),
    smtp_user TEXT NOT NULL,
    folder TEXT NOT NULL,                       -- where its mail lies in the person's mailbox; '' is the root
    remote_sent TEXT NOT NULL,                  -- the provider's own folder names by role; '' where it has none
    remote_drafts TEXT NOT NULL,
    remote_trash TEXT NOT NULL,
    remote_junk TEXT NOT NULL,
    remote_archive TEXT NOT NULL,
    synced TEXT NOT NULL DEFAULT 'INBOX',       -- the provider's folders that are fetched, one a line
    files_sent INTEGER NOT NULL CHECK (files_sent IN (0, 1)),               -- it files what it sends by itself
    realdelete INTEGER NOT NULL DEFAULT 0 CHECK (realdelete IN (0, 1)),     -- deletions go to the provider
    village_copy INTEGER NOT NULL DEFAULT 1 CHECK (village_copy IN (0, 1)), -- mail from the village goes there too
    paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),             -- nothing is fetched
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX account_folder ON account (uid, folder);
CREATE INDEX account_order ON account (uid, position);

-- Which folder an address of a person has or had. Another account never gets it: the mail in it would be taken for
-- new mail and sent up to the other provider.
CREATE TABLE used_folder (
    uid INTEGER NOT NULL,
    folder TEXT NOT NULL,
    address_ascii TEXT NOT NULL,
    PRIMARY KEY (uid, folder)
) WITHOUT ROWID;

-- What follows is for other programs: names and columns stay as they are.

CREATE VIEW local_domain (domain) AS
    SELECT value || '.home.arpa' FROM setting WHERE name = 'node';

-- Every address of every person, in each spelling, with where its mail goes.
CREATE VIEW every_address (address, uid, login, account, folder, village_copy) AS
    SELECT account.address_ascii, uid, login, account.id, folder, village_copy FROM account JOIN person USING (uid)
    UNION
    SELECT account.address_unicode, uid, login, account.id, folder, village_copy FROM account JOIN person USING (uid)
    UNION
    SELECT login || '@' || domain, uid, login, NULL, '', 0 FROM person, local_domain;

-- smtpd_sender_login_maps: who may send from an address.
CREATE VIEW postfix_sender_login (address, login) AS
    SELECT address, login FROM every_address;

-- sender_dependent_relayhost_maps: the nexthop, as the TLS policy and the password lookup see it.
CREATE VIEW postfix_relayhost (address, relayhost) AS
    SELECT every_address.address, '[' || smtp_host || ']:' || smtp_port FROM every_address JOIN account ON account.id = account;

-- sender_dependent_default_transport_maps: `relay465` speaks TLS from the first byte, `smtp` asks for it by STARTTLS;
-- who logs in by token goes by way of mojomail-relay, which knows the provider by itself.
CREATE VIEW postfix_transport (address, transport) AS
    SELECT every_address.address,
           iif(secret_kind = 'oauth2', 'oauth:unix:/run/mojomail/relay',
               iif(smtp_tls = 'tls', 'relay465', 'smtp') || ':[' || smtp_host || ']:' || smtp_port)
    FROM every_address JOIN account ON account.id = account;

-- virtual_alias_maps: mail to anybody of this node stays here. `mailbox` is the one local address of the person.
-- `copy` is the address once more where its provider gets a copy later, else NULL; `recipients` is both, as Postfix
-- takes them. `folder` is where mail to that address lies ('' is the root).
CREATE VIEW postfix_alias (address, login, mailbox, copy, recipients, folder) AS
    SELECT address, login, login || '@' || domain, iif(village_copy, address, NULL),
           login || '@' || domain || iif(village_copy, ', ' || address, ''), folder
    FROM every_address, local_domain WHERE account IS NOT NULL;

-- virtual_mailbox_maps (or relay_recipient_maps) of the local domain: which mailboxes there are.
CREATE VIEW postfix_mailbox (address, login) AS
    SELECT login || '@' || domain, login FROM person, local_domain;

-- userdb. `name` is what may stand for the person: the login, or any of the addresses. Who is locked out still gets
-- mail, so this does not look at locks.
CREATE VIEW dovecot_user (name, login, uid, gid, home, language) AS
    SELECT login, login, uid, uid, '/srv/mail/' || uid, language FROM person
    UNION
    SELECT address, person.login, uid, uid, '/srv/mail/' || uid, language FROM every_address JOIN person USING (uid);

-- The folders of accounts behind the first, for those who show or make them.
CREATE VIEW dovecot_folder (login, position, folder, address, account) AS
    SELECT login, position, folder, address, account.id FROM account JOIN person USING (uid) WHERE folder <> '';

-- The senders a person can choose from, the usual one first (position 1).
CREATE VIEW webmail_identity (login, position, address, name, language) AS
    SELECT login, position, address, iif(sender_name = '', name, sender_name), language
    FROM account JOIN person USING (uid)
    UNION ALL
    SELECT login, 1000, login || '@' || domain, name, language FROM person, local_domain
    WHERE uid NOT IN (SELECT uid FROM account);
