-- Errands (代办): paperwork that is handed over to be done, from the mandate to the archive. The ledger is the truth; what stands in
-- `errands` beside it is what its entries fold to, kept for lists and sweeps.

CREATE TABLE mandates (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  resident_id uuid NOT NULL,
  agent_id uuid,
  unit_id uuid NOT NULL,
  matter_id uuid,
  given_how text NOT NULL CHECK (given_how IN ('in_mini_program', 'signed', 'spoken')),
  given_by uuid,
  given_by_resident uuid,
  words bytea,
  valid_until date NOT NULL,
  revoked_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, agent_id) REFERENCES staff,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, given_by) REFERENCES staff,
  FOREIGN KEY (county_id, given_by_resident) REFERENCES residents,
  -- Words that were spoken are kept; who wrote them down, or a signature, is a member of staff.
  CONSTRAINT mandates_given CHECK ((given_how = 'in_mini_program') = (given_by IS NULL)),
  CONSTRAINT mandates_spoken CHECK (given_how <> 'spoken' OR words IS NOT NULL OR revoked_at IS NOT NULL)
);
CREATE INDEX mandates_resident ON mandates (county_id, resident_id, created_at, id);
CREATE INDEX mandates_agent ON mandates (county_id, agent_id) WHERE agent_id IS NOT NULL;
REVOKE DELETE, TRUNCATE ON mandates FROM lianxin_service;
COMMENT ON TABLE mandates IS 'Mandates (委托): what a resident lets an agent (代办员) do for them, until when, and how it was given. Revocable at any time.';
COMMENT ON COLUMN mandates.agent_id IS 'The agent; none: whoever answers for the errand in the unit.';
COMMENT ON COLUMN mandates.matter_id IS 'The matter that it covers; none: all.';
COMMENT ON COLUMN mandates.words IS 'Sealed; what was said.';
COMMENT ON COLUMN mandates.valid_until IS 'Last day, local time.';

