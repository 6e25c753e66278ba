-- What a registry is, wherever its file or schema lies: answers that are kept elsewhere name it.
CREATE TABLE registry (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value TEXT COLLATE "C" NOT NULL
);
INSERT INTO registry VALUES ('identity', replace(gen_random_uuid()::text, '-', ''));

-- The best version of a node is read off this index, however many versions there are.
CREATE INDEX nodes_by_preference ON nodes (namespace, type, preference, version_order);
CREATE INDEX nodes_marked_best ON nodes (namespace, type) WHERE is_best = 1;

ALTER TABLE nodes ADD COLUMN yank_reason TEXT COLLATE "C";
UPDATE nodes SET yank_reason = (
    SELECT events.body::json ->> 'reason' FROM events
    WHERE events.object = nodes.type || '://' || nodes.namespace || '@' || nodes.version
      AND events.action = 'node.yanked'
    ORDER BY events.serial DESC LIMIT 1
) WHERE yanked = 1;

-- Which entry of the log added an origin: the first one of a node stays the first.
ALTER TABLE origins ADD COLUMN added BIGINT NOT NULL DEFAULT 0;
UPDATE origins SET added = additions.serial
FROM (
    SELECT body::json -> 'origin' ->> 'source' AS source,
           body::json -> 'origin' ->> 'path' AS path, max(serial) AS serial
    FROM events WHERE action IN ('node.registered', 'node.origin_added') GROUP BY 1, 2
) AS additions
WHERE additions.source = origins.source AND additions.path = origins.path;

-- What was decided of versions that no source offers now, for the day when one does again.
CREATE TABLE absent_decisions (
    namespace   TEXT COLLATE "C" NOT NULL,
    type        TEXT COLLATE "C" NOT NULL,
    version     TEXT COLLATE "C" NOT NULL,
    lifecycle   TEXT COLLATE "C" NOT NULL,
    yanked      INTEGER NOT NULL,
    yank_reason TEXT COLLATE "C",
    decision    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, type, version)
);
INSERT INTO absent_decisions
SELECT body::json #>> '{before,metadata,namespace}', body::json #>> '{before,metadata,type}',
       split_part(object, '@', 2), body::json #>> '{before,metadata,lifecycle}',
       CASE body::json #>> '{before,yanked}' WHEN 'true' THEN 1 ELSE 0 END, NULL,
       coalesce(body::json #>> '{before,decision}', 'null')
FROM events WHERE action = 'node.removed'
  AND serial = (SELECT max(later.serial) FROM events AS later
                WHERE later.object = events.object AND later.action LIKE 'node.%')
  AND (body::json #>> '{before,yanked}' = 'true'
       OR body::json #>> '{before,decision}' IS NOT NULL)
ON CONFLICT DO NOTHING;

-- Which scan of a source stored something last, and whether it stored all that it found.
CREATE TABLE scans (
    source      TEXT COLLATE "C" PRIMARY KEY,
    token       TEXT COLLATE "C" NOT NULL,
    is_complete INTEGER NOT NULL
);

-- The names and hashes of a node's files, so that a change can be named later.
ALTER TABLE seen_files ADD COLUMN files TEXT COLLATE "C" NOT NULL DEFAULT '';

-- A version without an origin was left behind by scans that overlapped.
DELETE FROM search WHERE rowid IN
    (SELECT id FROM nodes WHERE id NOT IN (SELECT node_id FROM origins));
DELETE FROM nodes WHERE id NOT IN (SELECT node_id FROM origins);
