-- Households (户): members, home points, tags, partners, and the tasks that their category leads to (入户走访). Visits are on top of it.

CREATE TABLE visit_categories (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  every_days smallint NOT NULL CHECK (every_days BETWEEN 1 AND 730),
  window_days smallint NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT visit_categories_name UNIQUE (county_id, name),
  CONSTRAINT visit_categories_window CHECK (window_days BETWEEN 1 AND every_days)
);
REVOKE DELETE, TRUNCATE ON visit_categories FROM lianxin_service;
COMMENT ON TABLE visit_categories IS 'How often a household is to be seen (走访类别). No household is put into a closed one any more; those in it stay.';
COMMENT ON COLUMN visit_categories.every_days IS 'Days from a visit until the next one is due.';
COMMENT ON COLUMN visit_categories.window_days IS 'Days before the due day from which on a visit counts for it.';

CREATE TABLE households (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed', 'merged')),
  merged_into uuid,
  code text CHECK (code <> ''),
  name bytea,
  name_index bytea,
  address bytea,
  note bytea,
  category_id uuid,
  holder_id uuid,
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  point_set_at timestamptz,
  last_visit_on date,
  version bigint NOT NULL DEFAULT 1,
  created_by uuid,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, merged_into) REFERENCES households,
  FOREIGN KEY (county_id, category_id) REFERENCES visit_categories,
  FOREIGN KEY (county_id, holder_id) REFERENCES staff,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT households_code UNIQUE (county_id, code),
  CONSTRAINT households_merged CHECK ((state = 'merged') = (merged_into IS NOT NULL) AND merged_into <> id),
  CONSTRAINT households_point CHECK ((lng IS NULL) = (lat IS NULL) AND (lng IS NULL) = (point_set_at IS NULL)),
  CONSTRAINT households_name CHECK ((name IS NULL) = (name_index IS NULL))
);
CREATE INDEX households_unit ON households (county_id, unit_id, id);
CREATE INDEX households_holder ON households (county_id, holder_id, id) WHERE holder_id IS NOT NULL;
CREATE INDEX households_name_index ON households (county_id, name_index) WHERE name_index IS NOT NULL;
CREATE INDEX households_category ON households (county_id, category_id) WHERE category_id IS NOT NULL;
CREATE INDEX households_merged_into ON households (county_id, merged_into) WHERE merged_into IS NOT NULL;
REVOKE DELETE, TRUNCATE ON households FROM lianxin_service;
COMMENT ON TABLE households IS 'Households (户). The id may be a phone''s own: one created on the spot.';
COMMENT ON COLUMN households.unit_id IS 'The village.';
COMMENT ON COLUMN households.merged_into IS 'The household that it turned out to be; never itself a merged one, so one step leads there.';
COMMENT ON COLUMN households.code IS 'The county''s own number of it, if it has one; imports find it by that.';
COMMENT ON COLUMN households.name IS 'Sealed; how the household is called, usually after its head. None once it has been erased. Address and note are sealed too.';
COMMENT ON COLUMN households.name_index IS 'Blind index of the name.';
COMMENT ON COLUMN households.holder_id IS 'Who answers for its visits; at first a specialist of the village.';
COMMENT ON COLUMN households.lng IS 'The home point (WGS 84): the newest row of household_points. No visit moves it.';
COMMENT ON COLUMN households.last_visit_on IS 'The last day on which a visit met somebody. It does not raise the version.';
COMMENT ON COLUMN households.version IS 'Raised by whatever changes the household, its members, point, tags and partners; not by visits.';

CREATE TABLE household_members (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  relation text NOT NULL CHECK (relation IN ('head', 'spouse', 'child', 'parent', 'grandchild', 'grandparent', 'sibling', 'other')),
  since_on date NOT NULL,
  until_on date,
  added_by uuid,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, added_by) REFERENCES staff,
  CONSTRAINT household_members_days CHECK (until_on >= since_on)
);
CREATE UNIQUE INDEX household_members_one ON household_members (county_id, resident_id) WHERE until_on IS NULL;
CREATE UNIQUE INDEX household_members_head ON household_members (county_id, household_id) WHERE until_on IS NULL AND relation = 'head';
CREATE INDEX household_members_household ON household_members (county_id, household_id, since_on, id);
CREATE INDEX household_members_resident ON household_members (county_id, resident_id);
COMMENT ON TABLE household_members IS 'Who belongs to a household: a resident to one at a time, and a household has one head (户主) at a time.';
COMMENT ON COLUMN household_members.until_on IS 'Exclusive; none: still a member.';

