-- What phones keep in step with: who is told by index, which feed it is and how far back it goes, and what nobody was told yet.

-- A phone reads what concerns its unit, its owner and everybody: each a range of an index, whatever else happens in the county.
CREATE INDEX changes_unit ON changes (county_id, unit_id, xid, seq) WHERE unit_id IS NOT NULL;
CREATE INDEX changes_staff ON changes (county_id, staff_id, xid, seq) WHERE staff_id IS NOT NULL;
CREATE INDEX changes_everybody ON changes (county_id, xid, seq) WHERE unit_id IS NULL AND staff_id IS NULL AND resident_id IS NULL;
-- What is old is known by its transaction, which a wrong clock does not move.
DROP INDEX changes_age;

-- The database that this is: the cluster by its identifier, and its timeline, which every promotion and every recovery to a point in time moves on.
CREATE FUNCTION feed_place() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT system_identifier FROM pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8);
END $$;
COMMENT ON FUNCTION feed_place IS 'The cluster and its timeline: another one after pg_restore, a promotion, a recovery to a point in time.';

CREATE TABLE change_feed (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch bigint NOT NULL,
  place text NOT NULL,
  kept_from xid8 NOT NULL DEFAULT '0',
  began_at timestamptz NOT NULL
);
REVOKE INSERT, DELETE, TRUNCATE ON change_feed FROM lianxin_service;
INSERT INTO change_feed (epoch, place, began_at) VALUES (('x' || left(md5(gen_random_uuid()::text), 16))::bit(64)::bigint, feed_place(), now());
COMMENT ON TABLE change_feed IS 'One row: which feed `changes` is. Cursors name the epoch; those of another one start over.';
COMMENT ON COLUMN change_feed.epoch IS 'Drawn anew when the database turns out to be another one than the one that wrote it.';
COMMENT ON COLUMN change_feed.place IS 'feed_place() when the epoch began.';
COMMENT ON COLUMN change_feed.kept_from IS 'Changes of transactions before this one may have been deleted: cursors before it start over.';

CREATE TABLE change_marks (
  at timestamptz PRIMARY KEY,
  xid xid8 NOT NULL
);
REVOKE UPDATE, TRUNCATE ON change_marks FROM lianxin_service;
COMMENT ON TABLE change_marks IS 'Where the feed stood when, at least every hour. It says which transactions are old enough to be deleted; and a cursor that was further at an earlier time is from before a restore.';

CREATE FUNCTION units_below(county integer, top uuid) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
  WITH RECURSIVE tree (id) AS (
    SELECT u.id FROM units u WHERE u.county_id = county AND u.id = top
    UNION ALL SELECT u.id FROM tree t JOIN units u ON u.county_id = county AND u.parent_id = t.id)
  SELECT id FROM tree
$$;
COMMENT ON FUNCTION units_below IS 'A unit and all below it: the other direction of unit_within.';

-- What a phone keeps of a room, in the order in which it is first sent.
CREATE INDEX errands_kept ON errands (county_id, unit_id, id) WHERE state NOT IN ('draft', 'archived');
CREATE INDEX todos_kept ON todos (county_id, unit_id, id) WHERE state IN ('open', 'taken') AND unit_id IS NOT NULL;
CREATE INDEX appointments_booked_by ON appointments (county_id, booked_by, id)
  WHERE booked_by IS NOT NULL AND state IN ('booked', 'arrived', 'called', 'serving');

