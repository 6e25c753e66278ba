-- Tokens follow from a few entries of the log, found without reading the others.
CREATE INDEX events_of_tokens ON events (serial)
WHERE action IN ('token.created', 'token.revoked');

-- When each token was used last, to the minute. It is no entry of the log, which has what was done.
CREATE TABLE token_uses (
    token   TEXT COLLATE "C" PRIMARY KEY,
    used_at TEXT NOT NULL
);
