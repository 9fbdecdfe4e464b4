DROP TABLE household_import_lines, household_imports, visit_tasks, visit_partners, household_tags, household_tag_kinds, household_points,
  household_members, households, visit_categories;
DROP FUNCTION visit_tasks_resolve, visit_tasks_follow, visit_partners_follow, households_follow, household_plan,
  households_begin, village_visitor, household_ids;