-- What nobody was told yet. The row of a change names those who may see the thing now; whoever could before and no more is told here.
CREATE FUNCTION errands_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, gone, at)
    SELECT NEW.county_id, 'errand', NEW.id, w.unit_id, w.resident_id, w.staff_id, true, NEW.updated_at
      FROM (VALUES (nullif(OLD.unit_id, NEW.unit_id), nullif(OLD.resident_id, NEW.resident_id),
        CASE WHEN OLD.offered_to IS DISTINCT FROM NEW.offered_to AND OLD.offered_to IS DISTINCT FROM NEW.holder_id THEN OLD.offered_to END)) w (unit_id, resident_id, staff_id)
     WHERE coalesce(w.unit_id, w.resident_id, w.staff_id) IS NOT NULL;
    -- Dates that were counted again are no step.
    IF OLD.version = NEW.version THEN
      INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
      VALUES (NEW.county_id, 'errand', NEW.id, NEW.unit_id, NEW.resident_id, NEW.holder_id, NEW.updated_at);
    END IF;
  END IF;
  -- Whoever wrote a draft sees it wherever they work.
  IF NEW.filed_by IS NOT NULL AND (NEW.state = 'draft' OR TG_OP = 'UPDATE' AND OLD.state = 'draft') THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, at) VALUES (NEW.county_id, 'errand', NEW.id, NEW.filed_by, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION errands_leave IS 'Whose errand it was: asked to take it over, of the unit or record before; and whoever drafted it.';
CREATE TRIGGER errands_leave_insert AFTER INSERT ON errands FOR EACH ROW WHEN (NEW.state = 'draft' AND NEW.filed_by IS NOT NULL) EXECUTE FUNCTION errands_leave();
CREATE TRIGGER errands_leave_update AFTER UPDATE ON errands FOR EACH ROW
  WHEN (OLD.unit_id <> NEW.unit_id OR OLD.resident_id <> NEW.resident_id OR OLD.offered_to IS DISTINCT FROM NEW.offered_to OR OLD.state = 'draft'
    OR OLD.version = NEW.version AND (OLD.due_on, OLD.provisional, OLD.yellow_from, OLD.red_from) IS DISTINCT FROM (NEW.due_on, NEW.provisional, NEW.yellow_from, NEW.red_from))
  EXECUTE FUNCTION errands_leave();

CREATE FUNCTION orders_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  SELECT NEW.county_id, 'order', NEW.id, w.unit_id, w.resident_id, w.staff_id, NEW.updated_at FROM (
    SELECT NEW.unit_id, NEW.resident_id, h.staff_id FROM (VALUES (NEW.holder_id)) n (id) LEFT JOIN helpers h ON h.county_id = NEW.county_id AND h.id = n.id
    UNION ALL SELECT NULL, h.resident_id, NULL FROM helpers h WHERE h.county_id = NEW.county_id AND h.id = NEW.holder_id AND h.resident_id IS NOT NULL) w (unit_id, resident_id, staff_id);
  IF (OLD.unit_id, OLD.resident_id) IS DISTINCT FROM (NEW.unit_id, NEW.resident_id) THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, gone, at)
    VALUES (NEW.county_id, 'order', NEW.id, nullif(OLD.unit_id, NEW.unit_id), nullif(OLD.resident_id, NEW.resident_id), true, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION orders_change IS 'What phones must learn of an order that changes and does not move: money, new codes, codes that are locked, another record, what was erased. Moves tell it themselves.';
CREATE TRIGGER orders_change AFTER UPDATE ON orders FOR EACH ROW
  WHEN (OLD.moves = NEW.moves AND (OLD.version <> NEW.version OR (OLD.tries < 5) <> (NEW.tries < 5))) EXECUTE FUNCTION orders_change();

CREATE FUNCTION appointments_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, gone, at)
  VALUES (NEW.county_id, 'appointment', NEW.id, nullif(OLD.unit_id, NEW.unit_id), CASE WHEN OLD.resident_id IS DISTINCT FROM NEW.resident_id THEN OLD.resident_id END,
    CASE WHEN OLD.booked_by IS DISTINCT FROM NEW.booked_by THEN OLD.booked_by END, true, NEW.updated_at);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION appointments_leave IS 'Whose appointment it was: of the centre, the record or the agent before.';
CREATE TRIGGER appointments_leave AFTER UPDATE ON appointments FOR EACH ROW
  WHEN (OLD.unit_id <> NEW.unit_id OR OLD.resident_id <> NEW.resident_id OR OLD.booked_by IS DISTINCT FROM NEW.booked_by AND OLD.booked_by IS NOT NULL)
  EXECUTE FUNCTION appointments_leave();

-- Merging records and erasing one did not say it of todos.
CREATE FUNCTION todos_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at) VALUES (NEW.county_id, 'todo', NEW.id, NEW.unit_id, NEW.holder_id, NEW.updated_at);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION todos_change IS 'What phones must learn of a todo that changes without a new version: another record, what was erased. Moves tell it themselves.';
CREATE TRIGGER todos_change AFTER UPDATE ON todos FOR EACH ROW
  WHEN (OLD.version = NEW.version AND (NEW.unit_id IS NOT NULL OR NEW.holder_id IS NOT NULL)) EXECUTE FUNCTION todos_change();

-- Tasks of a household are its partner's too, who may work elsewhere.
CREATE INDEX visit_tasks_kept ON visit_tasks (county_id, unit_id, id) WHERE state = 'open';
CREATE FUNCTION visit_tasks_tell_partner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at)
  SELECT NEW.county_id, 'visit_task', NEW.id, p.staff_id, NEW.state <> 'open', NEW.updated_at FROM visit_partners p
   WHERE p.county_id = NEW.county_id AND p.household_id = NEW.household_id AND p.until_on IS NULL AND p.staff_id IS DISTINCT FROM NEW.holder_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_tasks_tell_partner IS 'The change feed of a task for the one-to-one partner of its household.';
CREATE TRIGGER visit_tasks_tell_partner AFTER INSERT OR UPDATE ON visit_tasks FOR EACH ROW EXECUTE FUNCTION visit_tasks_tell_partner();

CREATE FUNCTION visit_partners_tell_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at)
  SELECT NEW.county_id, 'visit_task', t.id, NEW.staff_id, NEW.until_on IS NOT NULL AND t.holder_id IS DISTINCT FROM NEW.staff_id, t.updated_at FROM visit_tasks t
   WHERE t.county_id = NEW.county_id AND t.household_id = NEW.household_id AND t.state = 'open';
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_partners_tell_task IS 'A partner sees the open task of the household from now on, or no more.';
CREATE TRIGGER visit_partners_tell_task AFTER INSERT OR UPDATE ON visit_partners FOR EACH ROW EXECUTE FUNCTION visit_partners_tell_task();
