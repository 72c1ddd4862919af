-- label_counts: how many queries there are, for how many recall had candidates, and what it could have found.
-- Grain    one row
-- Reads    label_queries, first_taken, candidates (all earlier nights)
WITH known AS (
    SELECT user_id, min(known_at) AS first_known_at
    FROM candidates
    GROUP BY user_id
),

queries AS (
    SELECT
        q.user_id,
        q.query_time,
        coalesce(min(k.first_known_at) <= q.query_time, FALSE) AS answered,
        count(t.item_id) AS positives
    FROM label_queries AS q
    LEFT JOIN known AS k ON k.user_id = q.user_id
    LEFT JOIN first_taken AS t
        ON t.user_id = q.user_id AND t.first_time >= q.query_time AND t.first_time < q.label_until
    GROUP BY q.user_id, q.query_time
)

SELECT
    count(*) AS queries,
    count_if(answered) AS answered,
    coalesce(sum(CASE WHEN answered THEN positives END), 0) AS positives
FROM queries
