DROP TRIGGER errand_replies_follow ON errand_ledger;
DROP FUNCTION errand_replies_follow;
DROP INDEX errand_ledger_once;
DELETE FROM outbox WHERE kind = 'follow_up_errand';
ALTER TABLE mandates DROP COLUMN attachment_ids;
ALTER TABLE errands DROP COLUMN content_salt, DROP COLUMN parcel;