CREATE TABLE household_points (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  source text NOT NULL CHECK (source IN ('created', 'set', 'corrected', 'imported', 'taken_back')),
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  given_lng double precision CHECK (given_lng BETWEEN -180 AND 180),
  given_lat double precision CHECK (given_lat BETWEEN -90 AND 90),
  coordinate_system text NOT NULL CHECK (coordinate_system IN ('wgs84', 'gcj02')),
  accuracy_m double precision CHECK (accuracy_m >= 0),
  set_by uuid,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, set_by) REFERENCES staff,
  CONSTRAINT household_points_point CHECK (num_nulls(lng, lat, given_lng, given_lat) IN (0, 4))
);
CREATE INDEX household_points_household ON household_points (county_id, household_id, at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON household_points FROM lianxin_service;
GRANT UPDATE (lng, lat, given_lng, given_lat, accuracy_m) ON household_points TO lianxin_service;
COMMENT ON TABLE household_points IS 'Every home point that was ever set, append-only: as it was given, and in WGS 84.';
COMMENT ON COLUMN household_points.lng IS 'None once it has been erased, or taken back with an import.';

CREATE TABLE household_tag_kinds (
  county_id integer NOT NULL REFERENCES counties,
  key text NOT NULL CHECK (key ~ '^[a-z][a-z0-9_]{0,31}$'),
  name_zh text NOT NULL CHECK (name_zh <> ''),
  name_en text NOT NULL CHECK (name_en <> ''),
  consent text CHECK (consent IN ('health', 'under_14')),
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, key)
);
REVOKE DELETE, TRUNCATE ON household_tag_kinds FROM lianxin_service;
COMMENT ON TABLE household_tag_kinds IS 'What can be said of a household in one word (标签), such as living alone. A closed one is given to nobody any more.';
COMMENT ON COLUMN household_tag_kinds.consent IS 'Purpose of the separate consent that it needs of the member concerned; none: it is not sensitive.';

CREATE TABLE household_tags (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  tag text NOT NULL,
  resident_id uuid,
  since_on date NOT NULL,
  until_on date,
  set_by uuid NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, tag) REFERENCES household_tag_kinds,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, set_by) REFERENCES staff,
  CONSTRAINT household_tags_days CHECK (until_on >= since_on)
);
CREATE UNIQUE INDEX household_tags_one ON household_tags (county_id, household_id, tag) WHERE until_on IS NULL;
CREATE INDEX household_tags_resident ON household_tags (county_id, resident_id) WHERE resident_id IS NOT NULL;
COMMENT ON TABLE household_tags IS 'Tags of households. They have a permission of their own, and looks at them are audited.';
COMMENT ON COLUMN household_tags.resident_id IS 'The member concerned, whose consent a sensitive one rests on: withdrawn, and the row is gone.';

CREATE TABLE visit_partners (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  staff_id uuid NOT NULL,
  from_on date NOT NULL,
  until_on date,
  created_by uuid NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, staff_id) REFERENCES staff,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT visit_partners_days CHECK (until_on >= from_on),
  CONSTRAINT visit_partners_one EXCLUDE USING gist (county_id WITH =, household_id WITH =, daterange(from_on, until_on) WITH &&)
);
CREATE INDEX visit_partners_staff ON visit_partners (county_id, staff_id, household_id);
COMMENT ON TABLE visit_partners IS 'One-to-one partners (结对帮扶): a household has one at a time.';
COMMENT ON COLUMN visit_partners.until_on IS 'Exclusive; none: until further notice.';

