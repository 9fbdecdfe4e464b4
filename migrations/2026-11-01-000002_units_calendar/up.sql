CREATE TABLE units (
  county_id integer NOT NULL REFERENCES counties,
  id uuid NOT NULL,
  parent_id uuid,
  level text NOT NULL CHECK (level IN ('county', 'township', 'village')),
  name text NOT NULL CHECK (name <> ''),
  division_code text NOT NULL CHECK (division_code ~ '^[0-9]{12}$'),
  code_source text NOT NULL,
  code_vintage text,
  version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  PRIMARY KEY (county_id, id),
  FOREIGN KEY (county_id, parent_id) REFERENCES units,
  CONSTRAINT units_root CHECK ((level = 'county') = (parent_id IS NULL)),
  CONSTRAINT units_code UNIQUE (county_id, code_source, division_code)
);
CREATE INDEX units_parent ON units (county_id, parent_id);
COMMENT ON TABLE units IS 'Administrative units and their service centres: county, township, village (县、乡、村).';
COMMENT ON COLUMN units.division_code IS 'An attribute, not a key: the statistics bureau and the civil-affairs ministry number differently, and codes change.';

CREATE FUNCTION unit_within(county integer, unit uuid, top uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM units u LEFT JOIN units p ON p.county_id = u.county_id AND p.id = u.parent_id
    WHERE u.county_id = county AND u.id = unit AND top IN (u.id, u.parent_id, p.parent_id))
$$;
COMMENT ON FUNCTION unit_within IS 'Whether a unit is another one or lies below it: the reach of a post, defined once.';

CREATE TABLE calendar_days (
  day date PRIMARY KEY,
  kind text NOT NULL CHECK (kind IN ('holiday', 'workday')),
  name text NOT NULL
);
COMMENT ON TABLE calendar_days IS 'Statutory holidays and make-up workdays as published by the State Council. Global. A year with fewer than 11 holidays is not complete yet.';
