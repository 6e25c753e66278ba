-- The history of runs, as SQLite has it in a file of its own. Who runs a run holds it by a lease,
-- which lasts until `held_until` and is renewed while the run lasts.
CREATE TABLE runs (
    run_id           TEXT COLLATE "C" PRIMARY KEY,
    workflow         TEXT NOT NULL,
    status           TEXT NOT NULL,
    started_at       TEXT COLLATE "C" NOT NULL,
    seconds          DOUBLE PRECISION,
    overhead_seconds DOUBLE PRECISION,
    replay_of        TEXT,
    definition       TEXT,
    plan             TEXT NOT NULL,
    inputs           TEXT NOT NULL,
    outputs          TEXT,
    error            TEXT,
    holder           TEXT NOT NULL,
    held_until       TIMESTAMPTZ NOT NULL,
    cancel_asked     BOOLEAN NOT NULL DEFAULT false
);
CREATE INDEX runs_by_start ON runs (started_at DESC, run_id);
CREATE INDEX runs_running ON runs (run_id) WHERE status = 'running';

CREATE TABLE steps (
    run_id          TEXT COLLATE "C" NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id         TEXT COLLATE "C" NOT NULL,
    node            TEXT NOT NULL,
    status          TEXT NOT NULL,
    started_seconds DOUBLE PRECISION,
    seconds         DOUBLE PRECISION NOT NULL,
    attempts        BIGINT NOT NULL,
    input_digest    TEXT,
    cache_key       TEXT COLLATE "C",
    cached_from     TEXT,
    cache_note      TEXT,
    isolation       TEXT,
    output          TEXT,
    error           TEXT,
    log             TEXT NOT NULL,
    in_flight       BIGINT NOT NULL,
    PRIMARY KEY (run_id, step_id)
);
CREATE INDEX steps_by_used_key ON steps (cache_key) WHERE cached_from IS NOT NULL;

-- The starts of calls that must not be made twice, and of others while they last.
CREATE TABLE starts (
    run_id     TEXT COLLATE "C" NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    call_id    TEXT COLLATE "C" NOT NULL,
    started_at DOUBLE PRECISION,
    PRIMARY KEY (run_id, call_id)
);

CREATE TABLE cached_results (
    key       TEXT COLLATE "C" PRIMARY KEY,
    node      TEXT NOT NULL,
    output    TEXT NOT NULL,
    stored_at TEXT NOT NULL,
    run_id    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX cached_results_by_run ON cached_results (run_id);

CREATE TABLE artifacts (
    digest  TEXT COLLATE "C" NOT NULL,
    run_id  TEXT COLLATE "C" NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id TEXT COLLATE "C" NOT NULL,
    name    TEXT NOT NULL,
    PRIMARY KEY (digest, run_id, step_id, name)
);
CREATE INDEX artifacts_by_run ON artifacts (run_id);

CREATE TABLE timings (
    digest  TEXT COLLATE "C" NOT NULL,
    run_id  TEXT COLLATE "C" NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id TEXT COLLATE "C" NOT NULL,
    calls   BIGINT NOT NULL,
    seconds DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (digest, run_id, step_id)
);
CREATE INDEX timings_by_run ON timings (run_id);
