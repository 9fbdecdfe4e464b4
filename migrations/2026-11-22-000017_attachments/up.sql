CREATE TABLE attachments (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  uploader_id uuid NOT NULL,
  by_staff boolean NOT NULL,
  resident_id uuid,
  about text,
  about_id uuid,
  state text NOT NULL CHECK (state IN ('uploading', 'processing', 'ready', 'refused', 'removing')),
  resumable boolean NOT NULL,
  name bytea,
  metadata bytea,
  declared_type text,
  length bigint NOT NULL CHECK (length >= 0),
  received bigint NOT NULL CHECK (received BETWEEN 0 AND length),
  writer uuid,
  folder text NOT NULL,
  media_type text,
  bytes bigint CHECK (bytes > 0),
  sha256 bytea CHECK (length(sha256) = 32),
  width integer CHECK (width > 0),
  height integer CHECK (height > 0),
  refusal text,
  expires_at timestamptz,
  removed_at timestamptz,
  cleared_at timestamptz,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, resident_id) REFERENCES residents,
  CONSTRAINT attachments_about CHECK ((about IS NULL) = (about_id IS NULL)),
  CONSTRAINT attachments_attached CHECK (about IS NULL OR state IN ('ready', 'removing')),
  CONSTRAINT attachments_expires CHECK ((expires_at IS NULL) = (about IS NOT NULL)),
  CONSTRAINT attachments_ready CHECK (state <> 'ready' OR num_nulls(media_type, bytes, sha256) = 0),
  CONSTRAINT attachments_whole CHECK (state NOT IN ('processing', 'ready') OR received = length),
  CONSTRAINT attachments_refused CHECK (state <> 'refused' OR refusal IS NOT NULL),
  CONSTRAINT attachments_removed CHECK ((state = 'removing') = (removed_at IS NOT NULL))
);
CREATE UNIQUE INDEX attachments_folder ON attachments (folder);
CREATE INDEX attachments_of ON attachments (county_id, about, about_id, id) WHERE about IS NOT NULL;
CREATE INDEX attachments_unattached ON attachments (county_id, uploader_id) WHERE about IS NULL;
CREATE INDEX attachments_resident ON attachments (county_id, resident_id) WHERE resident_id IS NOT NULL;
CREATE INDEX attachments_expiry ON attachments (expires_at) WHERE about IS NULL AND state <> 'removing';
CREATE INDEX attachments_parts_left ON attachments (county_id, id) WHERE resumable AND cleared_at IS NULL AND state IN ('ready', 'refused');
CREATE INDEX attachments_removing ON attachments (removed_at) WHERE state = 'removing';
COMMENT ON TABLE attachments IS 'Files (附件): uploaded first, then attached to a thing, which decides who may see them. The bytes lie in a file store under folder. The row is there before the first byte and goes after the last one.';
COMMENT ON COLUMN attachments.uploader_id IS 'A member of staff if by_staff, otherwise a resident: the only one who sees it while it belongs to nothing.';
COMMENT ON COLUMN attachments.resident_id IS 'Whose data it is; said when it is attached. Goes with the closing of the record.';
COMMENT ON COLUMN attachments.about IS 'The kind of thing that it belongs to, as in paths: errand, … No foreign key: every room may have attachments.';
COMMENT ON COLUMN attachments.resumable IS 'Uploaded by tus, in pieces.';
COMMENT ON COLUMN attachments.name IS 'Sealed: the file''s name as the uploader had it.';
COMMENT ON COLUMN attachments.metadata IS 'Sealed: Upload-Metadata of tus, which a HEAD gives back as it came.';
COMMENT ON COLUMN attachments.length IS 'Bytes announced; received says how many are there.';
COMMENT ON COLUMN attachments.writer IS 'The request that may append. The newest one takes over, so that nobody waits for a connection that died unnoticed; what the older one still brings is refused.';
COMMENT ON COLUMN attachments.folder IS 'Where the bytes lie in the file store: <county>/<random>. Random, so that nobody can tell from a file''s content where it lies.';
COMMENT ON COLUMN attachments.bytes IS 'Size of what is stored, without the metadata of images; sha256 is of the same bytes.';
COMMENT ON COLUMN attachments.refusal IS 'Why the content of a resumable upload was refused.';
COMMENT ON COLUMN attachments.expires_at IS 'When it goes if it belongs to nothing by then.';
COMMENT ON COLUMN attachments.cleared_at IS 'When the folder was last emptied: of the pieces of a finished upload, or of everything once removed.';
COMMENT ON COLUMN attachments.removed_at IS 'Nobody sees it any more. The folder is emptied at once (cleared_at), and again an hour later, when no writer can be left; then the row goes.';

CREATE TABLE attachment_pieces (
  county_id integer NOT NULL,
  attachment_id uuid NOT NULL,
  start bigint NOT NULL CHECK (start >= 0),
  bytes bigint NOT NULL CHECK (bytes > 0),
  object text NOT NULL,
  PRIMARY KEY (county_id, attachment_id, start),
  FOREIGN KEY (county_id, attachment_id) REFERENCES attachments
);
COMMENT ON TABLE attachment_pieces IS 'What has arrived of a resumable upload: objects of the file store, in order. A row is written after its object, with the offset of the upload. They go when the file has been put together.';
COMMENT ON COLUMN attachment_pieces.object IS 'The name of the object in the folder''s parts/.';
