CREATE TABLE departments (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  phone text,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'closed')),
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  CONSTRAINT departments_name UNIQUE (county_id, name)
);
REVOKE DELETE, TRUNCATE ON departments FROM lianxin_service;
COMMENT ON TABLE departments IS 'Departments of the county government (县直部门): they decide what villages and townships may not.';
COMMENT ON COLUMN departments.phone IS 'Service phone; public.';

ALTER TABLE staff_posts
  ADD COLUMN department_id uuid,
  ADD FOREIGN KEY (county_id, department_id) REFERENCES departments,
  ADD CONSTRAINT staff_posts_department CHECK (department_id IS NULL OR role = 'department_staff');
CREATE INDEX staff_posts_of_department ON staff_posts (county_id, department_id) WHERE department_id IS NOT NULL AND ended_at IS NULL;
COMMENT ON COLUMN staff_posts.department_id IS 'Whose post it is. New posts of the role department_staff name it; those from before, and imported ones, have none until somebody says it.';

CREATE TABLE matter_versions (
  county_id integer NOT NULL,
  matter_id uuid NOT NULL,
  number smallint NOT NULL CHECK (number >= 1),
  effective_from date NOT NULL,
  decided_by text NOT NULL CHECK (decided_by IN ('village', 'township', 'department')),
  department_id uuid,
  kind text NOT NULL CHECK (kind IN ('instant', 'promised')),
  promised_days smallint NOT NULL CHECK (promised_days BETWEEN 0 AND 250),
  statutory_days smallint CHECK (statutory_days BETWEEN 0 AND 250),
  proxy_allowed boolean NOT NULL,
  materials jsonb NOT NULL CHECK (jsonb_typeof(materials) = 'array'),
  conditions jsonb NOT NULL CHECK (jsonb_typeof(conditions) = 'array'),
  questions jsonb NOT NULL CHECK (jsonb_typeof(questions) = 'array'),
  form jsonb CHECK (form ->> 'type' = 'object'),
  ladder jsonb CHECK (jsonb_typeof(ladder) = 'array'),
  created_by uuid,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, matter_id, number),
  FOREIGN KEY (county_id, matter_id) REFERENCES matters,
  FOREIGN KEY (county_id, department_id) REFERENCES departments,
  FOREIGN KEY (county_id, created_by) REFERENCES staff,
  CONSTRAINT matter_versions_kind CHECK ((kind = 'instant') = (promised_days = 0)),
  CONSTRAINT matter_versions_limits CHECK (promised_days <= statutory_days),
  CONSTRAINT matter_versions_department CHECK ((decided_by = 'department') = (department_id IS NOT NULL))
);
REVOKE UPDATE, DELETE, TRUNCATE ON matter_versions FROM lianxin_service;
CREATE INDEX matter_versions_of_department ON matter_versions (county_id, department_id) WHERE department_id IS NOT NULL;
COMMENT ON TABLE matter_versions IS 'How a matter is done (办事指南), version by version. Published once, never changed: a running errand keeps the version it was filed under.';
COMMENT ON COLUMN matter_versions.effective_from IS 'Local day. In effect on a day: the latest that is not after it, of equal ones the highest number; matter_version_on says which.';
COMMENT ON COLUMN matter_versions.promised_days IS 'Working days, 0 for instant matters (即办件): the end of the day of acceptance.';
COMMENT ON COLUMN matter_versions.statutory_days IS 'Working days that the law allows; none where it says nothing.';
COMMENT ON COLUMN matter_versions.materials IS 'A list of {key, name, need, group, form, count, note, when}, checked by the program before it is published.';
COMMENT ON COLUMN matter_versions.questions IS 'A list of {key, text, options}; a material''s "when" names keys and values.';
COMMENT ON COLUMN matter_versions.form IS 'JSON Schema 2020-12 of what is filled in; none: there is nothing to fill in.';
COMMENT ON COLUMN matter_versions.ladder IS 'Who is told when it takes long (督办阶梯): a list of {at, days, to}; none: the usual one, an empty list: nobody.';
COMMENT ON COLUMN matter_versions.created_by IS 'The member of staff who published it; none: the operator.';

CREATE FUNCTION matter_version_on(county integer, matter uuid, on_day date) RETURNS smallint LANGUAGE sql STABLE AS $$
  SELECT v.number FROM matter_versions v WHERE v.county_id = county AND v.matter_id = matter AND v.effective_from <= on_day
  ORDER BY v.effective_from DESC, v.number DESC LIMIT 1
$$;
COMMENT ON FUNCTION matter_version_on IS 'The number of the version in effect on a local day; none before the first. Defined once.';
