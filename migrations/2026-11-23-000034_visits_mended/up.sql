-- Visits: what a household agreed to is asked once more when a visit is written, what is amended counts, and other versions wait for somebody.

ALTER TABLE households ADD COLUMN closed_on date;
UPDATE households SET closed_on = (updated_at AT TIME ZONE 'Asia/Shanghai')::date WHERE state = 'closed';
ALTER TABLE households ADD CONSTRAINT households_closed CHECK ((state = 'closed') = (closed_on IS NOT NULL));
COMMENT ON COLUMN households.closed_on IS 'The day on which it was closed: visits until then are still taken from phones that were offline.';

ALTER TABLE visits ADD COLUMN amended_place text CHECK (amended_place IN ('home', 'elsewhere'));
GRANT UPDATE (amended_place) ON visits TO lianxin_service;
COMMENT ON COLUMN visits.amended_place IS 'Where it was instead, by the last amendment that says so.';
UPDATE visits v SET amended_place = a.place, flags = CASE a.place WHEN 'elsewhere' THEN array_remove(v.flags, 'far') ELSE v.flags END
  FROM (SELECT DISTINCT ON (county_id, visit_id) county_id, visit_id, place FROM visit_amendments WHERE place IS NOT NULL ORDER BY county_id, visit_id, at DESC, id DESC) a
 WHERE v.county_id = a.county_id AND v.id = a.visit_id;

CREATE INDEX visit_conflicts_household ON visit_conflicts (county_id, household_id);

-- Numbers of a period also tell what was overdue when it began: what is open still, by visit_tasks_kept, and what was resolved late.
CREATE INDEX visit_tasks_late ON visit_tasks (county_id, unit_id, resolved_on) WHERE state = 'resolved' AND resolved_on > due_on;

CREATE FUNCTION household_refuses(county integer, household uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM household_members m CROSS JOIN LATERAL (
      SELECT c.answer FROM consents c WHERE c.county_id = m.county_id AND c.resident_id = m.resident_id AND c.purpose = 'position' ORDER BY c.at DESC, c.seq DESC LIMIT 1) l
    WHERE m.county_id = county AND m.household_id = household AND m.until_on IS NULL AND l.answer <> 'given');
END $$;
COMMENT ON FUNCTION household_refuses IS 'Whether the latest answer of a member says no to their whereabouts being kept (consent position). Defined once.';

-- Whoever took a consent back, or came to the household, while a visit waited for it: what was read before is not true any more, and the visit is looked at anew.
CREATE FUNCTION positions_still_agreed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM (SELECT DISTINCT n.county_id, coalesce(h.merged_into, h.id) AS id FROM new_visits n JOIN households h ON h.county_id = n.county_id AND h.id = n.household_id
      WHERE n.raw_lng IS NOT NULL AND n.said IS NOT NULL) h WHERE household_refuses(h.county_id, h.id)) THEN
    RAISE EXCEPTION 'a member of the household does not agree to positions any more' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION positions_still_agreed IS 'Refuses positions that somebody of the household has said no to since they were decided on; whoever writes tries again.';
CREATE TRIGGER visits_agreed AFTER INSERT ON visits REFERENCING NEW TABLE AS new_visits FOR EACH STATEMENT EXECUTE FUNCTION positions_still_agreed();
CREATE TRIGGER visit_conflicts_agreed AFTER INSERT ON visit_conflicts REFERENCING NEW TABLE AS new_visits FOR EACH STATEMENT EXECUTE FUNCTION positions_still_agreed();

-- Points of households whose members have said no, set before they came to it.
UPDATE household_points p SET lng = NULL, lat = NULL, given_lng = NULL, given_lat = NULL, accuracy_m = NULL
  FROM households h WHERE h.county_id = p.county_id AND h.id = p.household_id AND p.lng IS NOT NULL AND household_refuses(h.county_id, coalesce(h.merged_into, h.id));