CREATE TABLE errands (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  number text NOT NULL CHECK (number ~ '^[0-9]{6}-[0-9]{6}$'),
  matter_id uuid NOT NULL,
  matter_version smallint NOT NULL,
  resident_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  decided_by text NOT NULL CHECK (decided_by IN ('village', 'township', 'department')),
  department_id uuid,
  kind text NOT NULL CHECK (kind IN ('instant', 'promised')),
  state text NOT NULL CHECK (state IN ('draft', 'submitted', 'supplement_requested', 'accepted', 'not_accepted', 'handling',
    'forwarded', 'suspended', 'decided', 'delivered', 'archived', 'withdrawn')),
  back_to text CHECK (back_to IN ('submitted', 'accepted', 'handling', 'forwarded')),
  holder_id uuid,
  offered_to uuid,
  filed_by uuid,
  filed_by_resident uuid,
  mandate_id uuid,
  form bytea,
  answers jsonb NOT NULL DEFAULT '{}',
  materials jsonb NOT NULL DEFAULT '[]',
  supplements smallint NOT NULL DEFAULT 0 CHECK (supplements >= 0),
  limit_days smallint NOT NULL CHECK (limit_days >= 0),
  submitted_on date,
  accepted_on date,
  decided_on date,
  granted boolean,
  on_time boolean,
  due_on date,
  provisional boolean NOT NULL DEFAULT false,
  yellow_from date,
  red_from date,
  rung smallint NOT NULL DEFAULT 0 CHECK (rung >= 0),
  rung_on date,
  calendar_digest bytea,
  entries integer NOT NULL DEFAULT 0 CHECK (entries >= 0),
  head bytea,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT errands_number UNIQUE (county_id, number),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, holder_id) REFERENCES staff,
  FOREIGN KEY (county_id, offered_to) REFERENCES staff,
  FOREIGN KEY (county_id, filed_by) REFERENCES staff,
  FOREIGN KEY (county_id, filed_by_resident) REFERENCES residents,
  FOREIGN KEY (county_id, mandate_id) REFERENCES mandates,
  -- First asked (首问责任): from the moment that it is submitted somebody answers for it.
  CONSTRAINT errands_answerable CHECK (submitted_on IS NULL OR holder_id IS NOT NULL),
  CONSTRAINT errands_offered CHECK (offered_to <> holder_id),
  CONSTRAINT errands_paused CHECK ((state IN ('supplement_requested', 'suspended')) = (back_to IS NOT NULL)),
  CONSTRAINT errands_accepted CHECK (state NOT IN ('accepted', 'handling', 'forwarded', 'suspended', 'decided', 'delivered') OR accepted_on IS NOT NULL),
  CONSTRAINT errands_decided CHECK ((decided_on IS NULL) = (granted IS NULL) AND (decided_on IS NULL) = (on_time IS NULL)),
  -- While it stands still there is no due date.
  CONSTRAINT errands_due CHECK ((state IN ('submitted', 'accepted', 'handling', 'forwarded')) = (due_on IS NOT NULL))
);
CREATE INDEX errands_unit ON errands (county_id, unit_id, created_at, id);
CREATE INDEX errands_open ON errands (county_id, unit_id, due_on, id) WHERE state NOT IN ('draft', 'delivered', 'archived', 'not_accepted', 'withdrawn', 'decided');
CREATE INDEX errands_resident ON errands (county_id, resident_id, created_at, id);
CREATE INDEX errands_filed_by_resident ON errands (county_id, filed_by_resident, created_at, id) WHERE filed_by_resident IS NOT NULL;
CREATE INDEX errands_holder ON errands (county_id, holder_id, due_on) WHERE state NOT IN ('draft', 'archived');
CREATE INDEX errands_offered ON errands (county_id, offered_to) WHERE offered_to IS NOT NULL;
CREATE INDEX errands_department ON errands (county_id, department_id, created_at, id) WHERE state IN ('forwarded', 'decided', 'delivered', 'archived');
CREATE INDEX errands_drafts ON errands (county_id, filed_by) WHERE state = 'draft';
CREATE INDEX errands_decided_on ON errands (county_id, unit_id, decided_on) WHERE decided_on IS NOT NULL;
CREATE INDEX errands_mandate ON errands (county_id, mandate_id) WHERE mandate_id IS NOT NULL;
-- What the sweeps look for: silence that counts as acceptance, rungs of the ladder, dates that a new calendar moves.
CREATE INDEX errands_deemed ON errands (due_on) WHERE state = 'submitted';
CREATE INDEX errands_rungs ON errands (rung_on) WHERE rung_on IS NOT NULL;
CREATE INDEX errands_running ON errands (county_id, id) WHERE due_on IS NOT NULL;
REVOKE DELETE, TRUNCATE ON errands FROM lianxin_service;
COMMENT ON TABLE errands IS 'Errands (代办). State, dates and holder are what the ledger folds to; the clock is computed from the ledger and the calendar.';
COMMENT ON COLUMN errands.number IS 'The number to read over the phone (受理编号): the day and six random digits, so that it tells nobody how many there are.';
COMMENT ON COLUMN errands.matter_version IS 'The version of the matter that it was filed under, and keeps.';
COMMENT ON COLUMN errands.back_to IS 'While it stands still: where it goes on.';
COMMENT ON COLUMN errands.holder_id IS 'Who answers for it (首问责任); offered_to: who has been asked to take it over and has not accepted yet.';
COMMENT ON COLUMN errands.form IS 'Sealed; the form as it was filled in.';
COMMENT ON COLUMN errands.answers IS 'Answers to the questions of the guide; materials: what is there, by key, and how.';
COMMENT ON COLUMN errands.limit_days IS 'Working days, extensions included.';
COMMENT ON COLUMN errands.due_on IS 'The day at whose end (24:00) it is due: of an answer while submitted, of the decision afterwards; none while the clock stands still or has ended.';
COMMENT ON COLUMN errands.on_time IS 'It was decided by the end of the day on which it was due.';
COMMENT ON COLUMN errands.yellow_from IS 'From this day the lamp is yellow; red_from: red.';
COMMENT ON COLUMN errands.rung IS 'Rungs of the escalation ladder that have been climbed; rung_on: the day of the next one.';
COMMENT ON COLUMN errands.calendar_digest IS 'The calendar that due_on was computed by.';
COMMENT ON COLUMN errands.head IS 'Hash of the last of its entries in the ledger.';

CREATE TABLE errand_ledger (
  county_id integer NOT NULL,
  errand_id uuid NOT NULL,
  seq integer NOT NULL CHECK (seq > 0),
  at timestamptz NOT NULL,
  step text NOT NULL CHECK (step <> ''),
  actor_id uuid,
  actor_role text,
  from_state text,
  to_state text NOT NULL,
  facts jsonb NOT NULL,
  words_digest bytea,
  previous bytea NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (county_id, errand_id, seq),
  FOREIGN KEY (county_id, errand_id) REFERENCES errands
);
REVOKE UPDATE, DELETE, TRUNCATE ON errand_ledger FROM lianxin_service;
COMMENT ON TABLE errand_ledger IS 'Every step of an errand, append-only and chained: hash is the SHA-256 of the entry and of the hash before it. Words are only here as a salted digest.';
COMMENT ON COLUMN errand_ledger.facts IS 'What the step says without words: days, dates, ids. Nothing personal.';

