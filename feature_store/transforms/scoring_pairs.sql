-- scoring_pairs: tonight's candidates as the ranker is asked about them.
-- Grain    one row per candidate; query_time is the moment when all of the night's tables are known.
-- Keys     user_id, item_id
-- Reads    candidates (the night's)
SELECT
    :query_time AS query_time,
    * EXCEPT (ds, as_of, input_max_event_time, generated_at, known_at, run_id),
    known_at AS pair_known_at,
    input_max_event_time AS pair_max_event_time
FROM candidates
