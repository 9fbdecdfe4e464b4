DROP TABLE rating_entries;
DROP TABLE ratings;
