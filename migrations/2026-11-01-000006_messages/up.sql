CREATE TABLE message_templates (
  county_id integer NOT NULL REFERENCES counties,
  kind text NOT NULL,
  wechat_template_id text NOT NULL,
  PRIMARY KEY (county_id, kind)
);
COMMENT ON TABLE message_templates IS 'The WeChat subscription template that carries a kind of message in a county.';

CREATE TABLE messages (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  resident_id uuid NOT NULL,
  kind text NOT NULL,
  about_id uuid NOT NULL,
  params jsonb NOT NULL,
  wechat text NOT NULL DEFAULT 'pending' CHECK (wechat IN ('pending', 'sent', 'refused', 'not_reachable')),
  wechat_errcode integer,
  created_at timestamptz NOT NULL,
  read_at timestamptz,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  CONSTRAINT messages_once UNIQUE (county_id, kind, about_id)
);
CREATE INDEX messages_inbox ON messages (county_id, resident_id, created_at, id);
COMMENT ON TABLE messages IS 'The in-app inbox and, beside it, what became of the WeChat subscription message.';
COMMENT ON COLUMN messages.params IS 'What the text is made of: matter, unit, time. No personal data.';
