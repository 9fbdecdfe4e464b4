CREATE FUNCTION free_of_else(county integer, locks bigint[], residents uuid[], operations text[], keys text[],
  matter uuid, day date, no_shows_since timestamptz)
RETURNS TABLE (number bigint, level text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  got boolean[] := ARRAY(SELECT pg_try_advisory_xact_lock(l.lock) FROM unnest(locks) WITH ORDINALITY l (lock, nth) ORDER BY l.nth);
BEGIN
  RETURN QUERY
  SELECT w.nth, p.identity_level
    FROM unnest(got, residents, operations, keys) WITH ORDINALITY w (got, resident, operation, key, nth)
    JOIN residents p ON p.county_id = county AND p.id = w.resident AND p.merged_into IS NULL AND p.closed_at IS NULL
   -- Look-ups for each: as joins they would read the whole table for a few.
   WHERE w.got
     AND (SELECT true FROM idempotency_keys i
       WHERE i.county_id = county AND i.caller_id = w.resident AND i.operation = w.operation AND i.key = w.key LIMIT 1) IS NULL
     AND (SELECT true FROM appointments a WHERE a.county_id = county AND a.resident_id = w.resident AND a.matter_id = matter
       AND a.on_date = day AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in' LIMIT 1) IS NULL
     AND (SELECT true FROM appointments a WHERE a.county_id = county AND a.resident_id = w.resident AND a.state = 'held'
       AND a.waiting_id IS NULL LIMIT 1) IS NULL
     AND (SELECT true FROM appointments a WHERE a.county_id = county AND a.resident_id = w.resident AND a.state = 'no_show'
       AND a.starts_at > no_shows_since AND a.channel = 'public' LIMIT 1) IS NULL;
END $$;
COMMENT ON FUNCTION free_of_else IS 'Of those who want to book for themselves, by their number from 1: how sure we are who they are, if their key is new and there is nothing of their own that a booking would have to mind. Takes the locks of all keys and only then looks for answers, as idempotency_gate does for one.';
