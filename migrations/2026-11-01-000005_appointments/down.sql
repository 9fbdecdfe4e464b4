DROP TABLE appointments;
DROP TABLE slot_usage;
DROP TABLE opening_rules;
DROP TABLE window_matters;
DROP TABLE windows;
DROP TABLE matters;