CREATE TABLE visit_tasks (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  household_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  category_id uuid NOT NULL,
  holder_id uuid,
  opens_on date NOT NULL,
  due_on date NOT NULL,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'resolved', 'dropped')),
  resolved_by uuid,
  resolved_on date,
  dropped_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, household_id) REFERENCES households,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, category_id) REFERENCES visit_categories,
  FOREIGN KEY (county_id, holder_id) REFERENCES staff,
  CONSTRAINT visit_tasks_window CHECK (opens_on <= due_on),
  CONSTRAINT visit_tasks_resolved CHECK (num_nulls(resolved_by, resolved_on) = CASE state WHEN 'resolved' THEN 0 ELSE 2 END AND resolved_on >= opens_on),
  CONSTRAINT visit_tasks_dropped CHECK ((state = 'dropped') = (dropped_at IS NOT NULL))
);
CREATE UNIQUE INDEX visit_tasks_one ON visit_tasks (county_id, household_id) WHERE state = 'open';
CREATE INDEX visit_tasks_household ON visit_tasks (county_id, household_id, opens_on);
CREATE INDEX visit_tasks_holder ON visit_tasks (county_id, holder_id, due_on, id) WHERE state = 'open';
CREATE INDEX visit_tasks_unit ON visit_tasks (county_id, unit_id, due_on, id);
REVOKE DELETE, TRUNCATE ON visit_tasks FROM lianxin_service;
COMMENT ON TABLE visit_tasks IS 'Visits that are due (走访任务), one open per household. Nobody ticks one: it is resolved because a visit exists that met somebody on a day from opens_on on.';
COMMENT ON COLUMN visit_tasks.unit_id IS 'The village of the household when it was made, or since; holder_id likewise.';
COMMENT ON COLUMN visit_tasks.resolved_by IS 'The visit.';
COMMENT ON COLUMN visit_tasks.resolved_on IS 'The day of that visit; after due_on it was late.';
COMMENT ON COLUMN visit_tasks.dropped_at IS 'The category changed, or the household was closed or merged.';

