ALTER TABLE outbox DROP COLUMN deferred;
DROP TABLE message_leases;
DROP TABLE message_grants;
ALTER TABLE messages ADD COLUMN wechat text NOT NULL DEFAULT 'pending' CHECK (wechat IN ('pending', 'sent', 'refused', 'not_reachable')),
  ADD COLUMN wechat_errcode integer;
UPDATE messages m SET wechat = CASE d.state WHEN 'dropped' THEN 'not_reachable' ELSE d.state END, wechat_errcode = d.code
  FROM message_deliveries d WHERE d.county_id = m.county_id AND d.message_id = m.id AND d.channel = 'wechat';
DROP TABLE message_deliveries;
-- One message per kind and thing: the first stays.
DELETE FROM messages m USING messages o
  WHERE o.county_id = m.county_id AND o.kind = m.kind AND o.about_id = m.about_id AND o.id < m.id;
ALTER TABLE messages DROP COLUMN words, DROP CONSTRAINT messages_once,
  ADD CONSTRAINT messages_once UNIQUE (county_id, kind, about_id);
DELETE FROM message_templates WHERE wechat_template_id IS NULL;
ALTER TABLE message_templates DROP COLUMN updated_at, DROP COLUMN version, DROP COLUMN sms_template, DROP COLUMN wechat_fields,
  DROP COLUMN text_en, DROP COLUMN title_en, DROP COLUMN text_zh, DROP COLUMN title_zh,
  ALTER COLUMN wechat_template_id SET NOT NULL;
ALTER TABLE counties DROP CONSTRAINT counties_sms_pair, DROP COLUMN sms_secret, DROP COLUMN sms_url;
