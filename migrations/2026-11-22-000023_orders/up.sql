-- Orders (线上接单、线下服务): help that a resident orders, and somebody who comes. What stands in `orders` is what the moves lead to;
-- the statement that moves an order writes its move.

CREATE TABLE order_kinds (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  description text,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
  form jsonb CHECK (form ->> 'type' = 'object'),
  skills text[] NOT NULL DEFAULT '{}' CHECK (cardinality(skills) <= 20),
  duration_minutes smallint NOT NULL CHECK (duration_minutes BETWEEN 5 AND 720),
  evidence text NOT NULL CHECK (evidence IN ('none', 'note', 'photo')),
  money boolean NOT NULL,
  taken_by text[] NOT NULL CHECK (cardinality(taken_by) >= 1 AND taken_by <@ '{specialist,cadre,volunteer,care_staff}'),
  dispatch text NOT NULL CHECK (dispatch IN ('grab', 'assign', 'grab_then_assign')),
  grab_minutes smallint NOT NULL CHECK (grab_minutes BETWEEN 1 AND 1440),
  start_minutes smallint NOT NULL CHECK (start_minutes BETWEEN 5 AND 1440),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT order_kinds_name UNIQUE (county_id, name)
);
REVOKE DELETE, TRUNCATE ON order_kinds FROM lianxin_service;
COMMENT ON TABLE order_kinds IS 'What can be ordered (接单类型). An order keeps what its kind said when it was ordered; a closed one is ordered no more.';
COMMENT ON COLUMN order_kinds.form IS 'JSON Schema 2020-12 of what is filled in; none: there is nothing to fill in.';
COMMENT ON COLUMN order_kinds.skills IS 'Keys of skills that whoever takes it must all have.';
COMMENT ON COLUMN order_kinds.evidence IS 'What finishing it asks for: nothing, words, or at least one picture.';
COMMENT ON COLUMN order_kinds.taken_by IS 'Kinds of helpers that may take it.';
COMMENT ON COLUMN order_kinds.grab_minutes IS 'Of grab_then_assign: minutes until a dispatcher is asked.';
COMMENT ON COLUMN order_kinds.start_minutes IS 'A claim is a lease: minutes after it, or before the wanted time begins if that is later, until which whoever holds it must be on the way.';

CREATE TABLE order_series (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  kind_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  rrule text NOT NULL CHECK (rrule <> ''),
  from_time time NOT NULL,
  minutes smallint NOT NULL CHECK (minutes BETWEEN 5 AND 720),
  skip_holidays boolean NOT NULL,
  from_on date NOT NULL,
  until_on date NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'ended')),
  planned_until date,
  language text,
  address bytea,
  phone bytea,
  words bytea,
  form bytea,
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  ordered_by uuid,
  ordered_by_resident uuid,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, kind_id) REFERENCES order_kinds,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, ordered_by) REFERENCES staff,
  FOREIGN KEY (county_id, ordered_by_resident) REFERENCES residents,
  CONSTRAINT order_series_days CHECK (until_on >= from_on AND until_on <= from_on + 366),
  CONSTRAINT order_series_point CHECK ((lng IS NULL) = (lat IS NULL))
);
CREATE INDEX order_series_resident ON order_series (county_id, resident_id, created_at, id);
CREATE INDEX order_series_unit ON order_series (county_id, unit_id, created_at, id);
CREATE INDEX order_series_active ON order_series (planned_until NULLS FIRST) WHERE state = 'active';
REVOKE DELETE, TRUNCATE ON order_series FROM lianxin_service;
COMMENT ON TABLE order_series IS 'Orders that come again (周期订单), such as a meal every working day. A pass orders its instances some days ahead, each day once.';
COMMENT ON COLUMN order_series.rrule IS 'RFC 5545, without DTSTART; days are local ones.';
COMMENT ON COLUMN order_series.minutes IS 'Length of the wanted time of each.';
COMMENT ON COLUMN order_series.planned_until IS 'Up to this day its instances have been ordered or left out.';
COMMENT ON COLUMN order_series.address IS 'Sealed, like phone, words and form.';

CREATE TABLE order_series_skips (
  county_id integer NOT NULL,
  series_id uuid NOT NULL,
  occurrence date NOT NULL,
  skipped_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, series_id, occurrence),
  FOREIGN KEY (county_id, series_id) REFERENCES order_series
);
COMMENT ON TABLE order_series_skips IS 'Days of a series on which nobody is to come.';

