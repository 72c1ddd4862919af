-- synthetic_pairs: what the model said users would rather take, as a ranker learns from it; no fact, and so not
-- part of the training set.
-- Grain    two rows per synthetic interaction: the preferred item with label 1, the other one with label 0
-- Keys     user_id, query_time, item_id, other_item_id
-- Reads    synthetic_interactions and candidates (the nights of the label windows)
-- An answer of confidence 0 teaches nothing and is left out; so are answers of before there were checks (margin is
-- null), whose confidence means something else. query_time is when the lists of the same night were known. No
-- channel's ranks are joined in: ALS had been told the same answers.
WITH said AS (
    SELECT
        s.user_id,
        s.item_id,
        s.other_item_id,
        s.ds AS window,
        c.query_time,
        s.confidence * :weight AS weight,
        s.known_at AS pair_known_at,
        s.input_max_event_time AS pair_max_event_time
    FROM synthetic_interactions AS s
    INNER JOIN (SELECT ds, max(known_at) AS query_time FROM candidates GROUP BY ds) AS c ON c.ds = s.ds
    WHERE s.confidence > 0 AND s.margin IS NOT NULL AND s.known_at <= c.query_time
)

SELECT user_id, item_id, other_item_id, window, query_time, weight, pair_known_at, pair_max_event_time, 1L AS label
FROM said
UNION ALL
SELECT user_id, other_item_id, item_id, window, query_time, weight, pair_known_at, pair_max_event_time, 0L
FROM said