CREATE TABLE household_imports (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  file_name text NOT NULL,
  digest bytea NOT NULL,
  created integer NOT NULL,
  changed integer NOT NULL,
  unchanged integer NOT NULL,
  imported_by uuid NOT NULL,
  imported_at timestamptz NOT NULL,
  undone_by uuid,
  undone_at timestamptz,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, imported_by) REFERENCES staff,
  FOREIGN KEY (county_id, undone_by) REFERENCES staff,
  CONSTRAINT household_imports_undone CHECK ((undone_by IS NULL) = (undone_at IS NULL))
);
CREATE INDEX household_imports_time ON household_imports (county_id, imported_at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON household_imports FROM lianxin_service;
GRANT UPDATE (undone_by, undone_at) ON household_imports TO lianxin_service;
COMMENT ON TABLE household_imports IS 'Files of households that were imported, and whether that was undone.';
COMMENT ON COLUMN household_imports.digest IS 'SHA-256 of the file.';

CREATE TABLE household_import_lines (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  import_id uuid NOT NULL,
  line integer NOT NULL CHECK (line >= 2),
  household_id uuid NOT NULL,
  did text NOT NULL CHECK (did IN ('created', 'changed')),
  before bytea,
  version bigint NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT household_import_lines_line UNIQUE (county_id, import_id, line),
  FOREIGN KEY (county_id, import_id) REFERENCES household_imports,
  FOREIGN KEY (county_id, household_id) REFERENCES households
);
CREATE INDEX household_import_lines_household ON household_import_lines (county_id, household_id);
REVOKE UPDATE, DELETE, TRUNCATE ON household_import_lines FROM lianxin_service;
GRANT UPDATE (before) ON household_import_lines TO lianxin_service;
COMMENT ON TABLE household_import_lines IS 'What each line of an import did, for undoing it.';
COMMENT ON COLUMN household_import_lines.before IS 'Sealed; what the line changed, as it was. None of a household that the line created, or once it has been erased.';
COMMENT ON COLUMN household_import_lines.version IS 'The version that the line left: with another one, something has happened since.';

CREATE FUNCTION household_ids(county integer, household uuid) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
  SELECT household UNION ALL SELECT h.id FROM households h WHERE h.county_id = county AND h.merged_into = household
$$;
COMMENT ON FUNCTION household_ids IS 'A household and those that turned out to be it: what is append-only (points, visits) stays with the id that it was said of.';

-- Who answers for the visits of a village unless somebody says otherwise.
CREATE FUNCTION village_visitor(county integer, village uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
  SELECT p.staff_id FROM staff_posts p JOIN staff s ON s.county_id = p.county_id AND s.id = p.staff_id AND s.state = 'active'
   WHERE p.county_id = county AND p.unit_id = village AND p.ended_at IS NULL AND p.role IN ('specialist', 'village_cadre')
   ORDER BY p.role <> 'specialist', p.since, p.id LIMIT 1
$$;
COMMENT ON FUNCTION village_visitor IS 'The specialist of a village, the one longest there; where there is none, a cadre; where there is none, nobody.';

CREATE FUNCTION households_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.holder_id := coalesce(NEW.holder_id, village_visitor(NEW.county_id, NEW.unit_id));
  RETURN NEW;
END $$;
COMMENT ON FUNCTION households_begin IS 'A new household has a holder, wherever it comes from: the desk, a phone, an import.';
CREATE TRIGGER households_begin BEFORE INSERT ON households FOR EACH ROW EXECUTE FUNCTION households_begin();

CREATE FUNCTION household_plan(county integer, household uuid, moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  today date := (moment AT TIME ZONE 'Asia/Shanghai')::date;
BEGIN
  UPDATE visit_tasks t SET state = 'dropped', dropped_at = moment, updated_at = moment
   WHERE t.county_id = county AND t.household_id = household AND t.state = 'open';
  INSERT INTO visit_tasks (county_id, id, household_id, unit_id, category_id, holder_id, opens_on, due_on, created_at, updated_at)
  SELECT county, gen_random_uuid(), h.id, h.unit_id, c.id, h.holder_id, greatest(d.due_on - c.window_days, h.last_visit_on + 1), d.due_on, moment, moment
    FROM households h JOIN visit_categories c ON c.county_id = h.county_id AND c.id = h.category_id
    -- A household that nobody has seen yet is due within the window, from today.
    CROSS JOIN LATERAL (SELECT greatest(coalesce(h.last_visit_on + c.every_days, today + c.window_days), today, h.last_visit_on + 1) AS due_on) d
   WHERE h.county_id = county AND h.id = household AND h.state = 'active';
END $$;
COMMENT ON FUNCTION household_plan IS 'Drops the open task of a household and makes the one that its category leads to, if any.';

CREATE FUNCTION households_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND (OLD.unit_id <> NEW.unit_id OR OLD.holder_id <> NEW.holder_id OR OLD.holder_id IS NOT NULL AND NEW.holder_id IS NULL) THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, gone, at)
    VALUES (NEW.county_id, 'household', NEW.id, CASE WHEN OLD.unit_id <> NEW.unit_id THEN OLD.unit_id END,
      CASE WHEN OLD.holder_id IS DISTINCT FROM NEW.holder_id THEN OLD.holder_id END, true, NEW.updated_at);
  END IF;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, gone, at)
  VALUES (NEW.county_id, 'household', NEW.id, NEW.unit_id, NEW.holder_id, NEW.state <> 'active', NEW.updated_at);
  INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at)
  SELECT NEW.county_id, 'household', NEW.id, p.staff_id, NEW.state <> 'active', NEW.updated_at FROM visit_partners p
   WHERE p.county_id = NEW.county_id AND p.household_id = NEW.id AND p.until_on IS NULL AND p.staff_id IS DISTINCT FROM NEW.holder_id;
  IF TG_OP = 'INSERT' OR (OLD.category_id, OLD.state) IS DISTINCT FROM (NEW.category_id, NEW.state) THEN
    IF TG_OP = 'UPDATE' OR NEW.category_id IS NOT NULL THEN
      PERFORM household_plan(NEW.county_id, NEW.id, NEW.updated_at);
    END IF;
  ELSIF (OLD.unit_id, OLD.holder_id) IS DISTINCT FROM (NEW.unit_id, NEW.holder_id) THEN
    UPDATE visit_tasks SET unit_id = NEW.unit_id, holder_id = NEW.holder_id, updated_at = NEW.updated_at
     WHERE county_id = NEW.county_id AND household_id = NEW.id AND state = 'open';
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION households_follow IS 'What phones must learn of a household, and the task that its category leads to, whoever changes it.';
CREATE TRIGGER households_follow_insert AFTER INSERT ON households FOR EACH ROW EXECUTE FUNCTION households_follow();
CREATE TRIGGER households_follow_update AFTER UPDATE ON households FOR EACH ROW
  WHEN ((OLD.version, OLD.unit_id, OLD.holder_id, OLD.category_id, OLD.state, OLD.last_visit_on)
    IS DISTINCT FROM (NEW.version, NEW.unit_id, NEW.holder_id, NEW.category_id, NEW.state, NEW.last_visit_on))
  EXECUTE FUNCTION households_follow();

