-- Appointments, complete. The table of appointments is the only truth about taken places: a place is taken while a live appointment
-- overlaps its time, so nothing has to be counted up and down, and a hold that has run out takes no place whether or not anybody
-- tidied it up. The table of counters goes.

ALTER TABLE matters
  ADD COLUMN slots smallint NOT NULL DEFAULT 1 CHECK (slots BETWEEN 1 AND 8),
  ADD COLUMN places text[] NOT NULL DEFAULT '{centre}'
    CHECK (places <@ '{centre,home,phone,video}'::text[] AND cardinality(places) BETWEEN 1 AND 4),
  ADD COLUMN travel_minutes smallint NOT NULL DEFAULT 30 CHECK (travel_minutes BETWEEN 0 AND 240),
  ADD COLUMN own_specialist boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN matters.slots IS 'Consecutive slots that an appointment takes.';
COMMENT ON COLUMN matters.places IS 'Where it can be done: at the centre, at home (上门), by phone, by video.';
COMMENT ON COLUMN matters.travel_minutes IS 'Kept free before and after an appointment at home.';
COMMENT ON COLUMN matters.own_specialist IS 'Only the specialist (特派员) of the unit where the resident lives does it: windows whose officer that is.';

ALTER TABLE windows
  ADD COLUMN officer_id uuid,
  ADD COLUMN paused_at timestamptz,
  ADD FOREIGN KEY (county_id, officer_id) REFERENCES staff;
CREATE INDEX windows_officer ON windows (county_id, officer_id) WHERE officer_id IS NOT NULL;
CREATE INDEX windows_unit ON windows (county_id, unit_id);
COMMENT ON COLUMN windows.officer_id IS 'Who sits there; while they are away and nobody covers them, the window offers nothing.';
COMMENT ON COLUMN windows.paused_at IS 'Calls nobody since then (暂停办理); its bookings stay.';
-- Appointments name their window without a foreign key: everybody who books there would lock the same row (FOR KEY SHARE).
REVOKE DELETE, TRUNCATE ON windows FROM lianxin_service;

ALTER TABLE opening_rules
  ADD COLUMN place text NOT NULL DEFAULT 'centre' CHECK (place IN ('centre', 'home', 'phone', 'video')),
  ADD COLUMN every_weeks smallint NOT NULL DEFAULT 1 CHECK (every_weeks BETWEEN 1 AND 8);
COMMENT ON COLUMN opening_rules.place IS 'Where the slots of this rule are served.';
COMMENT ON COLUMN opening_rules.every_weeks IS 'Only every n-th week, counted from the week (Monday to Sunday) of valid_from.';

CREATE TABLE opening_exceptions (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  window_id uuid,
  on_date date NOT NULL,
  kind text NOT NULL CHECK (kind IN ('closed', 'open')),
  opens_at time,
  closes_at time,
  like_weekday smallint CHECK (like_weekday BETWEEN 1 AND 7),
  slot_minutes smallint CHECK (slot_minutes BETWEEN 5 AND 480),
  place text CHECK (place IN ('centre', 'home', 'phone', 'video')),
  capacity_public smallint CHECK (capacity_public BETWEEN 0 AND 1000),
  capacity_proxy smallint CHECK (capacity_proxy BETWEEN 0 AND 1000),
  capacity_desk smallint CHECK (capacity_desk BETWEEN 0 AND 1000),
  reason text NOT NULL CHECK (reason <> ''),
  created_by uuid,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, window_id) REFERENCES windows,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT opening_exceptions_hours CHECK ((opens_at IS NULL) = (closes_at IS NULL) AND closes_at > opens_at),
  -- Closed: some hours or the whole day. Open: own hours with all that a rule has, or the hours of a weekday.
  CONSTRAINT opening_exceptions_kind CHECK (CASE kind
    WHEN 'closed' THEN num_nonnulls(like_weekday, slot_minutes, place, capacity_public, capacity_proxy, capacity_desk) = 0
    ELSE (like_weekday IS NULL) = (opens_at IS NOT NULL)
      AND num_nonnulls(slot_minutes, place, capacity_public, capacity_proxy, capacity_desk) = CASE WHEN opens_at IS NULL THEN 0 ELSE 5 END
      AND (opens_at IS NULL OR opens_at + slot_minutes * interval '1 minute' <= closes_at) END)
);
CREATE INDEX opening_exceptions_day ON opening_exceptions (county_id, unit_id, on_date);
COMMENT ON TABLE opening_exceptions IS 'What is different on one day at a centre (window_id NULL) or at one of its windows: closed, specially open (周末无休), extended hours (延时服务). Closed wins.';
COMMENT ON COLUMN opening_exceptions.like_weekday IS 'Opens the day, also a holiday, by the rules of this ISO weekday (1 is Monday).';

