-- label_counts: how many lists there are, after how many the user took something, and how much.
-- Grain    one row
-- Reads    label_queries, taken
SELECT
    (SELECT count(*) FROM label_queries) AS queries,
    (SELECT count(DISTINCT window) FROM label_queries) AS windows,
    count(DISTINCT user_id, query_time) AS answered,
    count(*) AS positives
FROM taken
WHERE label_time IS NOT NULL
