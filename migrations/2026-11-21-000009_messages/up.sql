ALTER TABLE counties ADD COLUMN sms_url text CHECK (sms_url <> ''), ADD COLUMN sms_secret bytea,
  ADD CONSTRAINT counties_sms_pair CHECK ((sms_url IS NULL) = (sms_secret IS NULL));
COMMENT ON COLUMN counties.sms_url IS 'The county''s SMS gateway; sms_secret is sealed and sent as a bearer token.';

ALTER TABLE message_templates ALTER COLUMN wechat_template_id DROP NOT NULL,
  ADD COLUMN title_zh text CHECK (title_zh <> ''),
  ADD COLUMN text_zh text CHECK (text_zh <> ''),
  ADD COLUMN title_en text CHECK (title_en <> ''),
  ADD COLUMN text_en text CHECK (text_en <> ''),
  ADD COLUMN wechat_fields jsonb,
  ADD COLUMN sms_template text CHECK (sms_template <> ''),
  ADD COLUMN version bigint NOT NULL DEFAULT 1,
  ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
COMMENT ON TABLE message_templates IS 'What a county decides otherwise about a kind of message; what is NULL is the default of the code.';
COMMENT ON COLUMN message_templates.wechat_template_id IS 'The WeChat subscription template that carries it; none: it goes by the next channel.';
COMMENT ON COLUMN message_templates.wechat_fields IS 'Field of the WeChat template (thing1) to placeholder (matter).';

ALTER TABLE messages DROP CONSTRAINT messages_once,
  ADD CONSTRAINT messages_once UNIQUE (county_id, kind, about_id, resident_id),
  ADD COLUMN words jsonb;
COMMENT ON COLUMN messages.words IS 'The county''s own words when it was posted, with their placeholders; none: the defaults. What was said does not change with the template.';

CREATE TABLE message_deliveries (
  county_id integer NOT NULL,
  message_id uuid NOT NULL,
  channel text NOT NULL CHECK (channel IN ('inbox', 'wechat', 'sms', 'person')),
  state text NOT NULL CHECK (state IN ('pending', 'sent', 'refused', 'not_reachable', 'dropped')),
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  code integer,
  at timestamptz NOT NULL,
  PRIMARY KEY (county_id, message_id, channel),
  FOREIGN KEY (county_id, message_id) REFERENCES messages
);
COMMENT ON TABLE message_deliveries IS 'What became of a message on each channel, in the order wechat, sms, person; the inbox has it always. The next channel appears when the one before has failed.';
COMMENT ON COLUMN message_deliveries.code IS 'The errcode of WeChat or the HTTP status of the gateway at the last attempt.';
COMMENT ON COLUMN message_deliveries.at IS 'When it came to its present state, or was last tried.';
INSERT INTO message_deliveries (county_id, message_id, channel, state, at)
  SELECT county_id, id, 'inbox', 'sent', created_at FROM messages;
INSERT INTO message_deliveries (county_id, message_id, channel, state, attempts, code, at)
  SELECT county_id, id, 'wechat', wechat, CASE WHEN wechat IN ('sent', 'refused') THEN 1 ELSE 0 END, wechat_errcode, created_at FROM messages;
ALTER TABLE messages DROP COLUMN wechat, DROP COLUMN wechat_errcode;
COMMENT ON TABLE messages IS 'The in-app inbox; what became of a message elsewhere is in message_deliveries.';

CREATE TABLE message_grants (
  county_id integer NOT NULL,
  id uuid NOT NULL,
  resident_id uuid NOT NULL,
  template_id text NOT NULL CHECK (template_id <> ''),
  granted_at timestamptz NOT NULL,
  message_id uuid,
  used_at timestamptz,
  voided_at timestamptz,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  -- Which message took it; not a foreign key, because the message of a duplicate may go and the grant stays used.
  CONSTRAINT message_grants_used CHECK (message_id IS NULL OR used_at IS NOT NULL)
);
-- A message takes one grant, however often it is tried.
CREATE UNIQUE INDEX message_grants_one ON message_grants (county_id, message_id) WHERE message_id IS NOT NULL;
CREATE INDEX message_grants_resident ON message_grants (county_id, resident_id, template_id, granted_at);
COMMENT ON TABLE message_grants IS 'Subscription grants of residents (wx.requestSubscribeMessage): one row lets one message of one template through.';
COMMENT ON COLUMN message_grants.voided_at IS 'WeChat said 43101: what we believed to hold does not exist.';

CREATE TABLE message_leases (
  county_id integer NOT NULL,
  resident_id uuid NOT NULL,
  holder uuid NOT NULL,
  until timestamptz NOT NULL,
  PRIMARY KEY (county_id, resident_id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents
);
COMMENT ON TABLE message_leases IS 'Who is sending to a resident right now: WeChat takes one message at a time per person (43108). A crash ends it by time.';

ALTER TABLE outbox ADD COLUMN deferred integer NOT NULL DEFAULT 0 CHECK (deferred >= 0);
COMMENT ON COLUMN outbox.deferred IS 'How many of the attempts found that it was not time yet; they do not count towards giving up.';
