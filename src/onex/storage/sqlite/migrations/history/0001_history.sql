CREATE TABLE runs (
    run_id           TEXT PRIMARY KEY,
    workflow         TEXT NOT NULL,
    status           TEXT NOT NULL,
    started_at       TEXT NOT NULL,
    process_id       INTEGER NOT NULL,
    seconds          REAL,
    overhead_seconds REAL,
    plan             TEXT NOT NULL,
    inputs           TEXT NOT NULL,
    outputs          TEXT,
    error            TEXT
) STRICT;
CREATE INDEX runs_by_start ON runs (started_at);

CREATE TABLE steps (
    run_id  TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    status  TEXT NOT NULL,
    record  TEXT NOT NULL,
    output  TEXT,
    PRIMARY KEY (run_id, step_id)
) STRICT, WITHOUT ROWID;

-- Results of idempotent nodes, by digest of the node and of all that went in.
CREATE TABLE cached_results (
    key       TEXT PRIMARY KEY,
    node      TEXT NOT NULL,
    output    TEXT NOT NULL,
    stored_at TEXT NOT NULL,
    run_id    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
