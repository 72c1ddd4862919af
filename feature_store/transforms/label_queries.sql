-- label_queries: the moments a ranker learns from.
-- Grain    one row per user and day with an event; query_time is the user's first event of that day (UTC).
-- Keys     user_id, query_time
-- Reads    interactions
-- Windows  queries in [as_of - label_days, as_of); labels in [query_time, label_until), where label_until is
--          query_time + horizon_days, and never after as_of.
WITH events AS (
    SELECT user_id, event_time
    FROM interactions
    WHERE event_time >= :as_of - make_dt_interval(:label_days) AND event_time < :as_of
),

queries AS (
    SELECT
        user_id,
        min(event_time) AS query_time,
        least(min(event_time) + make_dt_interval(:horizon_days), :as_of) AS label_until
    FROM events
    GROUP BY user_id, CAST(event_time AS DATE)
)

SELECT q.user_id, q.query_time, q.label_until, max(e.event_time) AS labels_max_event_time
FROM queries AS q
INNER JOIN events AS e ON e.user_id = q.user_id AND e.event_time >= q.query_time AND e.event_time < q.label_until
GROUP BY q.user_id, q.query_time, q.label_until
