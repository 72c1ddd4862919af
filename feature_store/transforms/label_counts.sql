-- label_counts: how many queries and positives there are before candidates are looked at.
-- Grain    one row
-- Reads    label_queries, first_taken
SELECT
    (SELECT count(*) FROM label_queries) AS queries,
    (
        SELECT count(*)
        FROM label_queries AS q
        INNER JOIN first_taken AS t
            ON t.user_id = q.user_id AND t.first_time >= q.query_time AND t.first_time < q.label_until
    ) AS positives