-- From counters to times.
ALTER TABLE appointments DROP CONSTRAINT appointments_county_id_window_id_starts_at_channel_fkey,
  DROP CONSTRAINT appointments_state_check,
  DROP CONSTRAINT appointments_channel_check,
  DROP CONSTRAINT appointments_cancelled,
  ALTER COLUMN resident_id DROP NOT NULL,
  ADD COLUMN place text NOT NULL DEFAULT 'centre' CHECK (place IN ('centre', 'home', 'phone', 'video')),
  ADD COLUMN address bytea,
  ADD COLUMN slots smallint NOT NULL DEFAULT 1 CHECK (slots BETWEEN 1 AND 8),
  ADD COLUMN busy_from timestamptz,
  ADD COLUMN busy_until timestamptz,
  ADD COLUMN capacity smallint NOT NULL DEFAULT 1,
  ADD COLUMN capacity_total smallint NOT NULL DEFAULT 1,
  ADD COLUMN nth smallint NOT NULL DEFAULT 1 CHECK (nth >= 1),
  ADD COLUMN held_until timestamptz,
  ADD COLUMN waiting_id uuid,
  ADD COLUMN reminded smallint NOT NULL DEFAULT 0 CHECK (reminded BETWEEN 0 AND 2),
  ADD COLUMN moved_at timestamptz,
  ADD COLUMN ticket text CHECK (ticket <> ''),
  ADD COLUMN arrived_at timestamptz,
  ADD COLUMN on_time boolean,
  ADD COLUMN queue_at timestamptz,
  ADD COLUMN desk_id uuid,
  ADD COLUMN called_at timestamptz,
  ADD COLUMN calls smallint NOT NULL DEFAULT 0 CHECK (calls >= 0),
  ADD COLUMN served_at timestamptz,
  ADD COLUMN finished_at timestamptz,
  ADD COLUMN updated_by uuid;
UPDATE appointments SET busy_from = starts_at, busy_until = ends_at;
ALTER TABLE appointments ALTER COLUMN busy_from SET NOT NULL, ALTER COLUMN busy_until SET NOT NULL,
  ADD CONSTRAINT appointments_state CHECK (state IN
    ('held', 'booked', 'arrived', 'called', 'serving', 'done', 'cancelled', 'no_show', 'missed', 'lapsed')),
  ADD CONSTRAINT appointments_channel CHECK (channel IN ('public', 'proxy', 'desk', 'walk_in')),
  ADD CONSTRAINT appointments_cancelled CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL)),
  ADD CONSTRAINT appointments_somebody CHECK (resident_id IS NOT NULL OR channel = 'walk_in'),
  ADD CONSTRAINT appointments_busy CHECK (busy_from <= starts_at AND busy_until >= ends_at),
  ADD CONSTRAINT appointments_capacity CHECK (capacity BETWEEN 1 AND capacity_total),
  ADD CONSTRAINT appointments_address CHECK (address IS NULL OR place = 'home'),
  ADD CONSTRAINT appointments_held CHECK (state <> 'held' OR held_until IS NOT NULL),
  -- At home, by phone and by video nobody stands in line: booked, serving, done.
  ADD CONSTRAINT appointments_ticket CHECK (place <> 'centre' OR state NOT IN ('arrived', 'called', 'serving', 'done', 'missed')
    OR num_nonnulls(ticket, arrived_at, on_time, queue_at) = 4),
  ADD CONSTRAINT appointments_line CHECK (place = 'centre' OR state NOT IN ('arrived', 'called', 'missed')),
  ADD CONSTRAINT appointments_desk CHECK (state NOT IN ('called', 'serving', 'done') OR desk_id IS NOT NULL);
