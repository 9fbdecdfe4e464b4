-- What is missing has a last day, is asked for by a todo, and somebody is told when it did not come; and that a result was delivered.

CREATE OR REPLACE FUNCTION errands_follow() RETURNS trigger LANGUAGE plpgsql AS $$
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
  -- What was missing is there, or is not waited for any more.
  IF TG_OP = 'UPDATE' AND OLD.state = 'supplement_requested' AND NEW.state <> OLD.state THEN
    WITH settled AS (
      UPDATE todos SET state = 'dropped', done_at = NEW.updated_at, version = version + 1, updated_at = NEW.updated_at
       WHERE county_id = NEW.county_id AND about = 'errand_supplement' AND about_id = NEW.id AND state IN ('open', 'taken')
      RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT NEW.county_id, 'todo', id, unit_id, holder_id, NEW.updated_at FROM settled;
  END IF;
  IF TG_OP = 'UPDATE' AND NEW.state = 'supplement_requested' AND OLD.state <> NEW.state THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'follow_up_errand',
      jsonb_build_object('errand', NEW.id, 'what', 'supplement'), NEW.updated_at);
  END IF;
  IF TG_OP = 'UPDATE' THEN
    news := CASE
      WHEN OLD.state = 'submitted' AND NEW.state = 'accepted' THEN 'accepted'
      WHEN OLD.state <> NEW.state AND NEW.state IN ('supplement_requested', 'not_accepted', 'decided', 'delivered') THEN NEW.state
      WHEN OLD.state = 'supplement_requested' AND NEW.state = 'withdrawn' AND EXISTS (SELECT FROM errand_ledger l WHERE l.county_id = NEW.county_id AND l.errand_id = NEW.id
          AND l.seq = NEW.entries AND l.step = 'lapse') THEN 'lapsed'
      WHEN NEW.limit_days > OLD.limit_days AND NEW.state = OLD.state THEN 'extended' END;
  END IF;
  IF news IS NOT NULL THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'notify_errand',
      jsonb_build_object('errand', NEW.id, 'news', news, 'version', NEW.version), NEW.updated_at);
  END IF;
  RETURN NULL;
END $$;
