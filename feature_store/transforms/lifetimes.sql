-- lifetimes: how many events each user and each item ever had, the first and the last.
-- Grain    one row per user and per item with an event before as_of, in tonight's catalogue or not
-- Keys     entity, entity_id
-- Reads    lifetimes (of an earlier night, or none), interactions (the days that night did not know)
-- Counts and ends of ranges add up exactly, so the rows are the same wherever an earlier night took over.
WITH parts AS (
    SELECT entity, entity_id, events_count, first_event_time, last_event_time
    FROM lifetimes
    UNION ALL
    SELECT 'user', user_id, count(*), min(event_time), max(event_time)
    FROM interactions
    WHERE event_time < :as_of
    GROUP BY user_id
    UNION ALL
    SELECT 'item', item_id, count(*), min(event_time), max(event_time)
    FROM interactions
    WHERE event_time < :as_of
    GROUP BY item_id
)

SELECT
    entity,
    entity_id,
    sum(events_count) AS events_count,
    min(first_event_time) AS first_event_time,
    max(last_event_time) AS last_event_time,
    max(last_event_time) AS input_max_event_time
FROM parts
GROUP BY entity, entity_id