DROP TABLE slot_usage;

DROP INDEX appointments_one_a_day;
CREATE UNIQUE INDEX appointments_one_a_day ON appointments (county_id, resident_id, matter_id, on_date, nth)
  WHERE state IN ('held', 'booked', 'arrived', 'called', 'serving') AND channel <> 'walk_in';
CREATE UNIQUE INDEX appointments_one_hold ON appointments (county_id, resident_id) WHERE state = 'held' AND waiting_id IS NULL;
CREATE INDEX appointments_live ON appointments (county_id, window_id, busy_from) INCLUDE (busy_until, channel, state, held_until, id)
  WHERE state IN ('held', 'booked', 'arrived', 'called', 'serving') AND channel <> 'walk_in';
CREATE INDEX appointments_ahead ON appointments (reminded, starts_at) WHERE state = 'booked';
CREATE INDEX appointments_holds ON appointments (held_until) WHERE state = 'held';
CREATE INDEX appointments_no_shows ON appointments (county_id, resident_id, starts_at) WHERE state = 'no_show';
CREATE INDEX appointments_queue ON appointments (county_id, unit_id, queue_at) WHERE state IN ('arrived', 'called', 'serving');
CREATE UNIQUE INDEX appointments_tickets ON appointments (county_id, unit_id, on_date, ticket) WHERE ticket IS NOT NULL;
CREATE UNIQUE INDEX appointments_one_at_desk ON appointments (county_id, desk_id) WHERE state IN ('called', 'serving');
COMMENT ON TABLE appointments IS 'Appointments (预约) and, with channel walk_in, tickets without one (取号). A place of a slot is taken while a live appointment overlaps it: held (until held_until), booked, arrived, called or serving. on_date is the local day (UTC+8) of starts_at.';
COMMENT ON COLUMN appointments.address IS 'Sealed; where to come, for place home.';
COMMENT ON COLUMN appointments.busy_from IS 'From here to busy_until the place is taken: the time itself, and the travel for an appointment at home.';
COMMENT ON COLUMN appointments.capacity IS 'Live appointments that may overlap each of its slots, itself included: of its channel, or of all once unused places are released; capacity_total: of all channels together. As the rules had it when the place was taken.';
COMMENT ON COLUMN appointments.nth IS 'The how many-th active booking of the resident for the matter and day; booking.per_matter_and_day says how many there may be.';
COMMENT ON COLUMN appointments.waiting_id IS 'The entry of the waiting list that this place was offered to.';
COMMENT ON COLUMN appointments.reminded IS '1: the day before; 2: the hour before.';
COMMENT ON COLUMN appointments.moved_at IS 'When it was last rescheduled.';
COMMENT ON COLUMN appointments.on_time IS 'Arrived within the grace of the slot; goes before walk-ins.';
COMMENT ON COLUMN appointments.queue_at IS 'The place in line: the slot for those on time, the arrival for the others, the moment of skipping for the skipped.';
COMMENT ON COLUMN appointments.desk_id IS 'The window that calls or serves; window_id is the one that was booked.';
COMMENT ON COLUMN appointments.updated_by IS 'Who moved it last: staff or resident; none: the system.';

CREATE TABLE appointment_events (
  county_id integer NOT NULL,
  appointment_id uuid NOT NULL,
  version bigint NOT NULL,
  at timestamptz NOT NULL,
  actor_id uuid,
  from_state text NOT NULL,
  to_state text NOT NULL,
  from_starts_at timestamptz NOT NULL,
  to_starts_at timestamptz NOT NULL,
  from_window_id uuid NOT NULL,
  to_window_id uuid NOT NULL,
  desk_id uuid,
  PRIMARY KEY (county_id, appointment_id, version)
);
REVOKE UPDATE, DELETE, TRUNCATE ON appointment_events FROM lianxin_service;
COMMENT ON TABLE appointment_events IS 'Every move of an appointment after it was made: state, time, window. Append-only; written by a trigger, so that no way of moving one leaves none.';

