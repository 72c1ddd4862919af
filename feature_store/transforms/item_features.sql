-- item_features: what is known of each item as of a night.
-- Grain    one row per item of the catalogue; cold items have zeros and nulls.
-- Keys     item_id
-- Reads    interactions, items, item_profiles
-- Windows  7, 30 and 90 days, half-open: [as_of - n days, as_of). item_window_complete_90d is false where the
--          history itself, which begins at history_start, is shorter than that.
-- Sums run over decimals, so that the result does not depend on the order in which rows arrive.
WITH events AS (
    SELECT
        item_id,
        user_id,
        event_time,
        CAST(weight AS DECIMAL(28, 9)) AS weight,
        event_time >= :as_of - INTERVAL 7 DAYS AS in_7d,
        event_time >= :as_of - INTERVAL 30 DAYS AS in_30d,
        event_time >= :as_of - INTERVAL 90 DAYS AS in_90d
    FROM interactions
    WHERE event_time < :as_of
),

behaviour AS (
    SELECT
        item_id,
        count_if(in_7d) AS events_7d,
        count_if(in_30d) AS events_30d,
        count_if(in_90d) AS events_90d,
        count(DISTINCT CASE WHEN in_30d THEN user_id END) AS users_30d,
        CAST(sum(CASE WHEN in_90d THEN weight END) AS DOUBLE) AS weight_90d,
        min(event_time) AS first_time,
        max(event_time) AS last_time
    FROM events
    GROUP BY item_id
)

SELECT
    i.item_id,
    coalesce(b.events_7d, 0) AS item_events_count_7d,
    coalesce(b.events_30d, 0) AS item_events_count_30d,
    coalesce(b.events_90d, 0) AS item_events_count_90d,
    coalesce(b.users_30d, 0) AS item_users_count_30d,
    b.weight_90d / nullif(b.events_90d, 0) AS item_weight_mean_90d,
    (unix_micros(:as_of) - unix_micros(b.last_time)) / 86400e6 AS item_recency_days,
    (unix_micros(:as_of) - unix_micros(b.first_time)) / 86400e6 AS item_age_days,
    (b.events_7d / 7) / nullif(b.events_30d / 30, 0) AS item_trend_ratio_7d,
    :history_start <= :as_of - INTERVAL 90 DAYS AS item_window_complete_90d,
    p.item_id IS NOT NULL AS item_profile_present,
    i.categories,
    coalesce(p.llm_tags, array()) AS llm_tags,
    greatest(b.last_time, p.input_max_event_time) AS input_max_event_time
FROM items AS i
LEFT JOIN behaviour AS b ON b.item_id = i.item_id
LEFT JOIN item_profiles AS p ON p.item_id = i.item_id
