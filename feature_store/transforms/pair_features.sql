-- pair_features: what is known of a user, an item and the two together at the time of a query. Training and
-- scoring both run this file; they differ in `pairs` only.
-- Grain    one row per row of pairs
-- Keys     user_id, query_time, item_id
-- Reads    pairs (user_id, item_id, query_time, pair_known_at, pair_max_event_time, and columns passed through),
--          item_features, user_features, item_embeddings, user_embeddings (any number of nights)
-- As of    each table gives, for its key, the newest row with known_at <= query_time; of rows known since the
--          same moment, that of the later night. Without such a row its columns are null.
-- Vectors  of two different models are never compared.
WITH item_versions AS (
    SELECT *, lead(known_at) OVER (PARTITION BY item_id ORDER BY known_at, as_of) AS known_until
    FROM item_features
),

user_versions AS (
    SELECT *, lead(known_at) OVER (PARTITION BY user_id ORDER BY known_at, as_of) AS known_until
    FROM user_features
),

item_vectors AS (
    SELECT *, lead(known_at) OVER (PARTITION BY item_id ORDER BY known_at, as_of) AS known_until
    FROM item_embeddings
),

user_vectors AS (
    SELECT *, lead(known_at) OVER (PARTITION BY user_id ORDER BY known_at, as_of) AS known_until
    FROM user_embeddings
)

SELECT
    p.* EXCEPT (pair_known_at, pair_max_event_time),
    i.* EXCEPT (
        item_id, categories, llm_tags,
        ds, as_of, input_max_event_time, generated_at, known_at, known_until, run_id
    ),
    u.* EXCEPT (
        user_id, user_category_names_90d, user_category_shares_90d, llm_interests,
        ds, as_of, input_max_event_time, generated_at, known_at, known_until, run_id
    ),
    CASE
        WHEN u.user_events_count_90d > 0 AND i.item_id IS NOT NULL THEN least(
            1.0D,
            aggregate(
                arrays_zip(u.user_category_names_90d, u.user_category_shares_90d),
                0.0D,
                (total, entry) -> total + CASE
                    WHEN array_contains(i.categories, entry.user_category_names_90d)
                        THEN entry.user_category_shares_90d
                    ELSE 0.0D
                END
            )
        )
    END AS pair_category_affinity_90d,
    CAST(size(array_intersect(i.llm_tags, u.llm_interests)) AS BIGINT) AS llm_pair_interests_overlap,
    CASE
        WHEN
            iv.model_id = uv.model_id
            AND iv.model_revision = uv.model_revision
            AND size(iv.embedding) = size(uv.embedding)
            THEN CAST(vector_cosine_similarity(iv.embedding, uv.embedding) AS DOUBLE)
    END AS llm_pair_embedding_similarity,
    greatest(p.pair_known_at, i.known_at, u.known_at, iv.known_at, uv.known_at) AS features_known_at,
    greatest(
        p.pair_max_event_time, i.input_max_event_time, u.input_max_event_time,
        iv.input_max_event_time, uv.input_max_event_time
    ) AS input_max_event_time
FROM pairs AS p
LEFT JOIN item_versions AS i
    ON i.item_id = p.item_id
    AND i.known_at <= p.query_time
    AND (i.known_until IS NULL OR p.query_time < i.known_until)
LEFT JOIN user_versions AS u
    ON u.user_id = p.user_id
    AND u.known_at <= p.query_time
    AND (u.known_until IS NULL OR p.query_time < u.known_until)
LEFT JOIN item_vectors AS iv
    ON iv.item_id = p.item_id
    AND iv.known_at <= p.query_time
    AND (iv.known_until IS NULL OR p.query_time < iv.known_until)
LEFT JOIN user_vectors AS uv
    ON uv.user_id = p.user_id
    AND uv.known_at <= p.query_time
    AND (uv.known_until IS NULL OR p.query_time < uv.known_until)