CREATE TABLE appointment_handles (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  handle bytea NOT NULL,
  handle_index bytea NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, id) REFERENCES appointments,
  CONSTRAINT appointment_handles_index UNIQUE (county_id, handle_index)
);
COMMENT ON TABLE appointment_handles IS 'The random handle in an appointment''s QR code (at most 32 characters: the scene of WeChat''s getwxacodeunlimit). id is the appointment''s. Sealed, and found by its blind index.';

CREATE TABLE waiting_entries (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  matter_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  channel text NOT NULL CHECK (channel IN ('public', 'proxy', 'desk')),
  place text NOT NULL CHECK (place IN ('centre', 'home', 'phone', 'video')),
  address bytea,
  booked_by uuid,
  booked_by_resident uuid,
  on_date date NOT NULL,
  earliest timestamptz NOT NULL,
  latest timestamptz NOT NULL,
  until timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'offered', 'booked', 'left', 'lapsed')),
  offered_until timestamptz,
  appointment_id uuid,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, booked_by) REFERENCES staff,
  FOREIGN KEY (county_id, booked_by_resident) REFERENCES residents,
  CONSTRAINT waiting_entries_times CHECK (earliest <= latest AND latest < until),
  CONSTRAINT waiting_entries_offer CHECK ((state = 'offered') <= (offered_until IS NOT NULL AND appointment_id IS NOT NULL))
);
CREATE INDEX waiting_entries_line ON waiting_entries (county_id, unit_id, on_date, created_at, id) WHERE state = 'waiting';
CREATE INDEX waiting_entries_offers ON waiting_entries (offered_until) WHERE state = 'offered';
CREATE INDEX waiting_entries_unit ON waiting_entries (county_id, unit_id, created_at, id);
CREATE INDEX waiting_entries_resident ON waiting_entries (county_id, resident_id, created_at, id);
CREATE INDEX waiting_entries_booked_by_resident ON waiting_entries (county_id, booked_by_resident) WHERE booked_by_resident IS NOT NULL;
CREATE UNIQUE INDEX waiting_entries_once ON waiting_entries (county_id, resident_id, matter_id, on_date) WHERE state IN ('waiting', 'offered');
COMMENT ON TABLE waiting_entries IS 'The waiting list (候补): who waits for a start between earliest and latest. First come, first offered; while somebody waits for a slot nobody else gets a place in it.';
COMMENT ON COLUMN waiting_entries.until IS 'When an appointment that begins at latest ends: up to here they wait for every slot.';
COMMENT ON COLUMN waiting_entries.address IS 'Sealed; where to come, for place home.';
COMMENT ON COLUMN waiting_entries.appointment_id IS 'The held appointment that is the offer.';

CREATE TABLE queue_days (
  county_id integer NOT NULL,
  unit_id uuid NOT NULL,
  on_date date NOT NULL,
  booked integer NOT NULL DEFAULT 0,
  walk_ins integer NOT NULL DEFAULT 0,
  PRIMARY KEY (county_id, unit_id, on_date),
  FOREIGN KEY (county_id, unit_id) REFERENCES units
);
COMMENT ON TABLE queue_days IS 'The last ticket numbers of a centre''s day: A001, A002, … for bookings, B001, … for walk-ins.';

CREATE TABLE hall_screens (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  unit_id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  handle_hash bytea NOT NULL UNIQUE,
  created_by uuid,
  created_at timestamptz NOT NULL,
  ended_at timestamptz,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, created_by) REFERENCES staff
);
COMMENT ON TABLE hall_screens IS 'Screens and kiosks of a hall. They have no login: a secret in their address stands for centre and county.';
COMMENT ON COLUMN hall_screens.handle_hash IS 'SHA-256 of the secret.';

-- One message per kind, thing and resident was enough for bookings; what can be moved again is told again.
ALTER TABLE messages ADD COLUMN occasion bigint NOT NULL DEFAULT 0, DROP CONSTRAINT messages_once,
  ADD CONSTRAINT messages_once UNIQUE (county_id, kind, about_id, resident_id, occasion);
COMMENT ON COLUMN messages.occasion IS 'Which time the same thing is told, for example the version that an appointment was moved to.';

UPDATE outbox SET kind = 'notify_appointment', payload = payload || '{"news": "booked", "version": 1}' WHERE kind = 'notify_booked';

