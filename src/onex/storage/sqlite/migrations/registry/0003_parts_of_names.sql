-- Every three characters in a row of names: parts of names are found by them.
CREATE VIRTUAL TABLE name_parts USING fts5 (
    namespace, name, detail = none, tokenize = 'trigram case_sensitive 1'
);
INSERT INTO name_parts (rowid, namespace, name) SELECT id, namespace, name FROM nodes;

-- Pages by type or author are read in the order of listings.
DROP INDEX nodes_best_by_type;
CREATE INDEX nodes_best_by_type ON nodes (type, sort_key, lifecycle) WHERE is_best = 1;
CREATE INDEX nodes_best_by_author ON nodes (author, sort_key) WHERE is_best = 1;

-- Other spellings of a word are looked up by the word itself.
DROP INDEX words_by_length;
