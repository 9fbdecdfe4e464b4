DROP INDEX errands_resident, errands_unit, errands_state;
CREATE INDEX errands_resident ON errands (county_id, resident_id, unit_id, created_at, id);
CREATE INDEX errands_unit ON errands (county_id, unit_id, created_at, id);
CREATE INDEX errands_state ON errands (county_id, unit_id, state, created_at, id);
DROP INDEX orders_near;
CREATE INDEX orders_near ON orders USING gist (county_id, map_point(lng, lat)) WHERE state = 'open' AND lng IS NOT NULL;
DROP FUNCTION grid;
ALTER FUNCTION helper_free COST 100;
DO $do$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT p.oid::regproc AS name, pg_get_function_arguments(p.oid) AS takes, pg_get_function_result(p.oid) AS gives,
      regexp_replace(p.prosrc, E'^#variable_conflict use_column\nBEGIN RETURN \\((.*)\\); END $', '\1') AS asks
      FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
     WHERE p.pronamespace = current_schema()::regnamespace AND p.proname IN ('unit_within', 'township_of', 'staff_present', 'staff_covers', 'post_covered', 'acts_for', 'first_asked',
       'matter_version_on', 'helper_serves', 'helper_free', 'helper_unfit', 'free_place', 'tells_the_rated') LOOP
    EXECUTE format('CREATE OR REPLACE FUNCTION %s(%s) RETURNS %s LANGUAGE sql STABLE AS $f$%s$f$', f.name, f.takes, f.gives, f.asks);
  END LOOP;
END $do$;
