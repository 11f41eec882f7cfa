-- One row per order: the user's state as of that order, itself included.
-- A user may order several times on one day; `_row`, the arrival number, says which of those orders came later.
SELECT
    user_id,
    ordered_at                           AS event_time,
    _row                                 AS sequence,
    count(*) OVER w                      AS total_orders,
    sum(amount) OVER w / count(*) OVER w AS avg_order_value,
    ordered_at                           AS last_order_at,
    sum(cds) OVER w                      AS total_cds
FROM orders
WINDOW w AS (
    PARTITION BY user_id
    ORDER BY ordered_at, _row
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
)