CREATE TABLE orders (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  number text NOT NULL CHECK (number ~ '^D[0-9]{6}-[0-9]{6}$'),
  kind_id uuid NOT NULL,
  resident_id uuid NOT NULL,
  unit_id uuid NOT NULL,
  state text NOT NULL CHECK (state IN ('open', 'claimed', 'on_the_way', 'at_work', 'finished', 'confirmed', 'disputed', 'cancelled', 'expired')),
  wanted_from timestamptz NOT NULL,
  wanted_until timestamptz NOT NULL,
  at_once boolean NOT NULL,
  skills text[] NOT NULL,
  taken_by text[] NOT NULL,
  dispatch text NOT NULL CHECK (dispatch IN ('grab', 'assign', 'grab_then_assign')),
  evidence text NOT NULL CHECK (evidence IN ('none', 'note', 'photo')),
  money boolean NOT NULL,
  duration_minutes smallint NOT NULL,
  grab_minutes smallint NOT NULL,
  start_minutes smallint NOT NULL,
  language text,
  address bytea,
  phone bytea,
  words bytea,
  form bytea,
  lng double precision CHECK (lng BETWEEN -180 AND 180),
  lat double precision CHECK (lat BETWEEN -90 AND 90),
  ordered_by uuid,
  ordered_by_resident uuid,
  series_id uuid,
  occurrence date,
  holder_id uuid,
  load_place smallint CHECK (load_place >= 1),
  lease_until timestamptz,
  opened_at timestamptz NOT NULL,
  due_at timestamptz,
  told boolean NOT NULL DEFAULT false,
  codes integer NOT NULL DEFAULT 1 CHECK (codes >= 1),
  tries smallint NOT NULL DEFAULT 0 CHECK (tries BETWEEN 0 AND 5),
  set_out_at timestamptz,
  started_at timestamptz,
  started_how text CHECK (started_how IN ('code', 'without_phone')),
  finished_at timestamptz,
  confirmed_how text CHECK (confirmed_how IN ('in_mini_program', 'code', 'without_phone', 'call_back', 'settled')),
  ended_at timestamptz,
  moves integer NOT NULL CHECK (moves >= 1),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT orders_number UNIQUE (county_id, number),
  FOREIGN KEY (county_id, kind_id) REFERENCES order_kinds,
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  FOREIGN KEY (county_id, unit_id) REFERENCES units,
  FOREIGN KEY (county_id, holder_id) REFERENCES helpers,
  FOREIGN KEY (county_id, ordered_by) REFERENCES staff,
  FOREIGN KEY (county_id, ordered_by_resident) REFERENCES residents,
  FOREIGN KEY (county_id, series_id) REFERENCES order_series,
  CONSTRAINT orders_wanted CHECK (wanted_from < wanted_until),
  CONSTRAINT orders_point CHECK ((lng IS NULL) = (lat IS NULL)),
  CONSTRAINT orders_occurrence CHECK ((series_id IS NULL) = (occurrence IS NULL)),
  CONSTRAINT orders_once UNIQUE (county_id, series_id, occurrence),
  -- Somebody holds it from the claim on; nobody holds what is open, ran out or was cancelled.
  CONSTRAINT orders_held CHECK ((state IN ('open', 'cancelled', 'expired')) = (holder_id IS NULL)),
  CONSTRAINT orders_load CHECK ((state IN ('claimed', 'on_the_way', 'at_work')) = (load_place IS NOT NULL)),
  CONSTRAINT orders_lease CHECK ((state = 'claimed') = (lease_until IS NOT NULL)),
  CONSTRAINT orders_started CHECK ((started_at IS NULL) = (started_how IS NULL) AND (state NOT IN ('at_work', 'finished', 'confirmed', 'disputed') OR started_at IS NOT NULL)),
  CONSTRAINT orders_finished CHECK (state NOT IN ('finished', 'confirmed', 'disputed') OR finished_at IS NOT NULL),
  CONSTRAINT orders_confirmed CHECK ((state = 'confirmed') = (confirmed_how IS NOT NULL)),
  CONSTRAINT orders_ended CHECK ((state IN ('confirmed', 'cancelled')) = (ended_at IS NOT NULL))
);
-- How many one helper can hold is a matter of places: of two claims for the last one, one finds it taken.
CREATE UNIQUE INDEX orders_one_place ON orders (county_id, holder_id, load_place) WHERE load_place IS NOT NULL;
CREATE INDEX orders_resident ON orders (county_id, resident_id, created_at, id);
CREATE INDEX orders_ordered_by_resident ON orders (county_id, ordered_by_resident, created_at, id) WHERE ordered_by_resident IS NOT NULL;
CREATE INDEX orders_holder ON orders (county_id, holder_id, created_at, id) WHERE holder_id IS NOT NULL;
CREATE INDEX orders_unit ON orders (county_id, unit_id, created_at, id);
CREATE INDEX orders_unit_state ON orders (county_id, unit_id, state, created_at, id);
CREATE INDEX orders_waiting ON orders (county_id, unit_id, wanted_until, id) WHERE state = 'open';
CREATE INDEX orders_due ON orders (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX orders_of_helper ON orders (county_id, holder_id, ended_at) WHERE state = 'confirmed';

CREATE FUNCTION map_point(lng double precision, lat double precision) RETURNS point LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT point(6378137 * radians(lng), 6378137 * ln(tan(pi() / 4 + radians(least(greatest(lat, -85), 85)) / 2)))
$$;
COMMENT ON FUNCTION map_point IS 'A place on a flat map (Mercator), where what is nearest there is nearest here too, as far as one county goes. For the order of an index; distances are told by distance_m.';
CREATE INDEX orders_near ON orders USING gist (county_id, map_point(lng, lat)) WHERE state = 'open' AND lng IS NOT NULL;
REVOKE DELETE, TRUNCATE ON orders FROM lianxin_service;
COMMENT ON TABLE orders IS 'Orders (订单). Whoever holds one sees address, phone and name until it ends; every move is a row of order_moves.';
COMMENT ON COLUMN orders.number IS 'To read over the phone: D, the day, and six random digits.';
COMMENT ON COLUMN orders.at_once IS 'Wanted as soon as somebody can.';
COMMENT ON COLUMN orders.skills IS 'What the kind said when it was ordered, like taken_by, dispatch, evidence, money and the minutes.';
COMMENT ON COLUMN orders.language IS 'Key of a skill that is wished, such as a dialect; whoever has it is suggested first.';
COMMENT ON COLUMN orders.address IS 'Sealed, like phone, words and form; none once it has been erased.';
COMMENT ON COLUMN orders.lng IS 'Where it is (WGS 84), if that is known.';
COMMENT ON COLUMN orders.holder_id IS 'The helper who holds it, or did when it was finished.';
COMMENT ON COLUMN orders.load_place IS 'Which of the holder''s places it takes, from 1.';
COMMENT ON COLUMN orders.lease_until IS 'Until then the holder must be on the way, or it goes back to the pool.';
COMMENT ON COLUMN orders.opened_at IS 'Since when it has been in the pool, or was the last time.';
COMMENT ON COLUMN orders.due_at IS 'When time does something to it the next time; none: never.';
COMMENT ON COLUMN orders.told IS 'Whoever has to be asked in this state has been.';
COMMENT ON COLUMN orders.codes IS 'The start and the finish code are made of this number and the keys, and stored nowhere; a new number means new codes.';
COMMENT ON COLUMN orders.tries IS 'Wrong codes since the last right one; five lock the codes.';

CREATE TABLE order_moves (
  county_id integer NOT NULL,
  order_id uuid NOT NULL,
  seq integer NOT NULL CHECK (seq >= 1),
  at timestamptz NOT NULL,
  step text NOT NULL CHECK (step <> ''),
  actor_id uuid,
  actor_role text,
  from_state text,
  to_state text NOT NULL,
  from_holder uuid,
  holder_id uuid,
  facts jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY (county_id, order_id, seq),
  FOREIGN KEY (county_id, order_id) REFERENCES orders
);
REVOKE UPDATE, DELETE, TRUNCATE ON order_moves FROM lianxin_service;
COMMENT ON TABLE order_moves IS 'Every move of an order, append-only. No words and nothing personal: those are in order_notes.';
COMMENT ON COLUMN order_moves.actor_id IS 'Resident or member of staff; none: the system.';

CREATE TABLE order_notes (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  order_id uuid NOT NULL,
  kind text NOT NULL CHECK (kind IN ('note', 'reason', 'evidence', 'worry', 'dispute', 'call_back', 'settle')),
  side text NOT NULL CHECK (side IN ('resident', 'helper', 'staff')),
  author_id uuid NOT NULL,
  words bytea,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, order_id) REFERENCES orders
);
CREATE INDEX order_notes_order ON order_notes (county_id, order_id, created_at, id);
REVOKE UPDATE, DELETE, TRUNCATE ON order_notes FROM lianxin_service;
GRANT UPDATE (words) ON order_notes TO lianxin_service;
COMMENT ON TABLE order_notes IS 'What is said of an order, to and fro and with its moves. What was said in a dispute or a call back is never shown to whoever did it.';
COMMENT ON COLUMN order_notes.words IS 'Sealed; none once they have been erased.';

