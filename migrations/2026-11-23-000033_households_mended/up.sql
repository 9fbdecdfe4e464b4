-- Households: what imports keep, who answers for those of a village that had nobody, and a task whose visit met nobody after all.
-- Errands with a due date: a page is found in the index alone, however narrowed.

-- A body has no file name; the digest says which file it was.
ALTER TABLE household_imports DROP COLUMN file_name;

ALTER TABLE visit_partners ADD COLUMN planned_until date, ADD CONSTRAINT visit_partners_plan CHECK (planned_until > from_on);
CREATE INDEX visit_partners_planned ON visit_partners (planned_until) WHERE until_on IS NULL AND planned_until IS NOT NULL;
COMMENT ON COLUMN visit_partners.planned_until IS 'Exclusive, as until_on will be when the day has come; none: until further notice.';
COMMENT ON COLUMN visit_partners.until_on IS 'Exclusive; none: still the partner.';

CREATE FUNCTION staff_posts_households() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE households SET holder_id = NEW.staff_id, version = version + 1, updated_at = greatest(updated_at, NEW.since)
   WHERE county_id = NEW.county_id AND unit_id = NEW.unit_id AND holder_id IS NULL AND state <> 'merged';
  RETURN NULL;
END $$;
COMMENT ON FUNCTION staff_posts_households IS 'Whoever comes to a village answers for the households that nobody answered for.';
CREATE TRIGGER staff_posts_households AFTER INSERT ON staff_posts FOR EACH ROW
  WHEN (NEW.role IN ('specialist', 'village_cadre') AND NEW.ended_at IS NULL) EXECUTE FUNCTION staff_posts_households();

-- Those of villages that have somebody already, and what phones do not know of yet.
UPDATE households h SET holder_id = village_visitor(h.county_id, h.unit_id), version = version + 1, updated_at = greatest(updated_at, now())
 WHERE h.holder_id IS NULL AND h.state <> 'merged' AND village_visitor(h.county_id, h.unit_id) IS NOT NULL;
INSERT INTO changes (county_id, entity, entity_id, at) SELECT c.county_id, 'visit_category', c.id, now() FROM visit_categories c;

CREATE FUNCTION visit_tasks_reopen(county integer, household uuid, visit uuid, moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  home households;
  task visit_tasks;
  other record;
BEGIN
  SELECT h.* INTO home FROM households h WHERE h.county_id = county
     AND h.id = (SELECT coalesce(m.merged_into, m.id) FROM households m WHERE m.county_id = county AND m.id = household) FOR NO KEY UPDATE;
  UPDATE households h SET last_visit_on = s.on_date, updated_at = moment
    FROM (SELECT max(v.on_date) AS on_date FROM household_ids(county, home.id) i (id) JOIN visits v ON v.county_id = county AND v.household_id = i.id
       AND coalesce(v.amended_outcome, v.outcome) = 'seen') s
   WHERE h.county_id = county AND h.id = home.id AND h.last_visit_on IS DISTINCT FROM s.on_date;
  -- One that another visit came late for, too; the latest first, so that the oldest is the one that is open again.
  FOR task IN SELECT t.* FROM visit_tasks t WHERE t.county_id = county AND t.resolved_by = visit
      AND t.household_id IN (SELECT i.id FROM household_ids(county, home.id) i (id)) ORDER BY t.opens_on DESC LOOP
    -- Another visit of the same window met somebody; or one of a later window did, which comes late for this one.
    SELECT v.id, v.on_date INTO other FROM household_ids(county, home.id) i (id) JOIN visits v ON v.county_id = county AND v.household_id = i.id
     WHERE coalesce(v.amended_outcome, v.outcome) = 'seen' AND v.on_date >= task.opens_on AND task.household_id = home.id
     ORDER BY v.occurred_at, v.id LIMIT 1;
    IF FOUND THEN
      UPDATE visit_tasks t SET resolved_by = other.id, resolved_on = other.on_date, updated_at = moment WHERE t.county_id = county AND t.id = task.id;
    ELSIF home.state = 'active' AND home.category_id = task.category_id AND task.household_id = home.id THEN
      -- The one that followed from it is not due then.
      UPDATE visit_tasks t SET state = 'dropped', dropped_at = moment, updated_at = moment
       WHERE t.county_id = county AND t.household_id = home.id AND t.state = 'open';
      UPDATE visit_tasks t SET state = 'open', resolved_by = NULL, resolved_on = NULL, unit_id = home.unit_id, holder_id = home.holder_id, updated_at = moment
       WHERE t.county_id = county AND t.id = task.id;
    ELSE
      -- Its time is over: of another category, or of a household that turned out to be this one. What followed from it is planned anew.
      UPDATE visit_tasks t SET state = 'dropped', resolved_by = NULL, resolved_on = NULL, dropped_at = moment, updated_at = moment
       WHERE t.county_id = county AND t.id = task.id;
      PERFORM household_plan(county, home.id, moment);
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION visit_tasks_reopen IS 'To be called for a visit that met nobody after all, in its transaction: the task that it resolved is resolved by the first other visit since it opened that met somebody, late perhaps, or open again; where its time is over, dropped, and planned anew.';
COMMENT ON COLUMN visit_tasks.dropped_at IS 'The category changed, the household was closed or merged, or the visit that resolved it met nobody after all.';

CREATE OR REPLACE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made visits;
  counted text;
BEGIN
  SELECT coalesce(v.amended_outcome, v.outcome) INTO counted FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id FOR NO KEY UPDATE;
  UPDATE visits SET amended_outcome = coalesce(NEW.outcome, amended_outcome), version = version + 1
   WHERE county_id = NEW.county_id AND id = NEW.visit_id RETURNING * INTO made;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
  VALUES (made.county_id, 'visit', made.id, made.unit_id, made.staff_id, NEW.at);
  IF NEW.outcome = 'seen' AND counted <> 'seen' THEN
    PERFORM visit_tasks_resolve(made.county_id, made.household_id, made.id, made.on_date, NEW.at);
  ELSIF NEW.outcome <> 'seen' AND counted = 'seen' THEN
    PERFORM visit_tasks_reopen(made.county_id, made.household_id, made.id, NEW.at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visits_amended IS 'What follows from an amendment: what counts, the change feed, and the task that it resolves or opens again.';

DROP INDEX errands_running_unit;
CREATE INDEX errands_running_unit ON errands (county_id, unit_id, created_at, id) INCLUDE (state, matter_id, holder_id, due_on, yellow_from, red_from) WHERE due_on IS NOT NULL;
DROP INDEX errands_open;
CREATE INDEX errands_open ON errands (county_id, unit_id, due_on, id) INCLUDE (state, matter_id, holder_id, yellow_from, red_from)
  WHERE state NOT IN ('draft', 'delivered', 'archived', 'not_accepted', 'withdrawn', 'decided');
