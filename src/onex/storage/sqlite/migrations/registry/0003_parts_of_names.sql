-- Every three characters in a row of names: parts of names are found by them. The names
-- themselves are read from the nodes.
CREATE VIRTUAL TABLE name_parts USING fts5 (
    namespace, name, content = 'nodes', content_rowid = 'id', detail = none,
    tokenize = 'trigram case_sensitive 1'
);
INSERT INTO name_parts (name_parts) VALUES ('rebuild');
CREATE TRIGGER name_parts_of_new AFTER INSERT ON nodes BEGIN
    INSERT INTO name_parts (rowid, namespace, name) VALUES (new.id, new.namespace, new.name);
END;
CREATE TRIGGER name_parts_of_old AFTER DELETE ON nodes BEGIN
    INSERT INTO name_parts (name_parts, rowid, namespace, name)
    VALUES ('delete', old.id, old.namespace, old.name);
END;
CREATE TRIGGER name_parts_of_changed AFTER UPDATE OF name ON nodes WHEN old.name <> new.name BEGIN
    INSERT INTO name_parts (name_parts, rowid, namespace, name)
    VALUES ('delete', old.id, old.namespace, old.name);
    INSERT INTO name_parts (rowid, namespace, name) VALUES (new.id, new.namespace, new.name);
END;

-- Pages by type or author are read in the order of listings.
DROP INDEX nodes_best_by_type;
CREATE INDEX nodes_best_by_type ON nodes (type, sort_key, lifecycle) WHERE is_best = 1;
CREATE INDEX nodes_best_by_author ON nodes (author, sort_key) WHERE is_best = 1;

-- Other spellings of a word are looked up by the word itself.
DROP INDEX words_by_length;
