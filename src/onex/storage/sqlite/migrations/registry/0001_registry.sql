-- In tables WITHOUT ROWID the columns of the key come first: some SQLite versions report a
-- sound STRICT table as damaged otherwise.

-- The one log. Every other table of this database is a projection of it or a scan's memory.
CREATE TABLE events (
    serial        INTEGER PRIMARY KEY,
    time          TEXT NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL,
    object        TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    body          TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash          TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_object ON events (object);

CREATE TABLE nodes (
    id            INTEGER PRIMARY KEY,
    type          TEXT NOT NULL,
    namespace     TEXT NOT NULL,
    version       TEXT NOT NULL,
    version_order TEXT NOT NULL,
    sort_key      TEXT NOT NULL UNIQUE,
    preference    INTEGER NOT NULL,
    name          TEXT NOT NULL,
    uuid          TEXT,
    lifecycle     TEXT NOT NULL,
    author        TEXT NOT NULL,
    description   TEXT NOT NULL,
    digest        TEXT NOT NULL,
    registered_at TEXT NOT NULL,
    yanked        INTEGER NOT NULL DEFAULT 0,
    decision      TEXT NOT NULL DEFAULT 'null',
    is_best       INTEGER NOT NULL DEFAULT 1,
    body          TEXT NOT NULL,
    UNIQUE (namespace, type, version)
) STRICT;
CREATE INDEX nodes_by_name ON nodes (name);
CREATE INDEX nodes_by_uuid ON nodes (uuid, namespace, type);
CREATE INDEX nodes_best ON nodes (sort_key, namespace, name, lifecycle, is_best)
    WHERE is_best = 1;
CREATE INDEX nodes_best_by_type ON nodes (type, lifecycle) WHERE is_best = 1;

CREATE TABLE labels (
    kind     TEXT NOT NULL,
    value    TEXT NOT NULL,
    sort_key TEXT NOT NULL,
    is_best  INTEGER NOT NULL DEFAULT 1,
    node_id  INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, value, sort_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_node ON labels (node_id);

CREATE TABLE origins (
    source  TEXT NOT NULL,
    path    TEXT NOT NULL,
    node_id INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
CREATE INDEX origins_by_node ON origins (node_id);

CREATE VIRTUAL TABLE search USING fts5 (name, tags, description, readme);

-- Words of names and tags, from which other spellings of a mistyped word are found.
CREATE TABLE words (
    word   TEXT PRIMARY KEY,
    length INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX words_by_length ON words (length, word);

-- What the last scan of a source saw at each path, so that an unchanged file is not read again.
CREATE TABLE seen_files (
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    problems    TEXT NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;

-- What the last scan of a source saw of each folder, so that an unchanged one is not listed again.
CREATE TABLE folders (
    source      TEXT NOT NULL,
    path        TEXT NOT NULL,
    stamp       BLOB NOT NULL,
    rules       BLOB NOT NULL,
    files       TEXT NOT NULL,
    folders     TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;
