-- user_items: what each user took in the last 90 days and kept.
-- Grain    one row per user and item of tonight's catalogue
-- Keys     user_id, item_id
-- Reads    interactions (the last 90 days), items
-- Windows  90 days, half-open: [as_of - 90 days, as_of)
-- Returns  A return takes back what it returns: an item whose weights add up to nothing or less is left out.
--          Of the others the events that speak for them are counted.
SELECT t.user_id, t.item_id, t.events_count, t.last_time
FROM (
    SELECT
        user_id,
        item_id,
        count_if(weight > 0) AS events_count,
        max(CASE WHEN weight > 0 THEN event_time END) AS last_time
    FROM interactions
    WHERE event_time >= :as_of - INTERVAL 90 DAYS AND event_time < :as_of
    GROUP BY user_id, item_id
    HAVING sum(CAST(weight AS DECIMAL(28, 9))) > 0
) AS t
LEFT SEMI JOIN items AS i ON i.item_id = t.item_id
