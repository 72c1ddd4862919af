-- label_counts: how many queries there are, how many of them recall had candidates for, and what was there to find.
-- Grain    one row
-- Reads    label_queries, first_taken, candidates (all earlier nights)
WITH known AS (
    SELECT user_id, min(known_at) AS first_known_at
    FROM candidates
    GROUP BY user_id
),

answered AS (
    SELECT q.*
    FROM label_queries AS q
    INNER JOIN known AS k ON k.user_id = q.user_id AND k.first_known_at <= q.query_time
)

SELECT
    (SELECT count(*) FROM label_queries) AS queries,
    (SELECT count(*) FROM answered) AS answered,
    (
        SELECT count(*)
        FROM answered AS q
        INNER JOIN first_taken AS t
            ON t.user_id = q.user_id AND t.first_time >= q.query_time AND t.first_time < q.label_until
    ) AS positives
