-- Every three characters in a row of names: parts of names are found by them.
CREATE FUNCTION parts_of(whole TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT coalesce(array_agg(DISTINCT substr(whole, place, 3)), '{}')
    FROM generate_series(1, length(whole) - 2) AS place
$$;
CREATE TABLE name_parts (
    rowid     BIGINT PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL,
    name      TEXT COLLATE "C" NOT NULL,
    parts     TEXT[] NOT NULL
);
INSERT INTO name_parts
SELECT id, namespace, name, parts_of(namespace || '/' || name) FROM nodes;
CREATE INDEX name_parts_by_part ON name_parts USING gin (parts);

-- Pages by type or author are read in the order of listings.
DROP INDEX nodes_best_by_type;
CREATE INDEX nodes_best_by_type ON nodes (type, sort_key, lifecycle) WHERE is_best = 1;
CREATE INDEX nodes_best_by_author ON nodes (author, sort_key) WHERE is_best = 1;

-- Other spellings of a word are looked up by the word itself.
DROP INDEX words_by_length;
