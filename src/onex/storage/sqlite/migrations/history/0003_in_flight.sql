-- Whether a call had started and did not return, whoever ended it: it may have had effects.
ALTER TABLE steps ADD COLUMN in_flight INTEGER NOT NULL DEFAULT 0;
