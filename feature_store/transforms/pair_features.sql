-- pair_features: what is known of a user, an item and the two together at the time of a query. Training and
-- scoring both run this file; they differ in `pairs` only.
-- Grain    one row per row of pairs
-- Keys     user_id, query_time, item_id
-- Reads    pairs: user_id, item_id, query_time, pair_known_at, pair_max_event_time, columns passed through, and
--          a struct for each of item_features, user_features, item_embeddings, user_embeddings: the row that
--          was known at query_time (feature_store/asof.py). Without such a row its columns are null.
-- Vectors  of two different models are never compared.
WITH joined AS (
    SELECT
        struct(* EXCEPT (item_features, user_features, item_embeddings, user_embeddings)) AS p,
        item_features AS i,
        user_features AS u,
        item_embeddings AS iv,
        user_embeddings AS uv
    FROM pairs
)

SELECT
    p.* EXCEPT (pair_known_at, pair_max_event_time),
    i.* EXCEPT (
        categories, llm_tags,
        ds, as_of, input_max_event_time, generated_at, known_at, run_id
    ),
    u.* EXCEPT (
        user_category_names_90d, user_category_shares_90d, llm_interests,
        ds, as_of, input_max_event_time, generated_at, known_at, run_id
    ),
    CASE
        WHEN u.user_events_count_90d > 0 AND i IS NOT NULL THEN least(
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
FROM joined
