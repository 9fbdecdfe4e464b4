DROP TABLE visit_cases;
DROP TABLE visit_findings;
DROP TABLE visit_photos;
DROP TABLE visit_conflicts;
DROP TABLE visit_amendments;
DROP TABLE visits;
DROP FUNCTION visits_follow, visits_touched, visits_amended, visit_conflicts_follow, visit_findings_change, visit_cases_change;
DELETE FROM changes WHERE entity IN ('visit', 'finding');
