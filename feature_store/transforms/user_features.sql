-- user_features: what is known of each user as of a night.
-- Grain    one row per user with an event before as_of
-- Keys     user_id
-- Reads    interactions (the last 90 days), user_items, lifetimes, items, item_profiles, user_profiles
-- Windows  7, 30 and 90 days, half-open: [as_of - n days, as_of). user_window_complete_nd is false where the
--          history itself, which begins at history_start, is shorter than that. Tenure, recency and
--          user_events_count_lifetime look at the whole history.
-- Sessions  runs of events with at most session_minutes between one and the next. A gap is the time from the end
--          of a session to the beginning of the next one in the window.
-- Taste    shares, usual price and recent items look at user_items: what the user took and kept. An event
--          counts once, split evenly over the categories of its item; shares of a user add up to at most 1
--          (events on items without a category or brand have none). Largest share first, then by name.
--          Categories, brands, prices and tags are those of tonight's catalogue.
-- Returns  events of negative weight: part of counts, recency, tenure, sessions and the mean weight, with a
--          share of their own.
-- Sums run over decimals, so that the result does not depend on the order in which rows arrive.
WITH events AS (
    SELECT
        user_id,
        event_time,
        CAST(weight AS DECIMAL(28, 9)) AS weight,
        unix_micros(event_time)
        - unix_micros(lag(event_time) OVER (PARTITION BY user_id ORDER BY event_time)) AS pause
    FROM interactions
    WHERE event_time >= :as_of - INTERVAL 90 DAYS AND event_time < :as_of
),

behaviour AS (
    SELECT
        user_id,
        count_if(event_time >= :as_of - INTERVAL 7 DAYS) AS events_7d,
        count_if(event_time >= :as_of - INTERVAL 30 DAYS) AS events_30d,
        count(*) AS events_90d,
        count_if(weight < 0) AS returns_90d,
        CAST(sum(weight) AS DOUBLE) AS weight_90d,
        count_if(pause > 60000000L * :session_minutes) AS gaps,
        sum(CASE WHEN pause > 60000000L * :session_minutes THEN pause END) AS gap_micros
    FROM events
    GROUP BY user_id
),

tastes AS (
    SELECT user_id, kind, name, sum(events) AS events
    FROM (
        SELECT
            t.user_id,
            'category' AS kind,
            explode(i.categories) AS name,
            CAST(t.events_count AS DECIMAL(28, 12)) / size(i.categories) AS events
        FROM user_items AS t
        INNER JOIN items AS i ON i.item_id = t.item_id
        UNION ALL
        SELECT t.user_id, 'brand', i.brand, t.events_count
        FROM user_items AS t
        INNER JOIN items AS i ON i.item_id = t.item_id
        WHERE i.brand IS NOT NULL
    )
    GROUP BY user_id, kind, name
),

totals AS (
    SELECT user_id, count(*) AS items, sum(events_count) AS events, median(price) AS price
    FROM user_items AS t
    INNER JOIN items AS i ON i.item_id = t.item_id
    GROUP BY user_id
),

shares AS (
    SELECT
        user_id,
        array_sort(collect_list(CASE WHEN kind = 'category' THEN ranked END)) AS categories,
        array_sort(collect_list(CASE WHEN kind = 'brand' THEN ranked END)) AS brands
    FROM (
        SELECT
            s.user_id,
            s.kind,
            struct(-CAST(s.events AS DOUBLE) / t.events AS negative_share, s.name) AS ranked
        FROM tastes AS s
        INNER JOIN totals AS t ON t.user_id = s.user_id
    )
    GROUP BY user_id
),

recent AS (
    SELECT
        t.user_id,
        array_sort(collect_list(struct(t.place, t.item_id))) AS ranked,
        array_sort(array_distinct(flatten(collect_list(p.llm_tags)))) AS tags
    FROM (
        SELECT
            user_id,
            item_id,
            row_number() OVER (PARTITION BY user_id ORDER BY last_time DESC, item_id) AS place
        FROM user_items
    ) AS t
    LEFT JOIN item_profiles AS p ON p.item_id = t.item_id
    WHERE t.place <= :recent_items
    GROUP BY t.user_id
)

SELECT
    l.entity_id AS user_id,
    coalesce(b.events_7d, 0) AS user_events_count_7d,
    coalesce(b.events_30d, 0) AS user_events_count_30d,
    coalesce(b.events_90d, 0) AS user_events_count_90d,
    l.events_count AS user_events_count_lifetime,
    coalesce(t.items, 0) AS user_items_count_90d,
    b.weight_90d / b.events_90d AS user_weight_mean_90d,
    b.returns_90d / b.events_90d AS user_returns_share_90d,
    (unix_micros(:as_of) - unix_micros(l.last_event_time)) / 86400e6 AS user_recency_days,
    (unix_micros(:as_of) - unix_micros(l.first_event_time)) / 86400e6 AS user_tenure_days,
    (b.events_7d / 7) / nullif(b.events_30d / 30, 0) AS user_trend_ratio_7d,
    coalesce(b.gaps + 1, 0) AS user_sessions_count_90d,
    b.events_90d / (b.gaps + 1) AS user_session_events_mean_90d,
    b.gap_micros / nullif(b.gaps, 0) / 86400e6 AS user_session_gap_days_mean_90d,
    t.price AS user_price_median_90d,
    l.events_count <= :cold_max_events AS user_cold,
    :history_start <= :as_of - INTERVAL 7 DAYS AS user_window_complete_7d,
    :history_start <= :as_of - INTERVAL 30 DAYS AS user_window_complete_30d,
    :history_start <= :as_of - INTERVAL 90 DAYS AS user_window_complete_90d,
    m.user_id IS NOT NULL AS user_profile_present,
    coalesce(transform(s.categories, entry -> entry.name), array()) AS user_category_names_90d,
    coalesce(transform(s.categories, entry -> -entry.negative_share), array()) AS user_category_shares_90d,
    coalesce(transform(s.brands, entry -> entry.name), array()) AS user_brand_names_90d,
    coalesce(transform(s.brands, entry -> -entry.negative_share), array()) AS user_brand_shares_90d,
    coalesce(transform(r.ranked, entry -> entry.item_id), array()) AS user_recent_items_90d,
    coalesce(m.llm_interests, array()) AS llm_interests,
    coalesce(r.tags, array()) AS llm_recent_tags,
    greatest(l.last_event_time, m.input_max_event_time) AS input_max_event_time
FROM lifetimes AS l
LEFT JOIN behaviour AS b ON b.user_id = l.entity_id
LEFT JOIN totals AS t ON t.user_id = l.entity_id
LEFT JOIN shares AS s ON s.user_id = l.entity_id
LEFT JOIN recent AS r ON r.user_id = l.entity_id
LEFT JOIN user_profiles AS m ON m.user_id = l.entity_id
WHERE l.entity = 'user'
