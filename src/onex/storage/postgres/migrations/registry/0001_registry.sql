-- The one log. Every other table of this database is a projection of it or a scan's memory.
CREATE TABLE events (
    serial        BIGINT PRIMARY KEY,
    time          TEXT COLLATE "C" NOT NULL,
    actor         TEXT COLLATE "C" NOT NULL,
    action        TEXT COLLATE "C" NOT NULL,
    object        TEXT COLLATE "C" NOT NULL,
    outcome       TEXT COLLATE "C" NOT NULL,
    body          TEXT COLLATE "C" NOT NULL,
    previous_hash TEXT COLLATE "C" NOT NULL,
    hash          TEXT COLLATE "C" NOT NULL
);
CREATE INDEX events_by_object ON events (object);

CREATE TABLE nodes (
    id            BIGINT PRIMARY KEY,
    type          TEXT COLLATE "C" NOT NULL,
    namespace     TEXT COLLATE "C" NOT NULL,
    version       TEXT COLLATE "C" NOT NULL,
    version_order TEXT COLLATE "C" NOT NULL,
    sort_key      TEXT COLLATE "C" NOT NULL UNIQUE,
    preference    INTEGER NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    uuid          TEXT COLLATE "C",
    lifecycle     TEXT COLLATE "C" NOT NULL,
    author        TEXT COLLATE "C" NOT NULL,
    description   TEXT COLLATE "C" NOT NULL,
    digest        TEXT COLLATE "C" NOT NULL,
    registered_at TEXT COLLATE "C" NOT NULL,
    yanked        INTEGER NOT NULL DEFAULT 0,
    decision      TEXT COLLATE "C" NOT NULL DEFAULT 'null',
    is_best       INTEGER NOT NULL DEFAULT 1,
    body          TEXT COLLATE "C" NOT NULL,
    UNIQUE (namespace, type, version)
);
CREATE INDEX nodes_by_name ON nodes (name);
CREATE INDEX nodes_by_uuid ON nodes (uuid, namespace, type);
CREATE INDEX nodes_best ON nodes (sort_key, namespace, name, lifecycle, is_best)
    WHERE is_best = 1;
CREATE INDEX nodes_best_by_type ON nodes (type, lifecycle) WHERE is_best = 1;

CREATE TABLE labels (
    kind     TEXT COLLATE "C" NOT NULL,
    value    TEXT COLLATE "C" NOT NULL,
    sort_key TEXT COLLATE "C" NOT NULL,
    is_best  INTEGER NOT NULL DEFAULT 1,
    node_id  BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (kind, value, sort_key)
);
CREATE INDEX labels_by_node ON labels (node_id);
CREATE INDEX labels_best ON labels (kind, value) WHERE is_best = 1;

CREATE TABLE origins (
    source  TEXT COLLATE "C" NOT NULL,
    path    TEXT COLLATE "C" NOT NULL,
    node_id BIGINT NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (source, path)
);
CREATE INDEX origins_by_node ON origins (node_id);

CREATE TABLE search (
    rowid    BIGINT PRIMARY KEY,
    document TSVECTOR NOT NULL
);
CREATE INDEX search_by_word ON search USING gin (document);

-- Words of names and tags, from which other spellings of a mistyped word are found.
CREATE TABLE words (
    word   TEXT COLLATE "C" PRIMARY KEY,
    length INTEGER NOT NULL
);
CREATE INDEX words_by_length ON words (length, word);

-- What the last scan of a source saw at each path, so that an unchanged file is not read again.
CREATE TABLE seen_files (
    source      TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    fingerprint TEXT COLLATE "C" NOT NULL,
    outcome     TEXT COLLATE "C" NOT NULL,
    problems    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (source, path)
);

-- What the last scan of a source saw of each folder, so that an unchanged one is not listed again.
CREATE TABLE folders (
    source      TEXT COLLATE "C" NOT NULL,
    path        TEXT COLLATE "C" NOT NULL,
    stamp       BYTEA NOT NULL,
    rules       BYTEA NOT NULL,
    files       TEXT COLLATE "C" NOT NULL,
    folders     TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    PRIMARY KEY (source, path)
);
