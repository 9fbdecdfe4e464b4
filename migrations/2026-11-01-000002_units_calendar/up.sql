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

CREATE TABLE calendar_years (
  year integer PRIMARY KEY,
  loaded_at timestamptz NOT NULL
);
COMMENT ON TABLE calendar_years IS 'Years whose holiday notice has been imported; a deadline that touches another year is provisional. Global.';

CREATE TABLE calendar_days (
  day date PRIMARY KEY,
  year integer NOT NULL REFERENCES calendar_years,
  kind text NOT NULL CHECK (kind IN ('holiday', 'workday')),
  name text NOT NULL,
  CONSTRAINT calendar_days_year CHECK (year = extract(year FROM day))
);
COMMENT ON TABLE calendar_days IS 'Statutory holidays and make-up workdays as published by the State Council. Global.';