CREATE TABLE order_money (
  county_id integer NOT NULL,
  order_id uuid NOT NULL,
  line smallint NOT NULL CHECK (line BETWEEN 1 AND 100),
  kind text NOT NULL CHECK (kind IN ('advance', 'spent', 'change')),
  amount_fen bigint NOT NULL CHECK (amount_fen BETWEEN 1 AND 10000000),
  side text NOT NULL CHECK (side IN ('resident', 'helper')),
  by_id uuid NOT NULL,
  helper_id uuid NOT NULL,
  attachment_id uuid,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, order_id, line),
  FOREIGN KEY (county_id, order_id) REFERENCES orders,
  FOREIGN KEY (county_id, helper_id) REFERENCES helpers,
  -- Whatever was spent has its receipt.
  CONSTRAINT order_money_receipt CHECK (kind <> 'spent' OR attachment_id IS NOT NULL)
);
CREATE INDEX order_money_helper ON order_money (county_id, helper_id, created_at);
REVOKE UPDATE, DELETE, TRUNCATE ON order_money FROM lianxin_service;
COMMENT ON TABLE order_money IS 'Money between a resident and whoever shops or pays for them: handed over (预付), spent (支出), given back (找零). Append-only; the service itself holds none and takes no fee.';
COMMENT ON COLUMN order_money.side IS 'Whose line it is; the other side agrees to it.';
COMMENT ON COLUMN order_money.by_id IS 'Who wrote it: of the resident''s side, the helper, or staff for somebody without a phone.';
COMMENT ON COLUMN order_money.helper_id IS 'Who held the order.';

