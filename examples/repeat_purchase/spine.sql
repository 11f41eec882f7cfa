-- Every user seen so far at each of twelve month starts, and whether the user bought again in the 90 days after it.
-- The last of these windows closes on 1998-05-30, inside the history, so every label is known.
WITH month_starts AS (
    SELECT day AT TIME ZONE 'UTC' AS t
    FROM (
        VALUES
            (TIMESTAMP '1997-04-01'), (TIMESTAMP '1997-05-01'), (TIMESTAMP '1997-06-01'), (TIMESTAMP '1997-07-01'),
            (TIMESTAMP '1997-08-01'), (TIMESTAMP '1997-09-01'), (TIMESTAMP '1997-10-01'), (TIMESTAMP '1997-11-01'),
            (TIMESTAMP '1997-12-01'), (TIMESTAMP '1998-01-01'), (TIMESTAMP '1998-02-01'), (TIMESTAMP '1998-03-01')
    ) AS days (day)
)
SELECT
    orders.user_id,
    month_starts.t AS event_time,
    max(
        CASE
            WHEN orders.ordered_at > month_starts.t AND orders.ordered_at <= month_starts.t + INTERVAL '90 days' THEN 1
            ELSE 0
        END
    ) AS bought_again
FROM orders
CROSS JOIN month_starts
GROUP BY orders.user_id, month_starts.t
HAVING min(orders.ordered_at) <= month_starts.t
ORDER BY event_time, user_id
