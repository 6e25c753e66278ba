-- What pruning and the list of what runs look for, without reading all of a large history.
CREATE INDEX runs_running ON runs (run_id) WHERE status = 'running';
CREATE INDEX steps_by_used_key ON steps (cache_key) WHERE cached_from IS NOT NULL;
CREATE INDEX cached_results_by_run ON cached_results (run_id);
DROP INDEX runs_by_start;
CREATE INDEX runs_by_start ON runs (started_at DESC, run_id);
