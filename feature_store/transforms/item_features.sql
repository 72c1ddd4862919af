-- item_features: what is known of each item as of a night.
-- Grain    one row per item of the catalogue; cold items have zeros and nulls.
-- Keys     item_id
-- Reads    interactions (the last 90 days), lifetimes, items, item_profiles
-- Windows  7, 30 and 90 days, half-open: [as_of - n days, as_of). item_window_complete_nd is false where the
--          history itself, which begins at history_start, is shorter than that. Ages, recency and
--          item_events_count_lifetime look at the whole history.
-- Prices   as the catalogue has them tonight. A percentile is the share of priced items that are cheaper, half
--          of those that cost the same included: 0.5 for an item alone in its category.
-- Returns  events of negative weight. They are events like any other in counts, recency, age and trend, lower
--          the mean weight, and have a share of their own.
-- Sums run over decimals, so that the result does not depend on the order in which rows arrive.
WITH behaviour AS (
    SELECT
        item_id,
        count_if(event_time >= :as_of - INTERVAL 7 DAYS) AS events_7d,
        count_if(event_time >= :as_of - INTERVAL 30 DAYS) AS events_30d,
        count(*) AS events_90d,
        count_if(weight < 0) AS returns_90d,
        count(DISTINCT CASE WHEN event_time >= :as_of - INTERVAL 30 DAYS THEN user_id END) AS users_30d,
        CAST(sum(CAST(weight AS DECIMAL(28, 9))) AS DOUBLE) AS weight_90d
    FROM interactions
    WHERE event_time >= :as_of - INTERVAL 90 DAYS AND event_time < :as_of
    GROUP BY item_id
),

prices AS (
    SELECT
        item_id,
        category,
        (1 + cume_dist() OVER (ORDER BY price) - cume_dist() OVER (ORDER BY price DESC)) / 2 AS of_catalogue,
        (
            1 + cume_dist() OVER (PARTITION BY category ORDER BY price)
            - cume_dist() OVER (PARTITION BY category ORDER BY price DESC)
        ) / 2 AS of_category
    FROM (SELECT item_id, price, try_element_at(categories, -1) AS category FROM items WHERE price IS NOT NULL)
)

SELECT
    i.item_id,
    coalesce(b.events_7d, 0) AS item_events_count_7d,
    coalesce(b.events_30d, 0) AS item_events_count_30d,
    coalesce(b.events_90d, 0) AS item_events_count_90d,
    coalesce(l.events_count, 0) AS item_events_count_lifetime,
    coalesce(b.users_30d, 0) AS item_users_count_30d,
    b.weight_90d / b.events_90d AS item_weight_mean_90d,
    b.returns_90d / b.events_90d AS item_returns_share_90d,
    (unix_micros(:as_of) - unix_micros(l.last_event_time)) / 86400e6 AS item_recency_days,
    (unix_micros(:as_of) - unix_micros(l.first_event_time)) / 86400e6 AS item_age_days,
    (b.events_7d / 7) / nullif(b.events_30d / 30, 0) AS item_trend_ratio_7d,
    (b.events_30d / 30) / (b.events_90d / 90) AS item_trend_ratio_30d,
    i.price AS item_price,
    p.of_catalogue AS item_price_percentile_catalogue,
    CASE WHEN p.category IS NOT NULL THEN p.of_category END AS item_price_percentile_category,
    coalesce(l.events_count, 0) <= :cold_max_events AS item_cold,
    :history_start <= :as_of - INTERVAL 7 DAYS AS item_window_complete_7d,
    :history_start <= :as_of - INTERVAL 30 DAYS AS item_window_complete_30d,
    :history_start <= :as_of - INTERVAL 90 DAYS AS item_window_complete_90d,
    m.item_id IS NOT NULL AS item_profile_present,
    i.categories,
    i.brand,
    coalesce(m.llm_tags, array()) AS llm_tags,
    greatest(l.last_event_time, m.input_max_event_time) AS input_max_event_time
FROM items AS i
LEFT JOIN behaviour AS b ON b.item_id = i.item_id
LEFT JOIN lifetimes AS l ON l.entity = 'item' AND l.entity_id = i.item_id
LEFT JOIN prices AS p ON p.item_id = i.item_id
LEFT JOIN item_profiles AS m ON m.item_id = i.item_id
