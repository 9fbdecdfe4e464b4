-- Visits: what a household agreed to is asked once more when a visit is written, what is amended counts, and other versions wait for somebody.

ALTER TABLE households ADD COLUMN closed_on date;
UPDATE households SET closed_on = (updated_at AT TIME ZONE 'Asia/Shanghai')::date WHERE state = 'closed';
ALTER TABLE households ADD CONSTRAINT households_closed CHECK ((state = 'closed') = (closed_on IS NOT NULL));
COMMENT ON COLUMN households.closed_on IS 'The day on which it was closed: visits until then are still taken from phones that were offline.';

ALTER TABLE household_members ADD COLUMN first boolean NOT NULL DEFAULT false;
UPDATE household_members m SET first = true WHERE NOT EXISTS (
  SELECT FROM household_members e WHERE e.county_id = m.county_id AND e.household_id = m.household_id AND e.since_on < m.since_on);
COMMENT ON COLUMN household_members.first IS 'Nobody had been written down there before: what was said of the household until then is theirs too. Found out once, for rows of others are erased.';
CREATE FUNCTION household_members_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.first := NOT EXISTS (SELECT FROM household_members e WHERE e.county_id = NEW.county_id AND e.household_id = NEW.household_id AND e.since_on < NEW.since_on);
  RETURN NEW;
END $$;
COMMENT ON FUNCTION household_members_first IS 'Whether somebody is among the first who are written down in a household.';
CREATE TRIGGER household_members_first BEFORE INSERT ON household_members FOR EACH ROW EXECUTE FUNCTION household_members_first();

ALTER TABLE visits ADD COLUMN amended_place text CHECK (amended_place IN ('home', 'elsewhere'));
GRANT UPDATE (amended_place) ON visits TO lianxin_service;
COMMENT ON COLUMN visits.amended_place IS 'Where it was instead, by the last amendment that says so.';
UPDATE visits v SET amended_place = a.place, version = v.version + 1
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

-- Positions of visits that were decided on while somebody took their consent back.
UPDATE visits v SET coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, lng = NULL, lat = NULL, accuracy_m = NULL, mocked = false, distance_m = NULL,
    flags = array_remove(array_remove(v.flags, 'far'), 'vague'), left_out = v.left_out || ARRAY['position_withdrawn'], version = v.version + 1
  FROM households h WHERE h.county_id = v.county_id AND h.id = v.household_id AND v.raw_lng IS NOT NULL AND v.said IS NOT NULL
   AND household_refuses(h.county_id, coalesce(h.merged_into, h.id));
UPDATE visit_conflicts c SET coordinate_system = NULL, raw_lng = NULL, raw_lat = NULL, accuracy_m = NULL, mocked = false, left_out = c.left_out || ARRAY['position_withdrawn']
  FROM households h WHERE h.county_id = c.county_id AND h.id = c.household_id AND c.raw_lng IS NOT NULL AND household_refuses(h.county_id, coalesce(h.merged_into, h.id));

CREATE OR REPLACE FUNCTION visits_amended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  made visits;
  counted text;
BEGIN
  SELECT coalesce(v.amended_outcome, v.outcome) INTO counted FROM visits v WHERE v.county_id = NEW.county_id AND v.id = NEW.visit_id FOR NO KEY UPDATE;
  UPDATE visits SET amended_outcome = coalesce(NEW.outcome, amended_outcome), amended_place = coalesce(NEW.place, amended_place), version = version + 1
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

-- Whoever must settle it has a todo, wherever the other version came from: who made the visit, or the township where they are away; it goes with the last
-- one that is settled.
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
      SELECT made.county_id, gen_random_uuid(), 'decide', CASE WHEN w.there THEN u.id ELSE coalesce(u.parent_id, u.id) END, 'visit', made.id,
          '走访记录有不同版本，请核对', 'Another version of a visit: which is right?', CASE WHEN w.there THEN 'taken' ELSE 'open' END, CASE WHEN w.there THEN made.staff_id END, moment, moment
        FROM units u CROSS JOIN (SELECT staff_present(made.county_id, made.staff_id, (moment AT TIME ZONE 'Asia/Shanghai')::date) AS there) w
       WHERE u.county_id = made.county_id AND u.id = made.unit_id
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
  IF on_day IS NULL THEN
    RETURN;
  END IF;
  RETURN QUERY WITH RECURSIVE chain (id, depth) AS (
    SELECT member, 0
    UNION
    SELECT p.staff_id, c.depth + 1 FROM chain c JOIN staff_posts p ON p.county_id = county AND p.deputy_id = c.id AND p.ended_at IS NULL
     WHERE c.depth < 16 AND NOT staff_present(county, p.staff_id, on_day))
  SELECT DISTINCT c.id FROM chain c WHERE c.depth > 0 AND staff_present(county, member, on_day);
END $$;
COMMENT ON FUNCTION covered_by IS 'The absent colleagues whom a member of staff stands in for on a day: all whom staff_covers says it of; nobody without a day.';

-- Those that wait already.
INSERT INTO todos (county_id, id, kind, unit_id, about, about_id, title_zh, title_en, state, created_at, updated_at)
SELECT v.county_id, gen_random_uuid(), 'decide', coalesce(u.parent_id, u.id), 'visit', v.id, '走访记录有不同版本，请核对', 'Another version of a visit: which is right?', 'open', now(), now()
  FROM visits v JOIN units u ON u.county_id = v.county_id AND u.id = v.unit_id
 WHERE EXISTS (SELECT FROM visit_conflicts c WHERE c.county_id = v.county_id AND c.visit_id = v.id AND c.settled_at IS NULL) ON CONFLICT DO NOTHING;
