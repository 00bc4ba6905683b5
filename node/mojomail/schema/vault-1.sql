-- vault.db: what providers want to see, encrypted. Only root and the daemon read it.

CREATE TABLE secret (
    account INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('password', 'app-password', 'oauth2')),
    key_id TEXT NOT NULL,               -- which key of the ring it is encrypted with
    nonce BLOB NOT NULL,
    ciphertext BLOB NOT NULL,           -- AES-256-GCM; account and kind are its associated data
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (account)
);
