-- The workflow itself, so that a run can go on; which process runs it, told from a later one
-- with the same number by its start; and the run that it repeats.
ALTER TABLE runs ADD COLUMN definition TEXT;
ALTER TABLE runs ADD COLUMN process_started TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN replay_of TEXT;

CREATE TABLE new_steps (
    run_id          TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id         TEXT NOT NULL,
    node            TEXT NOT NULL,
    status          TEXT NOT NULL,
    started_seconds REAL,
    seconds         REAL NOT NULL,
    attempts        INTEGER NOT NULL,
    input_digest    TEXT,
    cache_key       TEXT,
    cached_from     TEXT,
    cache_note      TEXT,
    isolation       TEXT,
    output          TEXT,
    error           TEXT,
    log             TEXT NOT NULL,
    PRIMARY KEY (run_id, step_id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_steps
SELECT run_id, step_id, json_extract(record, '$.node'), status,
       json_extract(record, '$.started_seconds'), json_extract(record, '$.seconds'),
       json_extract(record, '$.attempts'), NULL, NULL,
       CASE json_extract(record, '$.cached') WHEN 1 THEN '' END,
       json_extract(record, '$.cache_note'), json_extract(record, '$.isolation'), output,
       json_extract(record, '$.error'), coalesce(json_extract(record, '$.log'), '')
FROM steps;
DROP TABLE steps;
ALTER TABLE new_steps RENAME TO steps;

-- Which call of which run gave, or took from the cache, which artifact.
CREATE TABLE artifacts (
    digest  TEXT NOT NULL,
    run_id  TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    name    TEXT NOT NULL,
    PRIMARY KEY (digest, run_id, step_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX artifacts_by_run ON artifacts (run_id);
INSERT OR IGNORE INTO artifacts
SELECT found.atom, steps.run_id, steps.step_id,
       coalesce(json_extract(steps.output, found.path || '.name'), '')
FROM steps, json_tree(steps.output) AS found
WHERE instr(steps.output, '$artifact') > 0 AND found.key = '$artifact';

-- How long the calls of a node took in a run, for forecasts.
CREATE TABLE timings (
    digest  TEXT NOT NULL,
    run_id  TEXT NOT NULL REFERENCES runs (run_id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    calls   INTEGER NOT NULL,
    seconds REAL NOT NULL,
    PRIMARY KEY (digest, run_id, step_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX timings_by_run ON timings (run_id);
