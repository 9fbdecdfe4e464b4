-- What is asked of an order, an errand or a unit within a statement keeps its plan, and what lies near somebody is read in the order in which it is told.

-- PostgreSQL plans the body of an SQL function anew in every statement that calls it, that of a PL/pgSQL function once per connection.
-- The questions stay word for word as they were asked; as in SQL, a column wins over a parameter of the same name.
DO $do$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT p.oid::regproc AS name, pg_get_function_arguments(p.oid) AS takes, pg_get_function_result(p.oid) AS gives, p.prosrc AS asks
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'sql'
     WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ('unit_within', 'township_of', 'staff_present', 'staff_covers', 'post_covered', 'acts_for', 'first_asked',
       'matter_version_on', 'helper_serves', 'helper_free', 'helper_unfit', 'free_place', 'tells_the_rated') LOOP
    EXECUTE format(E'CREATE OR REPLACE FUNCTION %s(%s) RETURNS %s LANGUAGE plpgsql STABLE AS $f$#variable_conflict use_column\nBEGIN RETURN (%s); END $f$',
      f.name, f.takes, f.gives, f.asks);
  END LOOP;
END $do$;
-- After what only compares.
ALTER FUNCTION helper_free COST 1000;

-- Distances are told to a grid of half a kilometre, so that asking from several places does not tell where somebody lives: the index is of that grid too.
CREATE FUNCTION grid(degrees double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT round(degrees * 200) / 200
$$;
COMMENT ON FUNCTION grid IS 'The nearest line of a grid of 0.005 degrees, about half a kilometre.';
DROP INDEX orders_near;
CREATE INDEX orders_near ON orders USING gist (county_id, map_point(grid(lng), grid(lat))) WHERE state = 'open' AND lng IS NOT NULL;

-- A page of a unit's errands, or of a name's, is found in the index alone.
DROP INDEX errands_resident, errands_unit, errands_state;
CREATE INDEX errands_resident ON errands (county_id, resident_id, unit_id, created_at, id) INCLUDE (submitted_on);
CREATE INDEX errands_unit ON errands (county_id, unit_id, created_at, id) INCLUDE (submitted_on);
CREATE INDEX errands_state ON errands (county_id, unit_id, state, created_at, id) INCLUDE (submitted_on);
