DROP TABLE errand_originals, errand_words, errand_ledger, errands, mandates;
DROP FUNCTION errand_originals_follow, errands_follow, errands_in_ledger, staff_covers, first_asked;
DELETE FROM outbox WHERE kind IN ('notify_errand', 'recount_errands');
DELETE FROM changes WHERE entity IN ('errand', 'original');
