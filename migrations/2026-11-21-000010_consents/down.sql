DROP TABLE data_requests;
DROP TABLE consents;
DROP FUNCTION consents_are_kept;
ALTER TABLE residents DROP CONSTRAINT residents_closed, DROP CONSTRAINT residents_reached;
-- A closed record has nothing to be reached by: a placeholder by which nobody is found.
UPDATE residents SET wechat_openid = '\x00', wechat_openid_index = decode(replace(id::text, '-', ''), 'hex')
  WHERE closed_at IS NOT NULL AND registered_by IS NULL;
ALTER TABLE residents DROP COLUMN closed_at;
ALTER TABLE residents ADD CONSTRAINT residents_reached CHECK (wechat_openid IS NOT NULL OR registered_by IS NOT NULL);
DROP TABLE consent_texts;
