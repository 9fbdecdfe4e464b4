-- A body has no file name; the digest says which file it was.
ALTER TABLE household_imports DROP COLUMN file_name;
