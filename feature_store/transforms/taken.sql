-- taken: what the users of the lists had taken before, and what they went on to take.
-- Grain    one row per query and item with an event before label_until
-- Keys     user_id, query_time, item_id
-- Reads    label_queries, interactions
-- label_time is the first event in [query_time, label_until); without `repeats` it is null for an item that the
-- user had `seen` before the query, since recall leaves such items out.
WITH events AS (
    SELECT
        q.user_id,
        q.query_time,
        e.item_id,
        min(CASE WHEN e.event_time >= q.query_time THEN e.event_time END) AS next_time,
        count_if(e.event_time < q.query_time) > 0 AS seen
    FROM label_queries AS q
    INNER JOIN interactions AS e ON e.user_id = q.user_id AND e.event_time < q.label_until
    GROUP BY q.user_id, q.query_time, e.item_id
)

SELECT
    user_id,
    query_time,
    item_id,
    seen,
    CASE WHEN :repeats OR NOT seen THEN next_time END AS label_time
FROM events
