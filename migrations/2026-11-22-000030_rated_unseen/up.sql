-- What would tell the rated who rated them: a parameter was named like a column, and the column won.

DROP FUNCTION tells_the_rated;
CREATE FUNCTION tells_the_rated(county integer, reader uuid, entity text, entity_id uuid, what text, actor uuid, moment timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
  -- No parameter is named like a column of ratings: the column would win.
  SELECT CASE entity
    WHEN 'rating' THEN EXISTS (SELECT FROM ratings r WHERE r.county_id = county AND r.id = entity_id AND r.served_by @> ARRAY[reader])
    WHEN 'resident' THEN what = 'reveal' AND actor <> reader AND EXISTS (
      SELECT FROM ratings r WHERE r.county_id = county AND r.resident_id = entity_id AND r.served_by @> ARRAY[reader] AND moment >= r.created_at
        AND EXISTS (SELECT FROM rating_entries e WHERE e.county_id = county AND e.rating_id = r.id AND e.grade <= 2))
    ELSE false END
$$;
COMMENT ON FUNCTION tells_the_rated IS 'Whether an entry of the audit log would tell somebody who rated them: entries of ratings of what they did, and looks by others at a resident since a bad one.';