CREATE FUNCTION visit_partners_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at)
  SELECT NEW.county_id, 'household', NEW.household_id, NEW.staff_id, NEW.until_on IS NOT NULL AND h.holder_id IS DISTINCT FROM NEW.staff_id, h.updated_at
    FROM households h WHERE h.county_id = NEW.county_id AND h.id = NEW.household_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_partners_follow IS 'A partner sees the household from now on, or no more.';
CREATE TRIGGER visit_partners_follow AFTER INSERT OR UPDATE ON visit_partners FOR EACH ROW EXECUTE FUNCTION visit_partners_follow();

CREATE FUNCTION visit_tasks_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND (OLD.unit_id <> NEW.unit_id OR OLD.holder_id IS NOT NULL AND OLD.holder_id IS DISTINCT FROM NEW.holder_id) THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, gone, at)
    VALUES (NEW.county_id, 'visit_task', NEW.id, CASE WHEN OLD.unit_id <> NEW.unit_id THEN OLD.unit_id END,
      CASE WHEN OLD.holder_id IS DISTINCT FROM NEW.holder_id THEN OLD.holder_id END, true, NEW.updated_at);
  END IF;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, gone, at)
  VALUES (NEW.county_id, 'visit_task', NEW.id, NEW.unit_id, NEW.holder_id, NEW.state <> 'open', NEW.updated_at);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION visit_tasks_follow IS 'What phones must learn of a task; one that is no longer open is gone for them.';
CREATE TRIGGER visit_tasks_follow AFTER INSERT OR UPDATE ON visit_tasks FOR EACH ROW EXECUTE FUNCTION visit_tasks_follow();

CREATE FUNCTION visit_tasks_resolve(county integer, household uuid, visit uuid, on_day date, moment timestamptz) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  home uuid;
  task record;
BEGIN
  SELECT coalesce(h.merged_into, h.id) INTO home FROM households h WHERE h.county_id = county AND h.id = household;
  -- Two visits of one household come one after the other.
  PERFORM FROM households h WHERE h.county_id = county AND h.id = home FOR NO KEY UPDATE;
  UPDATE households h SET last_visit_on = on_day, updated_at = moment
   WHERE h.county_id = county AND h.id = home AND (h.last_visit_on IS NULL OR h.last_visit_on < on_day);
  -- The window that the day lies in: the open one, or one whose first visit was later than this one, which only arrives now.
  SELECT t.id, t.state, t.category_id, t.resolved_on INTO task FROM visit_tasks t
   WHERE t.county_id = county AND t.household_id = home AND t.opens_on <= on_day AND t.state <> 'dropped'
   ORDER BY t.opens_on DESC LIMIT 1;
  IF NOT FOUND OR task.state = 'resolved' AND task.resolved_on <= on_day THEN
    RETURN NULL;
  END IF;
  UPDATE visit_tasks t SET state = 'resolved', resolved_by = visit, resolved_on = on_day, updated_at = moment WHERE t.county_id = county AND t.id = task.id;
  IF task.state = 'open' THEN
    INSERT INTO visit_tasks (county_id, id, household_id, unit_id, category_id, holder_id, opens_on, due_on, created_at, updated_at)
    SELECT county, gen_random_uuid(), h.id, h.unit_id, c.id, h.holder_id, greatest(on_day + c.every_days - c.window_days, on_day + 1),
        on_day + c.every_days, moment, moment
      FROM households h JOIN visit_categories c ON c.county_id = h.county_id AND c.id = h.category_id
     WHERE h.county_id = county AND h.id = home AND h.state = 'active';
  END IF;
  RETURN task.id;
END $$;
COMMENT ON FUNCTION visit_tasks_resolve IS 'To be called for a visit that met somebody (outcome seen), once, in its transaction: the task whose window its day lies in is resolved by it, and the next counts from that day. The task, or none.';
