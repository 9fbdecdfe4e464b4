DROP TABLE errand_originals, errand_words, errand_ledger, errands, mandates;
DROP FUNCTION errands_follow, errands_in_ledger, staff_covers;
DELETE FROM changes WHERE entity = 'errand';
