-- Sources are told apart by the workspace that scans them, too.
CREATE TABLE new_origins (
    source    TEXT NOT NULL,
    workspace TEXT NOT NULL,
    path      TEXT NOT NULL,
    node_id   INTEGER NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    added     INTEGER NOT NULL,
    PRIMARY KEY (source, workspace, path)
) STRICT, WITHOUT ROWID;
INSERT INTO new_origins SELECT source, '', path, node_id, added FROM origins;
DROP TABLE origins;
ALTER TABLE new_origins RENAME TO origins;
CREATE INDEX origins_by_node ON origins (node_id);

CREATE TABLE new_seen_files (
    source      TEXT NOT NULL,
    workspace   TEXT NOT NULL,
    path        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    problems    TEXT NOT NULL,
    files       TEXT NOT NULL,
    PRIMARY KEY (source, workspace, path)
) STRICT, WITHOUT ROWID;
INSERT INTO new_seen_files
SELECT source, '', path, fingerprint, outcome, problems, files FROM seen_files;
DROP TABLE seen_files;
ALTER TABLE new_seen_files RENAME TO seen_files;

CREATE TABLE new_folders (
    source      TEXT NOT NULL,
    workspace   TEXT NOT NULL,
    path        TEXT NOT NULL,
    stamp       BLOB NOT NULL,
    rules       BLOB NOT NULL,
    files       TEXT NOT NULL,
    folders     TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    PRIMARY KEY (source, workspace, path)
) STRICT, WITHOUT ROWID;
INSERT INTO new_folders
SELECT source, '', path, stamp, rules, files, folders, fingerprint FROM folders;
DROP TABLE folders;
ALTER TABLE new_folders RENAME TO folders;

CREATE TABLE new_scans (
    source      TEXT NOT NULL,
    workspace   TEXT NOT NULL,
    token       TEXT NOT NULL,
    is_complete INTEGER NOT NULL,
    PRIMARY KEY (source, workspace)
) STRICT, WITHOUT ROWID;
INSERT INTO new_scans SELECT source, '', token, is_complete FROM scans;
DROP TABLE scans;
ALTER TABLE new_scans RENAME TO scans;
