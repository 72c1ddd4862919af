-- pair_features: what is known of a user, an item and the two together at the time of a query. Training and
-- scoring both run this file; they differ in `pairs` only.
-- Grain    one row per row of pairs
-- Keys     user_id, query_time, item_id
-- Reads    pairs: user_id, item_id, query_time, pair_known_at, pair_max_event_time, columns passed through, and
--          a struct for each of item_features, user_features, item_embeddings, user_embeddings: the row that
--          was known at query_time (feature_store/asof.py). Without such a row its columns are null.
--          item_embeddings (any number of nights), for the vectors of the user's recent items
-- Vectors  of two different models are never compared. Those of recent items are of the night of the user's own
--          vector, which the same run published: known when it was. They are gathered once for each query, at
--          most features.recent_items of them, and not for each pair.
-- Taste    of a user who kept nothing within the window is null, not none.
WITH recent AS (
    SELECT
        q.user_id,
        q.query_time,
        array_sort(collect_list(struct(q.place, v.embedding, v.model_id, v.model_revision))) AS vectors
    FROM (
        SELECT user_id, query_time, known_at, as_of, posexplode(items) AS (place, item_id)
        FROM (
            SELECT DISTINCT
                user_id,
                query_time,
                user_embeddings.known_at,
                user_embeddings.as_of,
                user_features.user_recent_items_90d AS items
            FROM pairs
        )
    ) AS q
    INNER JOIN item_embeddings AS v
        ON v.item_id = q.item_id AND v.known_at = q.known_at AND v.as_of = q.as_of
    GROUP BY q.user_id, q.query_time
),

joined AS (
    SELECT
        struct(q.* EXCEPT (item_features, user_features, item_embeddings, user_embeddings)) AS p,
        q.item_features AS i,
        q.user_features AS u,
        q.item_embeddings AS iv,
        q.user_embeddings AS uv,
        transform(
            filter(
                r.vectors,
                v -> v.model_id = q.item_embeddings.model_id
                AND v.model_revision = q.item_embeddings.model_revision
                AND size(v.embedding) = size(q.item_embeddings.embedding)
            ),
            v -> CAST(vector_cosine_similarity(q.item_embeddings.embedding, v.embedding) AS DOUBLE)
        ) AS cosines
    FROM pairs AS q
    LEFT JOIN recent AS r ON r.user_id = q.user_id AND r.query_time = q.query_time
)

SELECT
    p.* EXCEPT (pair_known_at, pair_max_event_time),
    i.* EXCEPT (
        categories, brand, llm_tags,
        ds, as_of, input_max_event_time, generated_at, known_at, run_id
    ),
    u.* EXCEPT (
        user_category_names_90d, user_category_shares_90d, user_brand_names_90d, user_brand_shares_90d,
        user_recent_items_90d, llm_interests, llm_recent_tags,
        ds, as_of, input_max_event_time, generated_at, known_at, run_id
    ),
    CASE
        WHEN u.user_items_count_90d > 0 AND i IS NOT NULL THEN least(
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
    CASE
        WHEN u.user_items_count_90d > 0 AND i.brand IS NOT NULL THEN coalesce(
            try_element_at(
                u.user_brand_shares_90d,
                CAST(nullif(array_position(u.user_brand_names_90d, i.brand), 0) AS INT)
            ),
            0.0D
        )
    END AS pair_brand_affinity_90d,
    CASE
        WHEN i.item_price > 0 AND u.user_price_median_90d > 0
            THEN abs(ln(i.item_price / u.user_price_median_90d))
    END AS pair_price_distance_90d,
    CAST(size(array_intersect(i.llm_tags, u.llm_interests)) AS BIGINT) AS llm_pair_interests_overlap,
    CAST(size(array_intersect(i.llm_tags, u.llm_recent_tags)) AS BIGINT) AS llm_pair_recent_tags_overlap,
    CASE
        WHEN
            iv.model_id = uv.model_id
            AND iv.model_revision = uv.model_revision
            AND size(iv.embedding) = size(uv.embedding)
            THEN CAST(vector_cosine_similarity(iv.embedding, uv.embedding) AS DOUBLE)
    END AS llm_pair_embedding_similarity,
    try_element_at(cosines, 1) AS llm_pair_embedding_similarity_last,
    aggregate(slice(sort_array(cosines, FALSE), 1, 3), 0.0D, (total, cosine) -> total + cosine)
    / nullif(least(size(cosines), 3), 0) AS llm_pair_embedding_similarity_top3,
    greatest(p.pair_known_at, i.known_at, u.known_at, iv.known_at, uv.known_at) AS features_known_at,
    greatest(
        p.pair_max_event_time, i.input_max_event_time, u.input_max_event_time,
        iv.input_max_event_time, uv.input_max_event_time
    ) AS input_max_event_time
FROM joined