UPDATE household_import_lines l SET before = NULL
  FROM households h WHERE h.county_id = l.county_id AND h.id = l.household_id AND l.before IS NOT NULL AND household_refuses(h.county_id, coalesce(h.merged_into, h.id));
UPDATE households h SET lng = NULL, lat = NULL, point_set_at = NULL, version = version + 1, updated_at = greatest(updated_at, now())
 WHERE h.lng IS NOT NULL AND household_refuses(h.county_id, h.id);

CREATE OR REPLACE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made visits;
  counted text;
BEGIN
  SELECT coalesce(v.amended_outcome, v.outcome) INTO counted FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id FOR NO KEY UPDATE;
  -- Far is who says that they were at home, and was not.
  UPDATE visits SET amended_outcome = coalesce(NEW.outcome, amended_outcome), amended_place = coalesce(NEW.place, amended_place),
      flags = CASE NEW.place WHEN 'elsewhere' THEN array_remove(flags, 'far') ELSE flags END, version = version + 1
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

-- Whoever must settle it has a todo, wherever the other version came from; it goes with the last one that is settled.
CREATE OR REPLACE FUNCTION visit_conflicts_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  moment timestamptz := coalesce(NEW.settled_at, NEW.recorded_at);
  made visits;
BEGIN
  UPDATE visits SET version = version + 1 WHERE county_id = NEW.county_id AND id = NEW.visit_id RETURNING * INTO made;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at) VALUES (made.county_id, 'visit', made.id, made.unit_id, made.staff_id, moment);
  IF NEW.settled_at IS NULL THEN
    WITH opened AS (
      INSERT INTO todos (county_id, id, kind, unit_id, about, about_id, title_zh, title_en, state, holder_id, created_at, updated_at)
      SELECT made.county_id, gen_random_uuid(), 'decide', made.unit_id, 'visit', made.id, '走访记录有不同版本，请核对', 'Another version of a visit: which is right?',
          CASE WHEN w.holder_id IS NULL THEN 'open' ELSE 'taken' END, w.holder_id, moment, moment
        FROM (SELECT CASE WHEN staff_present(made.county_id, made.staff_id, (moment AT TIME ZONE 'Asia/Shanghai')::date) THEN made.staff_id END AS holder_id) w
      ON CONFLICT DO NOTHING RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT made.county_id, 'todo', id, unit_id, holder_id, moment FROM opened;
  ELSIF NOT EXISTS (SELECT FROM visit_conflicts c WHERE c.county_id = NEW.county_id AND c.visit_id = NEW.visit_id AND c.settled_at IS NULL) THEN
    WITH settled AS (
      UPDATE todos SET state = 'done', done_by = NEW.settled_by, done_at = moment, version = version + 1, updated_at = moment
       WHERE county_id = NEW.county_id AND about = 'visit' AND about_id = NEW.visit_id AND kind = 'decide' AND state IN ('open', 'taken') RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT NEW.county_id, 'todo', id, unit_id, holder_id, moment FROM settled;
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_conflicts_follow IS 'The change feed of a visit that another version came of, or whose other version was settled, and the todo to settle it.';

CREATE FUNCTION covered_by(county integer, member uuid, on_day date) RETURNS SETOF uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN QUERY WITH RECURSIVE chain (id, depth) AS (
    SELECT member, 0
    UNION
    SELECT p.staff_id, c.depth + 1 FROM chain c JOIN staff_posts p ON p.county_id = county AND p.deputy_id = c.id AND p.ended_at IS NULL
     WHERE c.depth < 16 AND NOT staff_present(county, p.staff_id, on_day))
  SELECT DISTINCT c.id FROM chain c WHERE c.depth > 0 AND staff_present(county, member, on_day);
END $$;
COMMENT ON FUNCTION covered_by IS 'The absent colleagues whom a member of staff stands in for on a day: all whom staff_covers says it of.';