-- The gate of a centre: whoever books passes it together with others, whoever changes the opening has it alone. So a booking is
-- either seen by the change or sees it. Advisory, because a row lock here would be the hottest in the county.
CREATE FUNCTION centre_gate(county integer, unit uuid, alone boolean) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF alone THEN
    PERFORM pg_advisory_xact_lock(hashtextextended(unit::text, county));
  ELSE
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(unit::text, county));
  END IF;
END $$;
COMMENT ON FUNCTION centre_gate IS 'Until the end of the transaction: shared for booking, alone for changing the opening of a centre.';

CREATE FUNCTION post_covered(county integer, officer uuid, on_day date) RETURNS boolean LANGUAGE sql STABLE AS $$
  WITH RECURSIVE chain (id, depth) AS (
    SELECT officer, 0
    UNION
    SELECT p.deputy_id, c.depth + 1 FROM chain c
      JOIN staff_posts p ON p.county_id = county AND p.staff_id = c.id AND p.deputy_id IS NOT NULL AND p.ended_at IS NULL
     WHERE c.depth < 16 AND NOT staff_present(county, c.id, on_day))
  SELECT EXISTS (SELECT FROM chain WHERE staff_present(county, id, on_day))
$$;
COMMENT ON FUNCTION post_covered IS 'Whether a member of staff or somebody along their deputies (AB 岗) is there on a day.';

-- Everything that a booking is decided by, after the gate and therefore with a snapshot that no change of the opening can outrun:
-- a row per open window of a centre that serves a matter.
CREATE FUNCTION centre_openings(county integer, unit uuid, matter uuid, lives_in uuid, from_day date, to_day date,
  busy_after timestamptz, busy_before timestamptz, moment timestamptz, pass_gate boolean, but uuid)
RETURNS TABLE (window_id uuid, window_name text, rules jsonb, exceptions jsonb, away jsonb, busy jsonb, waiting jsonb) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF pass_gate THEN
    PERFORM centre_gate(county, unit, false);
  END IF;
  RETURN QUERY
  SELECT w.id, w.name,
    (SELECT jsonb_agg(to_jsonb(r) - 'county_id' ORDER BY r.id) FROM opening_rules r
      WHERE r.county_id = county AND r.window_id = w.id AND r.valid_from <= to_day AND (r.valid_until IS NULL OR r.valid_until >= from_day)),
    (SELECT jsonb_agg(to_jsonb(e) - 'county_id' ORDER BY e.id) FROM opening_exceptions e
      WHERE e.county_id = county AND e.unit_id = unit AND e.on_date BETWEEN from_day AND to_day AND (e.window_id IS NULL OR e.window_id = w.id)),
    (SELECT jsonb_agg(d::date) FROM generate_series(from_day::timestamp, to_day::timestamp, interval '1 day') d
      WHERE w.officer_id IS NOT NULL AND NOT post_covered(county, w.officer_id, d::date)),
    (SELECT jsonb_agg(jsonb_build_array(b.busy_from, b.busy_until, b.channel, b.n)) FROM (
      SELECT a.busy_from, a.busy_until, a.channel, count(*) AS n FROM appointments a
       WHERE a.county_id = county AND a.window_id = w.id AND a.busy_from > busy_after - interval '1 day' AND a.busy_from < busy_before
         AND a.busy_until > busy_after AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in'
         AND (a.state <> 'held' OR a.held_until > moment) AND a.id IS DISTINCT FROM but
       GROUP BY a.busy_from, a.busy_until, a.channel) b),
    (SELECT jsonb_agg(jsonb_build_array(e.earliest, e.until, e.place, e.channel)) FROM waiting_entries e
       JOIN window_matters o ON o.county_id = e.county_id AND o.matter_id = e.matter_id AND o.window_id = w.id
      WHERE e.county_id = county AND e.unit_id = unit AND e.on_date BETWEEN from_day AND to_day AND e.state = 'waiting')
  FROM window_matters wm
  JOIN windows w ON w.county_id = wm.county_id AND w.id = wm.window_id AND w.unit_id = unit AND w.state = 'open'
  JOIN matters m ON m.county_id = wm.county_id AND m.id = wm.matter_id AND m.state = 'active'
  WHERE wm.county_id = county AND wm.matter_id = matter
    AND (NOT m.own_specialist OR lives_in IS NULL OR EXISTS (
      SELECT FROM staff_posts p WHERE p.county_id = county AND p.staff_id = w.officer_id AND p.role = 'specialist'
         AND p.unit_id = lives_in AND p.ended_at IS NULL))
  ORDER BY w.id;
