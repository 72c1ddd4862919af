-- first_taken: when each user first took each item.
-- Grain    one row per user and item with an event before as_of
-- Keys     user_id, item_id
-- Reads    interactions
SELECT user_id, item_id, min(event_time) AS first_time
FROM interactions
WHERE event_time < :as_of
GROUP BY user_id, item_id
