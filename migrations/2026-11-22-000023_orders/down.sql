DROP TABLE order_money_answers, order_money, order_notes, order_moves, orders, order_series_skips, order_series, order_kinds;
DROP FUNCTION free_place, helper_unfit, order_moves_follow, orders_have_moved, map_point;
