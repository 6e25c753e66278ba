-- What a registry is, wherever its file or schema lies: answers that are kept elsewhere name it.
CREATE TABLE registry (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO registry VALUES ('identity', lower(hex(randomblob(16))));

-- The best version of a node is read off this index, however many versions there are.
CREATE INDEX nodes_by_preference ON nodes (namespace, type, preference, version_order);
CREATE INDEX nodes_marked_best ON nodes (namespace, type) WHERE is_best = 1;

ALTER TABLE nodes ADD COLUMN yank_reason TEXT;
UPDATE nodes SET yank_reason = (
    SELECT json_extract(events.body, '$.reason') FROM events
    WHERE events.object = nodes.type || '://' || nodes.namespace || '@' || nodes.version
      AND events.action = 'node.yanked'
    ORDER BY events.serial DESC LIMIT 1
) WHERE yanked = 1;

-- Which entry of the log added an origin: the first one of a node stays the first.
ALTER TABLE origins ADD COLUMN added INTEGER NOT NULL DEFAULT 0;
CREATE TEMP TABLE additions AS
    SELECT json_extract(body, '$.origin.source') AS source,
           json_extract(body, '$.origin.path') AS path, max(serial) AS serial
    FROM events WHERE action IN ('node.registered', 'node.origin_added') GROUP BY 1, 2;
CREATE INDEX temp.additions_by_origin ON additions (source, path);
UPDATE origins SET added = coalesce((
    SELECT additions.serial FROM additions
    WHERE additions.source = origins.source AND additions.path = origins.path
), 0);
DROP TABLE additions;

-- What was decided of versions that no source offers now, for the day when one does again.
CREATE TABLE absent_decisions (
    namespace   TEXT NOT NULL,
    type        TEXT NOT NULL,
    version     TEXT NOT NULL,
    lifecycle   TEXT NOT NULL,
    yanked      INTEGER NOT NULL,
    yank_reason TEXT,
    decision    TEXT NOT NULL,
    PRIMARY KEY (namespace, type, version)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO absent_decisions
SELECT json_extract(body, '$.before.metadata.namespace'),
       json_extract(body, '$.before.metadata.type'),
       substr(object, instr(object, '@') + 1),
       json_extract(body, '$.before.metadata.lifecycle'),
       json_extract(body, '$.before.yanked'), NULL,
       coalesce(json(json_extract(body, '$.before.decision')), 'null')
FROM events WHERE action = 'node.removed'
  AND serial = (SELECT max(later.serial) FROM events AS later
                WHERE later.object = events.object AND later.action LIKE 'node.%')
  AND (json_extract(body, '$.before.yanked') = 1
       OR json_extract(body, '$.before.decision') IS NOT NULL);

-- Which scan of a source stored something last, and whether it stored all that it found.
CREATE TABLE scans (
    source      TEXT PRIMARY KEY,
    token       TEXT NOT NULL,
    is_complete INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The names and hashes of a node's files, so that a change can be named later.
ALTER TABLE seen_files ADD COLUMN files TEXT NOT NULL DEFAULT '';

-- A version without an origin was left behind by scans that overlapped.
DELETE FROM search WHERE rowid IN
    (SELECT id FROM nodes WHERE id NOT IN (SELECT node_id FROM origins));
DELETE FROM nodes WHERE id NOT IN (SELECT node_id FROM origins);
