-- training_pairs: what recall showed in each list, with what then happened.
-- Grain    one row per query and candidate. Of the newest window every candidate of at most `valid_users` users
--          who took something, found by recall or not: NDCG over them is the true one. Of older windows every
--          positive, and for each of them negatives_per_positive negatives; a list without a positive teaches
--          nothing and is left out. Users and negatives are drawn by a hash (the same draw for the same seed, in
--          any order of rows).
-- Keys     user_id, query_time, item_id
-- Reads    label_queries, taken, candidates (the nights of the label windows)
-- Without `repeats` what was seen before the query is left out, as recall leaves it out: a list does not know of
-- the hours between its night and the moment it is known.
WITH answered AS (
    SELECT
        user_id,
        query_time,
        count(*) AS relevant_count,
        max(label_time) AS labels_max_event_time
    FROM taken
    WHERE label_time IS NOT NULL
    GROUP BY user_id, query_time
),

queries AS (
    SELECT
        q.window,
        a.*,
        q.window = max(q.window) OVER () AS newest,
        row_number() OVER (PARTITION BY q.window ORDER BY xxhash64(:seed, q.user_id), q.user_id) AS place
    FROM label_queries AS q
    INNER JOIN answered AS a ON a.user_id = q.user_id AND a.query_time = q.query_time
),

shown AS (
    SELECT
        q.window,
        q.query_time,
        q.newest,
        q.place,
        q.relevant_count,
        c.* EXCEPT (score, rank, channels, ds, as_of, input_max_event_time, generated_at, known_at, run_id),
        c.known_at AS pair_known_at,
        greatest(c.input_max_event_time, q.labels_max_event_time) AS pair_max_event_time,
        t.label_time
    FROM queries AS q
    INNER JOIN candidates AS c ON c.user_id = q.user_id AND c.ds = q.window
    LEFT JOIN taken AS t ON t.user_id = c.user_id AND t.query_time = q.query_time AND t.item_id = c.item_id
    WHERE :repeats OR NOT coalesce(t.seen, FALSE)
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
    * EXCEPT (newest, place, positives, draw),
    CAST(label_time IS NOT NULL AS BIGINT) AS label
FROM drawn
WHERE CASE
    WHEN newest THEN place <= :valid_users
    ELSE positives > 0 AND (label_time IS NOT NULL OR draw <= positives * :negatives_per_positive)
END
