-- What a registry shows for a version, as JSON, and how far it can be trusted by that and its origins.
ALTER TABLE nodes ADD COLUMN evidence TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN trust TEXT NOT NULL DEFAULT 'local';
UPDATE nodes SET trust = 'unverified' WHERE NOT EXISTS (
    SELECT 1 FROM origins WHERE node_id = nodes.id AND NOT path LIKE 'archive:%'
);
CREATE INDEX nodes_best_by_trust ON nodes (trust) WHERE is_best = 1;

-- Owners of namespaces follow from a few entries of the log, found without reading the others.
CREATE INDEX events_of_owners ON events (serial)
WHERE action IN ('namespace.owners', 'namespace.seen', 'key.pinned', 'key.unpinned');

-- What was signed of the index, by role and version; it follows from the log and from keys.
CREATE TABLE signed_metadata (
    role    TEXT NOT NULL,
    version INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (role, version)
) STRICT;

-- Copies keep the identity of a registry, and have an instance of their own.
INSERT INTO registry VALUES ('instance', lower(hex(randomblob(16))));

-- Advisories follow from a few entries of the log, too.
CREATE INDEX events_of_advisories ON events (serial)
WHERE action IN ('advisory.published', 'advisory.seen');
