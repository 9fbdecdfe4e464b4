DROP TABLE audit_log;
DROP TABLE sessions;
DROP TABLE residents;
DROP TABLE staff_posts;
DROP TABLE staff;
