-- user_features: what is known of each user as of a night.
-- Grain    one row per user with an event before as_of
-- Keys     user_id
-- Reads    interactions, items, user_profiles
-- Windows  7, 30 and 90 days, half-open: [as_of - n days, as_of). user_window_complete_90d is false where the
--          history itself, which begins at history_start, is shorter than that.
-- Shares   an event counts once, split evenly over the categories of its item; shares of a user add up to at
--          most 1 (events on items without a category have none). Largest share first, then by name.
-- Sums run over decimals, so that the result does not depend on the order in which rows arrive.
WITH events AS (
    SELECT
        user_id,
        item_id,
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
        user_id,
        count_if(in_7d) AS events_7d,
        count_if(in_30d) AS events_30d,
        count_if(in_90d) AS events_90d,
        CAST(sum(CASE WHEN in_90d THEN weight END) AS DOUBLE) AS weight_90d,
        min(event_time) AS first_time,
        max(event_time) AS last_time
    FROM events
    GROUP BY user_id
),

category_events AS (
    SELECT
        e.user_id,
        explode(i.categories) AS category,
        CAST(1 AS DECIMAL(28, 12)) / size(i.categories) AS share
    FROM events AS e
    INNER JOIN items AS i ON i.item_id = e.item_id
    WHERE e.in_90d
),

category_sums AS (
    SELECT user_id, category, CAST(sum(share) AS DOUBLE) AS events
    FROM category_events
    GROUP BY user_id, category
),

categories AS (
    SELECT
        c.user_id,
        array_sort(collect_list(struct(-c.events / b.events_90d AS negative_share, c.category AS name))) AS ranked
    FROM category_sums AS c
    INNER JOIN behaviour AS b ON b.user_id = c.user_id
    GROUP BY c.user_id
)

SELECT
    b.user_id,
    b.events_7d AS user_events_count_7d,
    b.events_30d AS user_events_count_30d,
    b.events_90d AS user_events_count_90d,
    b.weight_90d / nullif(b.events_90d, 0) AS user_weight_mean_90d,
    (unix_micros(:as_of) - unix_micros(b.last_time)) / 86400e6 AS user_recency_days,
    (unix_micros(:as_of) - unix_micros(b.first_time)) / 86400e6 AS user_tenure_days,
    :history_start <= :as_of - INTERVAL 90 DAYS AS user_window_complete_90d,
    p.user_id IS NOT NULL AS user_profile_present,
    coalesce(transform(c.ranked, entry -> entry.name), array()) AS user_category_names_90d,
    coalesce(transform(c.ranked, entry -> -entry.negative_share), array()) AS user_category_shares_90d,
    coalesce(p.llm_interests, array()) AS llm_interests,
    greatest(b.last_time, p.input_max_event_time) AS input_max_event_time
FROM behaviour AS b
LEFT JOIN categories AS c ON c.user_id = b.user_id
LEFT JOIN user_profiles AS p ON p.user_id = b.user_id
