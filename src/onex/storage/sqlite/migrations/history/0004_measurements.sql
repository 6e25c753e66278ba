-- The metrics of processes that ended, or that hand over what they measured from time to time.
-- `labels` is a list in JSON; `part` is empty for counters and gauges, for histograms `sum` or
-- the place of a bucket.
CREATE TABLE measurements (
    metric TEXT NOT NULL,
    labels TEXT NOT NULL,
    part   TEXT NOT NULL,
    value  REAL NOT NULL,
    PRIMARY KEY (metric, labels, part)
) STRICT, WITHOUT ROWID;
