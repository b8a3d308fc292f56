//! A private database for one test, copied from a template with all migrations applied.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering};

use daybook::store::MIGRATIONS;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

use super::{cluster, url_of};

/// Connections one test's pool may open; a test run has a few hundred in all.
const POOL_MAX: u32 = 8;

/// A migrated database that nobody else uses; dropped with the value unless the test fails.
#[derive(Debug)]
pub struct TestDb {
    name: String,
    options: PgConnectOptions,
    pool: PgPool,
}

impl TestDb {
    /// A new one.
    ///
    /// # Panics
    /// If PostgreSQL cannot be had, with advice how to get it.
    pub async fn create() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static COPY: OnceCell<String> = OnceCell::const_new();
        let copy = COPY.get_or_init(prepare_template).await;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let create = format!("create database {name} {copy}");
        let mut connection = administer().await;
        if connection.execute(create.as_str()).await.is_err() {
            // A process with our id was killed before it dropped its databases.
            let drop = format!("drop database {name} with (force)");
            connection.execute(drop.as_str()).await.unwrap();
            connection.execute(create.as_str()).await.unwrap();
        }
        connection.close().await.unwrap();
        let options = cluster::options(&name).await;
        let pool = PgPoolOptions::new().max_connections(POOL_MAX);
        let pool = pool.connect_lazy_with(options.clone());
        Self {
            name,
            options,
            pool,
        }
    }

    /// A few connections to it.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Every row of every table, as text.
    pub async fn dump(&self) -> String {
        let tables: Vec<String> = sqlx::query_scalar(
            "select format('%I.%I', schemaname, tablename) from pg_tables
             where schemaname in ('public', 'read')",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut dump = String::new();
        for table in tables {
            let rows: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t"))
                .fetch_all(&self.pool)
                .await
                .unwrap();
            dump += &(rows.join("\n") + "\n");
        }
        dump
    }

    /// The same as a `DATABASE_URL`.
    pub fn url(&self) -> String {
        url_of(&self.options)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // whoever stops the test here can look; it goes away with the run's server
        }
        let name = self.name.clone();
        // The test's own runtime may be busy with this very drop, or have ended.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(drop_database(&name));
        });
        dropping.join().expect("the test's database can be dropped");
    }
}

/// Ends all connections first: the server's own way of waiting for their end takes 100 ms.
async fn drop_database(name: &str) {
    let end_all = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    let mut connection = administer().await;
    for _ in 0..50 {
        let ended = sqlx::query(end_all).bind(name).fetch_all(&mut connection);
        if ended.await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let drop = format!("drop database {name} with (force)");
    connection.execute(drop.as_str()).await.unwrap();
    connection.close().await.unwrap();
}

/// A connection beside all tests' databases.
async fn administer() -> PgConnection {
    PgConnection::connect_with(&cluster::options("postgres").await)
        .await
        .unwrap()
}

/// Makes the template for today's migrations unless it is there; returns how to copy it.
async fn prepare_template() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATIONS.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    let template = format!("template_{:016x}", hasher.finish());

    let mut connection = administer().await;
    // Other processes want it at the same time; the lock goes with the connection.
    connection
        .execute("select pg_advisory_lock(hashtext('test template'))")
        .await
        .unwrap();
    let is_done = "select exists (select from pg_database where datname = $1 and datistemplate)";
    let done: bool = sqlx::query_scalar(is_done)
        .bind(&template)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    if !done {
        let restart = format!("drop database if exists {template} with (force)");
        connection.execute(restart.as_str()).await.unwrap();
        let create = format!("create database {template}");
        connection.execute(create.as_str()).await.unwrap();
        migrate(&cluster::options(&template).await).await;
        let close = format!("alter database {template} is_template true allow_connections false");
        connection.execute(close.as_str()).await.unwrap();
    }
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    // Copying files beats copying pages through the log, which newer servers do by default.
    let strategy = if version >= 150_000 {
        "strategy = file_copy"
    } else {
        ""
    };
    format!("template {template} {strategy}")
}

/// Applies all migrations.
pub(super) async fn migrate(options: &PgConnectOptions) {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    MIGRATIONS.run(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
