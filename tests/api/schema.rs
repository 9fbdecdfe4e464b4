//! `src/db/schema.rs` says of the tables what PostgreSQL says.

use std::collections::BTreeMap;

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};

use crate::harness::database::Database;

const SCHEMA: &str = include_str!("../../src/db/schema.rs");

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    column: String,
    #[diesel(sql_type = Text)]
    kind: String,
}

/// Table → `column -> Type` lines, as the file has them.
fn written() -> BTreeMap<String, Vec<String>> {
    let mut tables = BTreeMap::new();
    for block in SCHEMA.split("diesel::table! {").skip(1) {
        let body = block.split("\n}").next().expect("a body");
        let (head, columns) = body.rsplit_once(") {").expect("a head");
        let name = head.rsplit('\n').next().expect("a line").trim().split(' ').next().expect("a name");
        let columns = columns.lines().filter(|line| line.contains("->"));
        tables.insert(name.to_owned(), columns.map(|line| line.trim().trim_end_matches(',').to_owned()).collect());
    }
    tables
}

#[actix_web::test]
async fn the_file_matches_the_database() {
    let database = Database::clone_of_template().await;
    let sql = "SELECT table_name::text AS \"table\", column_name::text AS \"column\", \
        CASE udt_name WHEN 'int2' THEN 'Int2' WHEN 'int4' THEN 'Int4' WHEN 'int8' THEN 'Int8' WHEN 'text' THEN 'Text' \
          WHEN 'uuid' THEN 'Uuid' WHEN 'bytea' THEN 'Bytea' WHEN 'bool' THEN 'Bool' WHEN 'float8' THEN 'Float8' WHEN 'date' THEN 'Date' WHEN 'time' THEN 'Time' \
          WHEN 'timestamptz' THEN 'Timestamptz' WHEN 'jsonb' THEN 'Jsonb' WHEN 'xid8' THEN 'Xid8' WHEN '_uuid' THEN 'Array<Nullable<Uuid>>' WHEN '_text' THEN 'Array<Nullable<Text>>' \
          ELSE udt_name::text END AS kind_only, \
        CASE WHEN is_nullable = 'YES' THEN 'Nullable<' ELSE '' END AS open \
        FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' \
        ORDER BY table_name, ordinal_position";
    let sql = format!(
        "SELECT \"table\", \"column\", open || kind_only || CASE open WHEN '' THEN '' ELSE '>' END AS kind FROM ({sql}) c"
    );
    let rows: Vec<Column> = sql_query(sql).load(&mut database.owner()).expect("columns");
    let mut real: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        real.entry(row.table).or_default().push(format!("{} -> {}", row.column, row.kind));
    }
    assert_eq!(written(), real, "run `make schema`");
}

#[actix_web::test]
async fn append_only_tables_are_so_for_the_service() {
    let database = Database::clone_of_template().await;
    let may = |privilege: &str, table: &str| {
        let sql = format!("SELECT has_table_privilege('lianxin_app', '{table}', '{privilege}')::int::bigint AS n");
        database.count(&sql) == 1
    };
    for privilege in ["UPDATE", "DELETE", "TRUNCATE"] {
        assert!(!may(privilege, "audit_log"), "{privilege} on audit_log");
    }
    assert!(!may("UPDATE", "changes"));
    assert!(!may("UPDATE", "consents") && may("DELETE", "consents"), "a trigger keeps those of open records");
    assert!(!may("UPDATE", "consent_texts") && !may("DELETE", "consent_texts") && !may("DELETE", "data_requests"));
    assert!(
        !may("UPDATE", "matter_versions") && !may("DELETE", "matter_versions"),
        "a running errand keeps its version"
    );
    assert!(!may("DELETE", "matters"), "appointments name them without a foreign key");
    assert!(may("INSERT", "audit_log") && may("SELECT", "audit_log") && may("UPDATE", "appointments"));
    let cascades = "SELECT count(*) AS n FROM pg_constraint WHERE contype = 'f' AND confdeltype = 'c'";
    assert_eq!(database.count(cascades), 0, "a cascade ignores grants");
}