END $$;
COMMENT ON FUNCTION centre_openings IS 'Rules, exceptions, days without an officer, taken places and who waits, of the windows of a centre that serve a matter. Without lives_in also those that only serve residents of another village. but: an appointment that does not count, because it is about to move.';

CREATE FUNCTION appointments_take_place() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  length interval := (NEW.ends_at - NEW.starts_at) / NEW.slots;
BEGIN
  -- One at a time per window and day. Appointments of one window never overlap across days, so this orders all that could collide.
  PERFORM pg_advisory_xact_lock(hashtextextended(NEW.window_id::text || NEW.on_date::text, NEW.county_id));
  IF NEW.waiting_id IS NULL AND EXISTS (
    SELECT FROM waiting_entries e JOIN window_matters wm ON wm.county_id = e.county_id AND wm.matter_id = e.matter_id AND wm.window_id = NEW.window_id
     WHERE e.county_id = NEW.county_id AND e.unit_id = NEW.unit_id AND e.on_date = NEW.on_date AND e.state = 'waiting'
       AND e.place = NEW.place AND e.earliest < NEW.ends_at AND e.until > NEW.starts_at
       AND (e.channel = NEW.channel OR NEW.capacity = NEW.capacity_total)) THEN
    RAISE EXCEPTION 'others wait for this place' USING ERRCODE = 'check_violation', CONSTRAINT = 'appointments_waited_for', TABLE = 'appointments';
  END IF;
  IF EXISTS (
    SELECT FROM generate_series(0, NEW.slots - 1) i CROSS JOIN LATERAL (
      SELECT count(*) AS taken, count(*) FILTER (WHERE a.channel = NEW.channel) AS own FROM appointments a
       WHERE a.county_id = NEW.county_id AND a.window_id = NEW.window_id AND a.id <> NEW.id
         AND a.busy_from > NEW.busy_from - interval '1 day'
         AND a.busy_from < CASE WHEN i = NEW.slots - 1 THEN NEW.busy_until ELSE NEW.starts_at + (i + 1) * length END
         AND a.busy_until > CASE WHEN i = 0 THEN NEW.busy_from ELSE NEW.starts_at + i * length END
         AND a.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND a.channel <> 'walk_in'
         AND (a.state <> 'held' OR a.held_until > NEW.updated_at)) slot
     WHERE slot.taken >= NEW.capacity_total OR slot.own >= NEW.capacity) THEN
    RAISE EXCEPTION 'no place left' USING ERRCODE = 'check_violation', CONSTRAINT = 'appointments_never_overbooked', TABLE = 'appointments';
  END IF;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION appointments_take_place IS 'A slot is never overbooked, and nobody passes the waiting list, whoever writes the row.';
CREATE TRIGGER appointments_take_place BEFORE INSERT ON appointments FOR EACH ROW
  WHEN (NEW.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND NEW.channel <> 'walk_in')
  EXECUTE FUNCTION appointments_take_place();
CREATE TRIGGER appointments_take_other_place BEFORE UPDATE ON appointments FOR EACH ROW
  WHEN (NEW.state IN ('held', 'booked', 'arrived', 'called', 'serving') AND NEW.channel <> 'walk_in'
    AND ((OLD.window_id, OLD.busy_from, OLD.busy_until) IS DISTINCT FROM (NEW.window_id, NEW.busy_from, NEW.busy_until)
      OR OLD.state NOT IN ('held', 'booked', 'arrived', 'called', 'serving', 'missed')
      OR (OLD.state = 'held' AND OLD.held_until <= NEW.updated_at)))
  EXECUTE FUNCTION appointments_take_place();

CREATE FUNCTION appointments_follow() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  news text;
  freed boolean := false;
