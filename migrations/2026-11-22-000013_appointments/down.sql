DROP TRIGGER waiting_follow ON appointments;
DROP TRIGGER appointments_follow_update ON appointments;
DROP TRIGGER appointments_follow_insert ON appointments;
DROP TRIGGER appointments_take_other_place ON appointments;
DROP TRIGGER appointments_take_place ON appointments;
DROP FUNCTION waiting_follow, appointments_follow, appointments_take_place, centre_openings, post_covered, centre_gate;

UPDATE outbox SET kind = 'notify_booked', payload = jsonb_build_object('appointment', payload->'appointment')
  WHERE kind = 'notify_appointment' AND payload->>'news' = 'booked';
DELETE FROM outbox WHERE kind IN ('notify_appointment', 'offer_places');

-- What was told again is told once.
DELETE FROM message_deliveries d USING messages m WHERE m.county_id = d.county_id AND m.id = d.message_id AND m.occasion <> 0;
DELETE FROM messages WHERE occasion <> 0;
ALTER TABLE messages DROP CONSTRAINT messages_once, DROP COLUMN occasion,
  ADD CONSTRAINT messages_once UNIQUE (county_id, kind, about_id, resident_id);

DROP TABLE hall_screens, queue_days, waiting_entries, appointment_handles, appointment_events;

-- The states of old: who came was booked, who never did or never booked is as good as cancelled.
DELETE FROM appointments WHERE channel = 'walk_in' OR state IN ('held', 'lapsed');
DROP INDEX appointments_one_a_day, appointments_one_hold, appointments_live, appointments_ahead, appointments_holds, appointments_no_shows,
  appointments_queue, appointments_tickets, appointments_one_at_desk;
ALTER TABLE appointments DROP CONSTRAINT appointments_state, DROP CONSTRAINT appointments_channel, DROP CONSTRAINT appointments_cancelled,
  DROP CONSTRAINT appointments_somebody, DROP CONSTRAINT appointments_busy, DROP CONSTRAINT appointments_capacity,
  DROP CONSTRAINT appointments_address, DROP CONSTRAINT appointments_held, DROP CONSTRAINT appointments_ticket, DROP CONSTRAINT appointments_line, DROP CONSTRAINT appointments_desk;
UPDATE appointments SET state = CASE WHEN state IN ('no_show', 'missed', 'cancelled') OR nth > 1 THEN 'cancelled' ELSE 'booked' END;
UPDATE appointments SET cancelled_at = coalesce(cancelled_at, updated_at) WHERE state = 'cancelled';
-- Of several of one matter and day the first stays.
UPDATE appointments a SET state = 'cancelled', cancelled_at = updated_at
  WHERE state = 'booked' AND EXISTS (SELECT FROM appointments b WHERE b.county_id = a.county_id AND b.resident_id = a.resident_id
    AND b.matter_id = a.matter_id AND b.on_date = a.on_date AND b.state = 'booked' AND b.id < a.id);
ALTER TABLE appointments
  DROP COLUMN place, DROP COLUMN address, DROP COLUMN slots, DROP COLUMN busy_from, DROP COLUMN busy_until, DROP COLUMN capacity,
  DROP COLUMN capacity_total, DROP COLUMN nth, DROP COLUMN held_until, DROP COLUMN waiting_id, DROP COLUMN reminded, DROP COLUMN moved_at,
  DROP COLUMN ticket, DROP COLUMN arrived_at, DROP COLUMN on_time, DROP COLUMN queue_at, DROP COLUMN desk_id, DROP COLUMN called_at,
  DROP COLUMN calls, DROP COLUMN served_at, DROP COLUMN finished_at, DROP COLUMN updated_by,
  ALTER COLUMN resident_id SET NOT NULL,
  ADD CONSTRAINT appointments_state_check CHECK (state IN ('booked', 'cancelled')),
  ADD CONSTRAINT appointments_channel_check CHECK (channel IN ('public', 'proxy', 'desk')),
  ADD CONSTRAINT appointments_cancelled CHECK ((state = 'cancelled') = (cancelled_at IS NOT NULL));
CREATE UNIQUE INDEX appointments_one_a_day ON appointments (county_id, resident_id, matter_id, on_date) WHERE state = 'booked';

CREATE TABLE slot_usage (
  county_id integer NOT NULL,
  window_id uuid NOT NULL,
  starts_at timestamptz NOT NULL,
  channel text NOT NULL CHECK (channel IN ('public', 'proxy', 'desk')),
  taken smallint NOT NULL,
  capacity smallint NOT NULL,
  PRIMARY KEY (county_id, window_id, starts_at, channel),
  FOREIGN KEY (county_id, window_id) REFERENCES windows,
  CONSTRAINT slot_usage_never_overbooked CHECK (taken BETWEEN 0 AND capacity)
) WITH (fillfactor = 70);
COMMENT ON TABLE slot_usage IS 'How many places of a slot are taken. A row appears with the first booking; the CHECK makes overbooking impossible.';
INSERT INTO slot_usage SELECT county_id, window_id, starts_at, channel, count(*) FILTER (WHERE state = 'booked'), count(*)
  FROM appointments GROUP BY county_id, window_id, starts_at, channel;
ALTER TABLE appointments ADD FOREIGN KEY (county_id, window_id, starts_at, channel) REFERENCES slot_usage;
COMMENT ON TABLE appointments IS 'Appointments (预约). on_date is the local day (UTC+8) of starts_at.';

DROP TABLE opening_exceptions;
ALTER TABLE opening_rules DROP COLUMN place, DROP COLUMN every_weeks;
DROP INDEX windows_unit;
ALTER TABLE windows DROP COLUMN officer_id, DROP COLUMN paused_at;
GRANT DELETE ON windows TO lianxin_service;
ALTER TABLE matters DROP COLUMN slots, DROP COLUMN places, DROP COLUMN travel_minutes, DROP COLUMN own_specialist;
