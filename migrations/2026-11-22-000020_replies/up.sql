-- What an errand is bound to by its ledger, papers that mandates and replies carry, and what follows a delivery.

ALTER TABLE errands ADD COLUMN content_salt bytea, ADD COLUMN parcel bytea;
COMMENT ON COLUMN errands.content_salt IS 'Sealed; the salt of the digest of form, answers and materials that the ledger has since it was submitted. Goes with them when the law asks for it.';
COMMENT ON COLUMN errands.parcel IS 'Sealed, with its salt; carrier and tracking number of a result that was sent by post.';

ALTER TABLE mandates ADD COLUMN attachment_ids jsonb NOT NULL DEFAULT '[]';
COMMENT ON COLUMN mandates.attachment_ids IS 'The photo of the signature, or the recording of what was said.';

-- There is one decision, one delivery, one acknowledgement.
CREATE UNIQUE INDEX errand_ledger_once ON errand_ledger (county_id, errand_id, step) WHERE step IN ('decide', 'deliver', 'acknowledge');

CREATE FUNCTION errand_replies_follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Called back; or three times in vain, which is as often as anybody is asked to try.
  IF NEW.step = 'call_back' AND (NEW.facts ->> 'reached' = 'true'
      OR (SELECT count(*) FROM errand_ledger l WHERE l.county_id = NEW.county_id AND l.errand_id = NEW.errand_id AND l.step = 'call_back') >= 3) THEN
    WITH settled AS (
      UPDATE todos SET state = 'done', done_by = NEW.actor_id, done_at = NEW.at, version = version + 1, updated_at = NEW.at
       WHERE county_id = NEW.county_id AND about = 'errand_call_back' AND about_id = NEW.errand_id AND state IN ('open', 'taken')
      RETURNING id, unit_id, holder_id)
    INSERT INTO changes (county_id, entity, entity_id, unit_id, staff_id, at)
    SELECT NEW.county_id, 'todo', id, unit_id, holder_id, NEW.at FROM settled;
  END IF;
  -- Only of the newest entry: what was made up whole (`lianxin generate`) has been acknowledged since.
  IF (NEW.step = 'deliver' OR NEW.facts ->> 'satisfied' = 'no')
      AND EXISTS (SELECT FROM errands e WHERE e.county_id = NEW.county_id AND e.id = NEW.errand_id AND e.entries = NEW.seq) THEN
    INSERT INTO outbox (county_id, kind, payload, run_at) VALUES (NEW.county_id, 'follow_up_errand',
      jsonb_build_object('errand', NEW.errand_id, 'what', CASE NEW.step WHEN 'deliver' THEN 'call_back' ELSE 'unsatisfied' END), NEW.at);
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION errand_replies_follow IS 'The call-back (回访) that a delivery asks for, and what an answer does to it, in the statement that writes the entry.';
CREATE TRIGGER errand_replies_follow AFTER INSERT ON errand_ledger FOR EACH ROW
  WHEN (NEW.step IN ('deliver', 'call_back')) EXECUTE FUNCTION errand_replies_follow();