CREATE TABLE errand_words (
  county_id integer NOT NULL,
  errand_id uuid NOT NULL,
  seq integer NOT NULL,
  id uuid NOT NULL,
  words bytea NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, errand_id, seq) REFERENCES errand_ledger,
  CONSTRAINT errand_words_once UNIQUE (county_id, errand_id, seq)
);
COMMENT ON TABLE errand_words IS 'The words of an entry of the ledger, sealed with their salt; may be erased when the law asks for it, the digest stays.';

CREATE TABLE errand_originals (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  errand_id uuid NOT NULL,
  name bytea,
  state text NOT NULL CHECK (state IN ('held', 'with_department', 'handed_back', 'returned')),
  with_id uuid,
  passed_to uuid,
  taken_how text CHECK (taken_how IN ('in_mini_program', 'signed')),
  returned_how text CHECK (returned_how IN ('in_mini_program', 'signed')),
  seq integer NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, errand_id) REFERENCES errands,
  FOREIGN KEY (county_id, with_id) REFERENCES staff,
  FOREIGN KEY (county_id, passed_to) REFERENCES staff,
  -- No movement without its entry, and no entry that tells of two.
  FOREIGN KEY (county_id, errand_id, seq) REFERENCES errand_ledger,
  CONSTRAINT errand_originals_told UNIQUE (county_id, errand_id, seq),
  -- Until the resident has it back, somebody answers for it.
  CONSTRAINT errand_originals_answerable CHECK ((state = 'returned') = (with_id IS NULL)),
  CONSTRAINT errand_originals_acknowledged CHECK ((state = 'returned') = (returned_how IS NOT NULL)),
  CONSTRAINT errand_originals_passed CHECK (passed_to IS NULL OR state = 'held' AND passed_to <> with_id)
);
CREATE INDEX errand_originals_errand ON errand_originals (county_id, errand_id, created_at, id);
CREATE INDEX errand_originals_with ON errand_originals (county_id, with_id) WHERE with_id IS NOT NULL;
CREATE INDEX errand_originals_passed_to ON errand_originals (county_id, passed_to) WHERE passed_to IS NOT NULL;
REVOKE DELETE, TRUNCATE ON errand_originals FROM lianxin_service;
COMMENT ON TABLE errand_originals IS 'Originals in our hands (证件交接). Every movement is an entry of the ledger; the hand-over and the return are acknowledged by the resident, what goes from one of us to another by whoever receives it.';
COMMENT ON COLUMN errand_originals.name IS 'Sealed; what it is. None after an erasure.';
COMMENT ON COLUMN errand_originals.with_id IS 'Who has it in hand and answers for it; while it is with the department: who brought it there; while handed_back: who says that the resident has it.';
COMMENT ON COLUMN errand_originals.passed_to IS 'Who has been handed it and has not acknowledged it yet; until then with_id has it.';
COMMENT ON COLUMN errand_originals.taken_how IS 'How the resident acknowledged that it was handed over; returned_how: that it came back.';
COMMENT ON COLUMN errand_originals.seq IS 'The entry of the ledger that tells of its last movement.';

