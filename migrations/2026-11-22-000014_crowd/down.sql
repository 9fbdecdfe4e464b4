DROP FUNCTION free_of_else;
