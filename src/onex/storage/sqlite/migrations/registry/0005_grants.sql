-- What is granted follows from a few entries of the log, found without reading the others.
CREATE INDEX events_of_grants ON events (serial)
WHERE action IN ('grant.approved', 'grant.revoked');
