//! A database per test: cloned from a template that is migrated and filled once per build.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Text},
};
use lianxin::{app::App, clock::Clock, config::Config, crypto, db::migrate, sample};
use uuid::Uuid;

use super::{NOW, at};

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Words {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Planned {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    text: String,
}

pub struct Database {
    name: String,
    pub service_url: String,
    pub owner_url: String,
}

/// The URL of another database of the same server.
fn renamed(url: &str, name: &str) -> String {
    url.replacen("/lianxin?", &format!("/{name}?"), 1)
}

fn server(variable: &str) -> String {
    let url = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; run `make test`"));
    assert!(url.contains("/lianxin?"), "tests run on the private server of `make test`, not on {variable}'s");
    url
}

/// A connection to the server's maintenance database, as the owner.
fn admin() -> PgConnection {
    PgConnection::establish(&renamed(&server("DATABASE_OWNER_URL"), "postgres")).expect("the private server")
}

impl Database {
    pub async fn clone_of_template() -> Self {
        let template = template().await;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let mut conn = admin();
        conn.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).expect("cloned");
        Self::named(name)
    }

    fn named(name: String) -> Self {
        let service_url = renamed(&server("DATABASE_URL"), &name);
        let owner_url = renamed(&server("DATABASE_OWNER_URL"), &name);
        Self { name, service_url, owner_url }
    }

    pub fn owner(&self) -> PgConnection {
        PgConnection::establish(&self.owner_url).expect("the private server")
    }

    pub fn service(&self) -> PgConnection {
        PgConnection::establish(&self.service_url).expect("the private server")
    }

    /// The `n` of a query.
    pub fn count(&self, sql: &str) -> i64 {
        sql_query(sql).get_result::<Counted>(&mut self.owner()).expect(sql).n
    }

    /// The column `text` of a query.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let rows: Vec<Words> = sql_query(sql).load(&mut self.owner()).expect(sql);
        rows.into_iter().map(|row| row.text).collect()
    }

    /// The `text` of a query with one row.
    pub fn text(&self, sql: &str) -> String {
        self.texts(sql).pop().expect(sql)
    }

    /// How PostgreSQL would run a statement.
    pub fn plan(&self, sql: &str) -> String {
        let lines: Vec<Planned> = sql_query(format!("EXPLAIN {sql}")).load(&mut self.owner()).expect(sql);
        lines.into_iter().map(|line| line.text + "\n").collect()
    }

    pub fn run(&self, sql: &str) {
        self.owner().batch_execute(sql).expect(sql);
    }

    /// Every stored value of every text-like column, to look for what must not be there.
    pub fn everything(&self) -> String {
        #[derive(QueryableByName)]
        struct Name {
            #[diesel(sql_type = diesel::sql_types::Text)]
            name: String,
        }
        let mut conn = self.owner();
        let tables = "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public'";
        let tables: Vec<Name> = sql_query(tables).load(&mut conn).expect("tables");
        let mut all = String::new();
        for Name { name: table } in tables {
            let rows: Vec<Name> =
                sql_query(format!("SELECT t::text AS name FROM {table} t")).load(&mut conn).expect("rows");
            all.extend(rows.into_iter().map(|row| row.name + "\n"));
        }
        all
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = admin().batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// The name of the template of this build; the first test to come makes it, the others wait.
async fn template() -> String {
    let exe = std::env::current_exe().and_then(|path| path.metadata()).expect("this very program");
    let built = format!("{:?}/{}", exe.modified().expect("a time"), exe.len());
    let name = format!("template_{}", hex::encode(&crypto::digest(built.as_bytes())[..6]));
    let mut conn = admin();
    conn.batch_execute("SELECT pg_advisory_lock(1)").expect("locked");
    let exists = format!("SELECT count(*) AS n FROM pg_database WHERE datname = '{name}'");
    if sql_query(&exists).get_result::<Counted>(&mut conn).expect("asked").n == 0 {
        clean(&mut conn);
        make(&mut conn, &name).await;
    }
    conn.batch_execute("SELECT pg_advisory_unlock(1)").expect("unlocked");
    name
}

/// Drops what earlier builds and killed tests left behind.
fn clean(conn: &mut PgConnection) {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
    }
    let old = "SELECT datname::text AS name FROM pg_database WHERE datname LIKE 'template\\_%' OR datname LIKE 'test\\_%' OR datname = 'making'";
    let old: Vec<Name> = sql_query(old).load(conn).expect("databases");
    for Name { name } in old {
        conn.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).expect("dropped");
    }
}

async fn make(conn: &mut PgConnection, name: &str) {
    conn.batch_execute("CREATE DATABASE making TEMPLATE template0").expect("created");
    let owner = renamed(&server("DATABASE_OWNER_URL"), "making");
    migrate::up(&mut migrate::connect(&owner).expect("connects")).expect("migrates");
    let mut config = Config::development();
    config.database_url = Some(renamed(&server("DATABASE_URL"), "making").into());
    config.redis_url = Some(std::env::var("REDIS_URL").expect("make test sets it").into());
    config.redis_prefix = "template".into();
    config.database_pool = 1;
    config.lianxin_files = Some(std::env::temp_dir());
    let app = App::new(config, Clock::manual(at(NOW))).expect("a valid configuration");
    sample::load(&app).await.expect("the sample county");
    drop(app);
    // A template must have no visitors; the pool's threads may still be leaving.
    conn.batch_execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'making'")
        .expect("asked");
    conn.batch_execute(&format!("ALTER DATABASE making RENAME TO {name}")).expect("renamed");
}
