//! Faults planted in a test's database: at one step of a statement, a transaction or its commit, once.
//!
//! Triggers stand before and after every write, so that the program under test needs no hooks. What is
//! written is one statement's or one transaction's; a fault inside must undo all of it.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{TestDb, eventually};

/// One place where a fault can be planted.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it is called in reports.
    pub name: String,
    timing: Timing,
    event: &'static str,
    table: String,
    when: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    /// Before the row is written, after those before it.
    Before,
    /// After all of the statement.
    After,
    /// After all of the transaction.
    AtCommit,
}

impl Step {
    fn new(timing: Timing, event: &'static str, table: &str, when: &'static str) -> Step {
        let word = match timing {
            Timing::Before => "before",
            Timing::After => "after",
            Timing::AtCommit => "at the commit of",
        };
        Step {
            name: format!("{word} {event} on {table} {when}")
                .trim()
                .to_owned(),
            timing,
            event,
            table: table.to_owned(),
            when,
        }
    }

    /// Before and after a write; `when` narrows it to some rows.
    pub fn around(event: &'static str, table: &str, when: &'static str) -> [Step; 2] {
        [Timing::Before, Timing::After].map(|timing| Step::new(timing, event, table, when))
    }

    /// When the transaction of a write commits.
    pub fn at_commit(event: &'static str, table: &str, when: &'static str) -> Step {
        Step::new(Timing::AtCommit, event, table, when)
    }

    /// Before and after every table is made in the schema `read`; rows of such tables are
    /// [`Step::around`] the table `read`.
    pub fn new_table() -> Step {
        Step::new(Timing::After, "create", NEW_TABLES, "")
    }

    fn ddl(&self, nth: usize) -> String {
        let (timing, each) = match self.timing {
            Timing::Before => ("trigger t before", ""),
            Timing::After => ("trigger t after", ""),
            Timing::AtCommit => (
                "constraint trigger t after",
                "deferrable initially deferred",
            ),
        };
        let when = match self.when {
            "" => String::new(),
            when => format!("when ({when})"),
        };
        format!(
            "create {} {} on {} {each} for each row {when} execute function trap.spring('{}')",
            timing.replace(" t ", &format!(" trap{nth:02} ")),
            self.event,
            self.table,
            self.name.replace('\'', "''")
        )
    }
}

/// All tables of read models, those to come included.
const NEW_TABLES: &str = "read";

/// What befalls whoever comes to the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The database refuses.
    Refuse,
    /// The connection is ended from the database's side.
    Disconnect,
    /// The statement stands still until [`Trap::let_go`].
    Hold,
}

/// The traps of one database; one is armed at a time.
pub struct Trap {
    /// Holds the lock that held statements wait for.
    conn: PgConnection,
}

const SET_UP: &str = "
    create schema trap;
    create table trap.armed (step text not null, action text not null);
    -- a sequence is not rolled back: the trap springs once, whatever becomes of the transaction
    create sequence trap.sprung;
    create function trap.hit(at text) returns void
        language plpgsql security definer set search_path = trap as $$
    declare
        what text := (select action from trap.armed where step = at);
    begin
        if what is null or nextval('trap.sprung') > 1 then
            return;
        end if;
        case what
            when 'Refuse' then
                raise exception 'trapped %', at using errcode = 'XX000';
            when 'Disconnect' then
                perform pg_terminate_backend(pg_backend_pid());
                perform pg_sleep(60);
            when 'Hold' then
                perform pg_advisory_xact_lock(hashtext('trap'));
        end case;
    end $$;
    create function trap.spring() returns trigger language plpgsql security definer as $$
    begin
        perform trap.hit(tg_argv[0]);
        if tg_op = 'DELETE' then
            return old;
        end if;
        return new;
    end $$;";

impl Trap {
    /// Plants all steps, unarmed.
    pub async fn plant(db: &TestDb, steps: &[Step]) -> Trap {
        let mut conn = PgConnection::connect_with(&db.options()).await.unwrap();
        conn.execute(SET_UP).await.unwrap();
        let mut of_new_tables = String::new();
        for (nth, step) in steps.iter().enumerate() {
            let ddl = step.ddl(nth);
            match (step.table.as_str(), step.event) {
                (NEW_TABLES, "create") => of_new_tables.push_str(&format!(
                    "perform trap.hit('{}');\n",
                    step.name.replace('\'', "''")
                )),
                (NEW_TABLES, _) => {
                    let ddl = ddl.replace(" on read ", " on %s ").replace('\'', "''");
                    of_new_tables
                        .push_str(&format!("execute format('{ddl}', made.object_identity);\n"));
                }
                _ => {
                    conn.execute(ddl.as_str()).await.unwrap();
                }
            }
        }
        let on_new_table = format!(
            "create function trap.on_new_table() returns event_trigger
                 language plpgsql security definer as $$
             declare made record;
             begin
                 for made in select * from pg_event_trigger_ddl_commands()
                             where schema_name = 'read' and object_type = 'table' loop
                     {of_new_tables}
                 end loop;
             end $$;
             create event trigger new_table on ddl_command_end when tag in ('CREATE TABLE')
                 execute function trap.on_new_table();"
        );
        conn.execute(on_new_table.as_str()).await.unwrap();
        Trap { conn }
    }

    /// From now on whoever comes to the step first is trapped.
    pub async fn arm(&mut self, step: &Step, action: Action) {
        self.disarm().await;
        if action == Action::Hold {
            let lock = "select pg_advisory_lock(hashtext('trap'))";
            self.conn.execute(lock).await.unwrap();
        }
        sqlx::query("insert into trap.armed values ($1, $2)")
            .bind(&step.name)
            .bind(format!("{action:?}"))
            .execute(&mut self.conn)
            .await
            .unwrap();
    }

    /// Nobody is trapped any more, and what is held goes on.
    pub async fn disarm(&mut self) {
        let disarm = "delete from trap.armed; select setval('trap.sprung', 1, false);
                      select pg_advisory_unlock_all()";
        self.conn.execute(disarm).await.unwrap();
    }

    /// Was anybody trapped?
    pub async fn is_sprung(&mut self) -> bool {
        sqlx::query_scalar("select is_called from trap.sprung")
            .fetch_one(&mut self.conn)
            .await
            .unwrap()
    }

    /// Waits until a statement is held; its backend.
    pub async fn holds(&mut self) -> i32 {
        let held = "select pid from pg_locks where locktype = 'advisory' and not granted
                    and database = (select oid from pg_database where datname = current_database())";
        let (conn, mut found) = (&mut self.conn, None);
        eventually("a statement is held", async || {
            found = sqlx::query_scalar(held)
                .fetch_optional(&mut *conn)
                .await
                .unwrap();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Lets a held statement of a dead client go on, and waits until the server has done with it.
    pub async fn let_go(&mut self, backend: i32) {
        self.disarm().await;
        let conn = &mut self.conn;
        eventually("the server has done with a dead client", async || {
            let there: bool =
                sqlx::query_scalar("select exists (select from pg_stat_activity where pid = $1)")
                    .bind(backend)
                    .fetch_one(&mut *conn)
                    .await
                    .unwrap();
            !there
        })
        .await;
    }
}
