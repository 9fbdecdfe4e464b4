DROP TABLE calendar_days;
DROP FUNCTION unit_within;
DROP TABLE units;
