-- training_pairs: what recall would have shown at each query, with what then happened.
-- Grain    one row per query and candidate: every positive, and for each of them negatives_per_positive
--          negatives drawn by a hash (the same draw for the same seed, in any order of rows).
-- Keys     user_id, query_time, item_id
-- Reads    label_queries, each with `list`: known_at and as_of of the newest of the user's candidate lists that
--          was known at query_time (feature_store/asof.py); first_taken, candidates (all earlier nights)
-- Items taken before the query are left out, as recall leaves them out; queries without a positive among their
-- candidates teach nothing and are left out too.
WITH shown AS (
    SELECT
        q.query_time,
        c.* EXCEPT (score, rank, channels, ds, as_of, input_max_event_time, generated_at, known_at, run_id),
        c.known_at AS pair_known_at,
        greatest(c.input_max_event_time, q.labels_max_event_time) AS pair_max_event_time,
        CASE WHEN t.first_time < q.label_until THEN t.first_time END AS label_time
    FROM label_queries AS q
    INNER JOIN candidates AS c
        ON c.user_id = q.user_id AND c.known_at = q.list.known_at AND c.as_of = q.list.as_of
    LEFT JOIN first_taken AS t ON t.user_id = c.user_id AND t.item_id = c.item_id
    WHERE t.first_time IS NULL OR t.first_time >= q.query_time
),

drawn AS (
    SELECT
        *,
        count(label_time) OVER (PARTITION BY user_id, query_time) AS positives,
        row_number() OVER (
            PARTITION BY user_id, query_time, label_time IS NULL
            ORDER BY xxhash64(:seed, user_id, query_time, item_id), item_id
        ) AS draw
    FROM shown
)

SELECT
    * EXCEPT (positives, draw),
    CAST(label_time IS NOT NULL AS BIGINT) AS label
FROM drawn
WHERE positives > 0 AND (label_time IS NOT NULL OR draw <= positives * :negatives_per_positive)