CREATE TABLE order_money_answers (
  county_id integer NOT NULL,
  order_id uuid NOT NULL,
  line smallint NOT NULL,
  agreed boolean NOT NULL,
  side text NOT NULL CHECK (side IN ('resident', 'helper')),
  by_id uuid NOT NULL,
  by_staff boolean NOT NULL,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, order_id, line),
  FOREIGN KEY (county_id, order_id, line) REFERENCES order_money
);
REVOKE UPDATE, DELETE, TRUNCATE ON order_money_answers FROM lianxin_service;
COMMENT ON TABLE order_money_answers IS 'What the other side says to a line, once. A line that is not agreed to does not count; what is right instead is a further line.';
COMMENT ON COLUMN order_money_answers.by_staff IS 'Written down by a member of staff for somebody without a phone.';

-- No state without a move: whoever moves an order writes it in the same transaction.
CREATE FUNCTION orders_have_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM order_moves m WHERE m.county_id = NEW.county_id AND m.order_id = NEW.id AND m.seq = NEW.moves
      AND m.to_state = NEW.state AND m.holder_id IS NOT DISTINCT FROM NEW.holder_id) THEN
    RAISE EXCEPTION 'an order that its moves do not lead to' USING ERRCODE = 'check_violation', CONSTRAINT = 'orders_have_moved', TABLE = 'orders';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER orders_have_moved AFTER INSERT OR UPDATE OF state, holder_id, moves ON orders DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION orders_have_moved();

