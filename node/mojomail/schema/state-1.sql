-- state.db: what the daemon has seen, written often and read by nobody else. If it is lost nothing is lost but history.

-- The last word from an account's provider. `finding` is the key of a text in the catalogue.
CREATE TABLE contact (
    account INTEGER PRIMARY KEY,
    tested_at INTEGER,                  -- last time both servers were asked; NULL is "not tested yet"
    imap_finding TEXT,
    smtp_finding TEXT,
    details TEXT NOT NULL DEFAULT '{}', -- JSON, for the texts: host, port, what the server said
    tried_at INTEGER,                   -- last sync run
    synced_at INTEGER,                  -- last sync run that went well
    failures INTEGER NOT NULL DEFAULT 0,-- since then
    trouble TEXT,                       -- finding of the last run that failed
    next_at INTEGER                     -- not before
);

-- What became of each mail that was handed in.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id TEXT NOT NULL UNIQUE,
    uid INTEGER NOT NULL,
    account INTEGER,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,           -- JSON: {address: [state, what was said]}
    size INTEGER NOT NULL,              -- bytes
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'sending', 'sent', 'refused', 'cancelled')),
    reason TEXT,                        -- what the provider said
    submitted_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
);
CREATE INDEX outbox_owner ON outbox (uid, changed_at);

-- How far Postfix's log in the journal has been read.
CREATE TABLE log_read (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cursor TEXT NOT NULL
);
