-- label_queries: the lists a ranker learns from.
-- Grain    one row per user and night (`window`) with candidates of the label windows
-- Keys     user_id, query_time
-- Reads    candidates (the nights of the label windows)
-- Windows  query_time is when the list was known; labels in [query_time, label_until), where label_until is
--          horizon_days after the night's as_of, never after as_of of this night.
SELECT DISTINCT
    user_id,
    ds AS window,
    known_at AS query_time,
    as_of + make_dt_interval(:horizon_days) AS label_until
FROM candidates
WHERE known_at < as_of + make_dt_interval(:horizon_days)
