-- label_counts: how many queries there are, for how many recall had candidates, and what it could have found.
-- Grain    one row
-- Reads    label_queries (with `list`, null where no candidates were known), first_taken
WITH queries AS (
    SELECT
        q.user_id,
        q.query_time,
        q.list IS NOT NULL AS answered,
        count(t.item_id) AS positives
    FROM label_queries AS q
    LEFT JOIN first_taken AS t
        ON t.user_id = q.user_id AND t.first_time >= q.query_time AND t.first_time < q.label_until
    GROUP BY q.user_id, q.query_time, q.list
)

SELECT
    count(*) AS queries,
    count_if(answered) AS answered,
    coalesce(sum(CASE WHEN answered THEN positives END), 0) AS positives
FROM queries
