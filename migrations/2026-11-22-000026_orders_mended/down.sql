DROP INDEX orders_confirmed, errand_ledger_delivered, appointments_finished;
DROP TABLE rating_rounds;
DROP FUNCTION tells_the_rated;
DROP INDEX ratings_served_by;
ALTER TABLE todos DROP COLUMN hidden_from;
DROP TRIGGER helpers_change_update ON helpers;
DROP TRIGGER helpers_change_insert ON helpers;
DROP FUNCTION helpers_change;
DROP TABLE helper_decisions;
COMMENT ON COLUMN helpers.radius_m IS 'They also serve what lies within this distance of their point.';
CREATE OR REPLACE FUNCTION helper_serves(county integer, helper uuid, unit uuid, point_lng double precision, point_lat double precision)
RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM helpers h
    WHERE h.county_id = county AND h.id = helper AND (
      unit_within(county, unit, h.unit_id)
      OR EXISTS (SELECT FROM helper_units f WHERE f.county_id = county AND f.helper_id = h.id AND f.granted AND unit_within(county, unit, f.unit_id))
      OR EXISTS (
        SELECT FROM staff_posts p WHERE p.county_id = county AND p.staff_id = h.staff_id AND p.ended_at IS NULL
          AND p.role IN ('specialist', 'village_cadre') AND unit_within(county, unit, p.unit_id))
      OR coalesce(distance_m(h.lng, h.lat, point_lng, point_lat) <= h.radius_m, false)))
$$;
DROP FUNCTION township_of;
DROP INDEX order_moves_returns;
UPDATE orders SET started_how = 'without_phone' WHERE started_how = 'own_word';
UPDATE orders SET due_at = NULL WHERE state = 'expired';
ALTER TABLE orders DROP CONSTRAINT orders_started_how_check;
ALTER TABLE orders ADD CONSTRAINT orders_started_how_check CHECK (started_how IN ('code', 'without_phone'));
COMMENT ON COLUMN orders.started_how IS NULL;
