DROP FUNCTION matter_version_on;
DROP TABLE matter_versions;
ALTER TABLE staff_posts DROP COLUMN department_id;
DROP TABLE departments;
