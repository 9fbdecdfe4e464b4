ALTER TABLE household_imports ADD COLUMN file_name text NOT NULL DEFAULT '';
ALTER TABLE household_imports ALTER COLUMN file_name DROP DEFAULT;