BEGIN
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  VALUES (NEW.county_id, 'appointment', NEW.id, NEW.unit_id, NEW.resident_id, NEW.booked_by, NEW.updated_at);
  IF TG_OP = 'INSERT' THEN
    news := CASE WHEN NEW.state = 'booked' THEN 'booked' WHEN NEW.state = 'held' AND NEW.waiting_id IS NOT NULL THEN 'offered' END;
  ELSE
    IF (OLD.state, OLD.starts_at, OLD.window_id, OLD.desk_id, OLD.calls) IS DISTINCT FROM (NEW.state, NEW.starts_at, NEW.window_id, NEW.desk_id, NEW.calls) THEN
      INSERT INTO appointment_events (county_id, appointment_id, version, at, actor_id, from_state, to_state, from_starts_at, to_starts_at, from_window_id, to_window_id, desk_id)
      VALUES (NEW.county_id, NEW.id, NEW.version, NEW.updated_at, NEW.updated_by, OLD.state, NEW.state, OLD.starts_at, NEW.starts_at, OLD.window_id, NEW.window_id, NEW.desk_id);
    END IF;
    news := CASE
      WHEN OLD.state = 'held' AND NEW.state = 'booked' THEN 'booked'
      WHEN OLD.state = 'booked' AND NEW.state = 'booked'
        AND (OLD.starts_at, OLD.window_id, OLD.place) IS DISTINCT FROM (NEW.starts_at, NEW.window_id, NEW.place) THEN 'changed'
      WHEN OLD.state IN ('booked', 'arrived', 'called') AND NEW.state = 'cancelled' THEN 'cancelled'
      WHEN NEW.state = 'called' AND NEW.calls > OLD.calls THEN 'called' END;
    freed := OLD.channel <> 'walk_in' AND OLD.state IN ('held', 'booked', 'arrived', 'called', 'serving')
      AND (NEW.state NOT IN ('held', 'booked', 'arrived', 'called', 'serving')
        OR (OLD.window_id, OLD.busy_from, OLD.busy_until) IS DISTINCT FROM (NEW.window_id, NEW.busy_from, NEW.busy_until));
  END IF;
  IF news IS NOT NULL AND NEW.resident_id IS NOT NULL THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'notify_appointment',
      jsonb_build_object('appointment', NEW.id, 'news', news, 'version', NEW.version), NEW.updated_at);
  END IF;
  IF freed AND EXISTS (SELECT FROM waiting_entries e
    WHERE e.county_id = OLD.county_id AND e.unit_id = OLD.unit_id AND e.on_date = OLD.on_date AND e.state = 'waiting') THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (OLD.county_id, 'offer_places',
      jsonb_build_object('unit', OLD.unit_id, 'on', OLD.on_date), NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION appointments_follow IS 'What follows from every move, in its own transaction: the change feed, the history, the notice to the resident, the next in line.';
CREATE TRIGGER appointments_follow_insert AFTER INSERT ON appointments FOR EACH ROW
  WHEN (NEW.state IN ('held', 'booked', 'arrived')) EXECUTE FUNCTION appointments_follow();
CREATE TRIGGER appointments_follow_update AFTER UPDATE ON appointments FOR EACH ROW
  WHEN (NEW.version > OLD.version) EXECUTE FUNCTION appointments_follow();

CREATE FUNCTION waiting_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE waiting_entries SET state = CASE NEW.state WHEN 'booked' THEN 'booked' WHEN 'cancelled' THEN 'left' ELSE 'lapsed' END,
      version = version + 1, updated_at = NEW.updated_at
    WHERE county_id = NEW.county_id AND id = OLD.waiting_id AND state = 'offered' AND appointment_id = NEW.id;
  IF FOUND THEN
    INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
    VALUES (NEW.county_id, 'waiting_entry', OLD.waiting_id, NEW.unit_id, NEW.resident_id, NEW.booked_by, NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION waiting_follow IS 'What becomes of the place that is offered becomes of the entry of the waiting list, whoever moves it.';
CREATE TRIGGER waiting_follow AFTER UPDATE ON appointments FOR EACH ROW
  WHEN (OLD.waiting_id IS NOT NULL AND OLD.state = 'held' AND NEW.state <> 'held') EXECUTE FUNCTION waiting_follow();