CREATE FUNCTION errand_originals_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  SELECT NEW.county_id, 'original', NEW.id, e.unit_id, e.resident_id, NEW.with_id, NEW.updated_at FROM errands e
   WHERE e.county_id = NEW.county_id AND e.id = NEW.errand_id;
  IF NEW.passed_to IS NOT NULL THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, at) VALUES (NEW.county_id, 'original', NEW.id, NEW.passed_to, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION errand_originals_follow IS 'The change feed of every movement, in its own transaction.';
CREATE TRIGGER errand_originals_follow AFTER INSERT OR UPDATE ON errand_originals FOR EACH ROW EXECUTE FUNCTION errand_originals_follow();

CREATE FUNCTION staff_covers(county integer, member uuid, holder uuid, on_day date) RETURNS boolean LANGUAGE sql STABLE AS $$
  WITH RECURSIVE chain (id, depth) AS (
    SELECT holder, 0
    UNION
    SELECT p.deputy_id, c.depth + 1 FROM chain c
      JOIN staff_posts p ON p.county_id = county AND p.staff_id = c.id AND p.deputy_id IS NOT NULL AND p.ended_at IS NULL
     WHERE c.depth < 16 AND NOT staff_present(county, c.id, on_day))
  SELECT EXISTS (SELECT FROM chain WHERE id = member AND depth > 0) AND staff_present(county, member, on_day)
$$;
COMMENT ON FUNCTION staff_covers IS 'Whether a member of staff who is there stands in for another who is not, along the deputies (AB 岗).';

CREATE FUNCTION first_asked(county integer, unit uuid, on_day date) RETURNS uuid LANGUAGE sql STABLE AS $$
  WITH RECURSIVE above (id, parent_id, depth) AS (
    SELECT u.id, u.parent_id, 0 FROM units u WHERE u.county_id = county AND u.id = unit
    UNION ALL
    SELECT u.id, u.parent_id, a.depth + 1 FROM above a JOIN units u ON u.county_id = county AND u.id = a.parent_id)
  SELECT p.staff_id FROM above a
    JOIN staff_posts p ON p.county_id = county AND p.unit_id = a.id AND p.ended_at IS NULL
     AND p.role IN ('village_cadre', 'specialist', 'township_staff', 'county_admin')
    JOIN staff s ON s.county_id = county AND s.id = p.staff_id AND s.state = 'active'
   ORDER BY a.depth, NOT staff_present(county, p.staff_id, on_day), p.role <> 'village_cadre',
     (SELECT count(*) FROM errands e WHERE e.county_id = county AND e.holder_id = p.staff_id AND e.state NOT IN ('draft', 'archived')), p.staff_id
   LIMIT 1
$$;
COMMENT ON FUNCTION first_asked IS 'Who answers for what is submitted in a unit: an agent of the village who is there, with the fewest errands; where there is none, somebody of the unit above.';

CREATE FUNCTION errands_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  news text;
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  VALUES (NEW.county_id, 'errand', NEW.id, NEW.unit_id, NEW.resident_id, NEW.holder_id, NEW.updated_at);
  IF TG_OP = 'UPDATE' AND OLD.holder_id IS DISTINCT FROM NEW.holder_id AND OLD.holder_id IS NOT NULL THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, gone, at) VALUES (NEW.county_id, 'errand', NEW.id, OLD.holder_id, true, NEW.updated_at);
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.offered_to IS DISTINCT FROM OLD.offered_to AND NEW.offered_to IS NOT NULL THEN
    INSERT INTO changes (county_id, entity, entity_id, staff_id, at) VALUES (NEW.county_id, 'errand', NEW.id, NEW.offered_to, NEW.updated_at);
  END IF;
  -- Whoever was told that it takes long need not act any more: the clock has ended, or begins anew.
  IF TG_OP = 'UPDATE' AND OLD.rung > 0 AND (NEW.rung = 0 OR NEW.due_on IS NULL AND NEW.back_to IS NULL) THEN
    WITH settled AS (
      UPDATE todos SET state = 'dropped', done_at = NEW.updated_at, version = version + 1, updated_at = NEW.updated_at
       WHERE county_id = NEW.county_id AND about IN ('errand', 'errand_of_unit', 'errand_of_township', 'errand_of_county') AND about_id = NEW.id
         AND state IN ('open', 'taken') RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT NEW.county_id, 'todo', id, unit_id, holder_id, NEW.updated_at FROM settled;
  END IF;
  IF TG_OP = 'UPDATE' THEN
    news := CASE
      WHEN OLD.state = 'submitted' AND NEW.state = 'accepted' THEN 'accepted'
      WHEN OLD.state <> NEW.state AND NEW.state IN ('supplement_requested', 'not_accepted', 'decided') THEN NEW.state
      WHEN NEW.limit_days > OLD.limit_days AND NEW.state = OLD.state THEN 'extended' END;
  END IF;
  IF news IS NOT NULL THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'notify_errand',
      jsonb_build_object('errand', NEW.id, 'news', news, 'version', NEW.version), NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION errands_follow IS 'The change feed of every step and what the resident is told of it, in its own transaction.';
CREATE TRIGGER errands_follow_insert AFTER INSERT ON errands FOR EACH ROW EXECUTE FUNCTION errands_follow();
CREATE TRIGGER errands_follow_update AFTER UPDATE ON errands FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION errands_follow();

-- No state without an entry: whoever moves an errand writes its ledger in the same transaction.
CREATE FUNCTION errands_in_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM errand_ledger l WHERE l.county_id = NEW.county_id AND l.errand_id = NEW.id AND l.seq = NEW.entries
      AND l.hash = NEW.head AND l.to_state = NEW.state) THEN
    RAISE EXCEPTION 'an errand that its ledger does not tell' USING ERRCODE = 'check_violation', CONSTRAINT = 'errands_in_ledger', TABLE = 'errands';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER errands_in_ledger AFTER INSERT OR UPDATE ON errands DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION errands_in_ledger();
