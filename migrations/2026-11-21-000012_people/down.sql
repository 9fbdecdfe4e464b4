ALTER TABLE matters DROP COLUMN identity_level;
ALTER TABLE appointments DROP COLUMN booked_by_resident;
DROP FUNCTION acts_for;
DROP TABLE proxies, one_time_codes, resident_merges;
ALTER TABLE residents DROP CONSTRAINT residents_merged, DROP CONSTRAINT residents_reached;
-- What was merged cannot be told apart again; the earlier schema has no place for it.
UPDATE residents SET registered_by = (SELECT s.id FROM staff s WHERE s.county_id = residents.county_id LIMIT 1) WHERE merged_into IS NOT NULL;
ALTER TABLE residents
  DROP COLUMN merged_into,
  DROP COLUMN id_number_claim,
  ADD CONSTRAINT residents_reached CHECK (wechat_openid IS NOT NULL OR registered_by IS NOT NULL OR closed_at IS NOT NULL);
