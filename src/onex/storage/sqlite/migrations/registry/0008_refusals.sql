-- How often which action was refused, without reading the rest of the log.
CREATE INDEX events_refused ON events (action) WHERE outcome = 'refused';