CREATE FUNCTION order_moves_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Only of the newest move: nobody is told of what was made up whole (`lianxin generate`).
  IF NOT EXISTS (SELECT FROM orders o WHERE o.county_id = NEW.county_id AND o.id = NEW.order_id AND o.moves = NEW.seq) THEN
    RETURN NULL;
  END IF;
  INSERT INTO changes (county_id, entity, entity_id, unit_id, resident_id, staff_id, at)
  SELECT o.county_id, 'order', o.id, o.unit_id, o.resident_id, h.staff_id, NEW.at
    FROM orders o LEFT JOIN helpers h ON h.county_id = o.county_id AND h.id = o.holder_id
   WHERE o.county_id = NEW.county_id AND o.id = NEW.order_id;
  INSERT INTO changes (county_id, entity, entity_id, resident_id, at)
  SELECT NEW.county_id, 'order', NEW.order_id, p.id, NEW.at FROM (
    SELECT h.resident_id AS id FROM helpers h WHERE h.county_id = NEW.county_id AND h.id = NEW.holder_id
    UNION SELECT o.ordered_by_resident FROM orders o WHERE o.county_id = NEW.county_id AND o.id = NEW.order_id) p WHERE p.id IS NOT NULL;
  IF NEW.from_holder IS NOT NULL AND NEW.from_holder IS DISTINCT FROM NEW.holder_id THEN
    INSERT INTO changes (county_id, entity, entity_id, resident_id, staff_id, gone, at)
    SELECT NEW.county_id, 'order', NEW.order_id, h.resident_id, h.staff_id, true, NEW.at FROM helpers h
     WHERE h.county_id = NEW.county_id AND h.id = NEW.from_holder;
  END IF;
  -- Whoever was asked because of the state that it was in need not act any more.
  IF NEW.from_state <> NEW.to_state THEN
    WITH settled AS (
      UPDATE todos SET state = 'dropped', done_at = NEW.at, version = version + 1, updated_at = NEW.at
       WHERE county_id = NEW.county_id AND about_id = NEW.order_id AND state IN ('open', 'taken')
         AND kind IN ('decide', 'call') AND about IN ('order_dispatch', 'order_late', 'order_call_back', 'order_dispute', 'order_money') AND (about <> 'order_dispatch' OR NEW.to_state <> 'expired')
         -- A difference is not settled by closing over it.
         AND (about <> 'order_money' OR NEW.to_state = 'confirmed' AND NEW.step <> 'settle')
       RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT NEW.county_id, 'todo', id, unit_id, holder_id, NEW.at FROM settled;
  END IF;
  IF NEW.step IN ('claim', 'assign', 'set_out', 'return', 'finish', 'cancel', 'expire', 'settle', 'hand_over') THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'notify_order',
      jsonb_build_object('order', NEW.order_id, 'seq', NEW.seq), NEW.at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION order_moves_follow IS 'The change feed of every move, the todos that it settles, and what people are told of it, in its own transaction.';
CREATE TRIGGER order_moves_follow AFTER INSERT ON order_moves FOR EACH ROW EXECUTE FUNCTION order_moves_follow();

CREATE FUNCTION helper_unfit(county integer, helper uuid, which uuid, moment timestamptz) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_remove(ARRAY[
      CASE WHEN h.state <> 'active' THEN 'state' END,
      CASE WHEN NOT h.kind = ANY (o.taken_by) THEN 'kind' END,
      CASE WHEN NOT o.skills <@ h.skills THEN 'skill' END,
      CASE WHEN h.resident_id IN (o.resident_id, o.ordered_by_resident) OR acts_for(county, o.resident_id, h.resident_id, 'order', (moment AT TIME ZONE 'Asia/Shanghai')::date) THEN 'own' END,
      CASE WHEN EXISTS (SELECT FROM order_moves m WHERE m.county_id = county AND m.order_id = o.id AND m.step = 'return' AND m.from_holder = h.id
             AND m.at > moment - interval '1 day') THEN 'returned' END,
      CASE WHEN NOT helper_serves(county, h.id, o.unit_id, o.lng, o.lat) THEN 'place' END,
      CASE WHEN NOT helper_free(county, h.id, greatest(moment, o.wanted_from)) THEN 'hours' END], NULL)
    FROM orders o JOIN helpers h ON h.county_id = o.county_id AND h.id = helper WHERE o.county_id = county AND o.id = which
$$;
COMMENT ON FUNCTION helper_unfit IS 'Why a helper cannot take an order; empty: they can, if they have a place left. Defined once, for claims and for those who assign.';

CREATE FUNCTION free_place(county integer, helper uuid, most integer) RETURNS smallint LANGUAGE sql STABLE AS $$
  SELECT min(p)::smallint FROM generate_series(1, most) p
   WHERE NOT EXISTS (SELECT FROM orders x WHERE x.county_id = county AND x.holder_id = helper AND x.load_place = p AND x.load_place IS NOT NULL)
$$;
COMMENT ON FUNCTION free_place IS 'The first place that a helper has left for an order; none: they hold as many as they can.';
