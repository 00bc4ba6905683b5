-- logins.db: who may log in, by which names and with which password. Only Dovecot reads it: hashes can be guessed at.

CREATE TABLE login (
    uid INTEGER PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL,                 -- {ARGON2ID}$argon2id$..., as Dovecot spells it
    locked_at INTEGER,                  -- seconds since 1970; NULL is not locked
    changed_at INTEGER NOT NULL
);

-- The login and every address of its person, lower-case; kept in step with mojomail.db by each change there.
CREATE TABLE name (
    name TEXT PRIMARY KEY,
    uid INTEGER NOT NULL
) WITHOUT ROWID;

-- passdb. Who is locked out is not in it: Dovecot's `nologin` would keep such a person out of IMAP and POP3, but
-- Postfix takes any OK of Dovecot's for a login (xsasl_dovecot_server.c), and would go on sending. The columns of that
-- name are there for a passdb that knows the protocol, and NULL.
CREATE VIEW dovecot_password (name, login, password, nologin, reason) AS
    SELECT name, login, hash, NULL, NULL FROM name JOIN login USING (uid) WHERE locked_at IS NULL;
