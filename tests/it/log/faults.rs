//! A fault before and after every write of an append, and at its commit: all of the append is there, or
//! nothing, and who asks again is told the same.

use std::sync::Arc;

use daybook::store::{Append, AppendError, Appended, Store};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Executor as _, PgPool};
use uuid::Uuid;

use super::scene::{claim, flaws, named, rejected, store, tenant, write};
use crate::support::{Action, Child, Fault, Proxy, Step, TestDb, Trap, eventually, url_of};

const LOG: &str = "DAYBOOK_TEST_FAULTS_LOG";
const WISH: &str = "DAYBOOK_TEST_FAULTS_WISH";

/// What kind of append, by what it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All there is: streams relied on, advanced and opened, values taken and given back, refused records.
    Full,
    /// Events and nothing else: the short statement.
    Plain,
    /// Refused records and no events: the head is not touched.
    Refused,
    /// Events by the short statement, of a command whose id the log does not keep and which relies on
    /// another stream.
    Nameless,
    /// The same with a value taken: by the full statement.
    Taking,
}

const KINDS: [Kind; 5] = [
    Kind::Full,
    Kind::Plain,
    Kind::Refused,
    Kind::Nameless,
    Kind::Taking,
];

impl Kind {
    /// Is a second attempt told what the first one was?
    fn is_remembered(self) -> bool {
        !matches!(self, Kind::Nameless | Kind::Taking)
    }
}

/// One append, the same however often it is asked for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    kind: Kind,
    /// Wishes of a kind are numbered from 1; each finds what the one before it has left.
    nth: i64,
    id: Uuid,
}

impl Wish {
    fn append(self) -> Append {
        let (nth, known) = (self.nth, format!("{:?}", self.kind));
        let opened = write(&self.opened(), 0, 1);
        let mut append = named(self.id, 1, Vec::new());
        append.receipt = Some(format!(r#"{{"nth":{nth}}}"#));
        append.remembered = self.kind.is_remembered();
        if !append.remembered {
            append.metadata = format!(r#"{{"actor":"user:ann","nameless":"{}"}}"#, self.id);
        }
        match self.kind {
            Kind::Full => {
                append.writes = vec![write(&known, 2 * nth - 1, 2), write("relied", 1, 0), opened];
                let before = self.plate(nth - 1);
                append.claims = vec![
                    claim(&self.plate(nth), "holder", false),
                    claim(&before, "holder", true),
                ];
                append.rejected = vec![rejected(r#"{"lat":1}"#), rejected(r#"{"lat":2}"#)];
            }
            Kind::Plain => append.writes = vec![write(&known, 2 * nth - 1, 2), opened],
            Kind::Nameless => {
                append.writes = vec![write(&known, 2 * nth - 1, 2), write("relied", 1, 0), opened];
            }
            Kind::Taking => {
                append.writes = vec![write(&known, 2 * nth - 1, 2), opened];
                append.claims = vec![claim(&self.plate(nth), "holder", false)];
            }
            Kind::Refused => {
                append.writes = vec![write("relied", 1, 0)];
                append.rejected = vec![rejected("{}")];
            }
        }
        append
    }

    /// The value that the wish of this number takes, and the next one gives back.
    fn plate(self, nth: i64) -> String {
        format!("{:?} {nth}", self.kind)
    }

    fn opened(self) -> String {
        format!("{:?}{}", self.kind, self.nth)
    }

    /// How much is to be found of it, where: receipts, events, rows of the stream it opens, events of the
    /// stream it advances, refused records, values taken, values given back.
    fn all(self) -> [i64; 7] {
        match self.kind {
            Kind::Full => [1, 3, 1, 2, 2, 1, 1],
            Kind::Plain => [1, 3, 1, 2, 0, 0, 0],
            Kind::Refused => [1, 0, 0, 0, 1, 0, 0],
            Kind::Nameless => [0, 3, 1, 2, 0, 0, 0],
            Kind::Taking => [0, 3, 1, 2, 0, 1, 0],
        }
    }

    /// And how much there is.
    async fn found(self, pool: &PgPool) -> [i64; 7] {
        let counts: Vec<i64> = sqlx::query_scalar(FOUND)
            .bind(self.id)
            .bind(self.opened())
            .bind(format!("{:?}", self.kind))
            .bind(2 * self.nth - 1)
            .bind(claim(&self.plate(self.nth), "", false).value_hash)
            .bind(claim(&self.plate(self.nth - 1), "", true).value_hash)
            .bind(self.kind == Kind::Full)
            .fetch_one(pool)
            .await
            .unwrap();
        counts.try_into().unwrap()
    }

    /// What stands against it: nothing, if it is there as a whole or not at all.
    async fn half(self, pool: &PgPool) -> Option<String> {
        let found = self.found(pool).await;
        let whole = found == [0; 7] || found == self.all();
        (!whole).then(|| format!("{found:?} of {:?}", self.all()))
    }
}

const FOUND: &str = "
    select array[
        (select count(*) from commands where command_id = $1),
        (select count(*) from events
         where coalesce(metadata ->> 'command_id', metadata ->> 'nameless') = $1::text),
        (select count(*) from streams where aggregate_id = $2),
        (select coalesce(max(version - $4), 0) from streams where aggregate_id = $3),
        (select count(*) from rejected_records where command_id = $1),
        (select count(*) from claims where value_hash = $5),
        case when $7 then 1 - (select count(*) from claims where value_hash = $6) else 0 end]";

const LAST: &str = "select max(position) from events where metadata ->> 'nameless' = $1::text";

/// Receipts and events that do not belong together.
const STRAYS: &str = "
    select count(*) from (select command_id::text as id, events from commands where events > 0) k
    full join (select metadata ->> 'command_id' as id, count(*) as events from events
               where metadata ->> 'nameless' is null group by 1) e using (id, events)
    where k.id is null or e.id is null";

fn steps(kind: Kind) -> Vec<Step> {
    let mut writes = Vec::new();
    if kind.is_remembered() {
        writes.push(("insert", "commands"));
    }
    if kind != Kind::Refused {
        writes.extend([
            ("update", "logs"),
            ("update", "streams"),
            ("insert", "streams"),
            ("insert", "events"),
        ]);
    }
    if matches!(kind, Kind::Full | Kind::Taking) {
        writes.push(("insert", "claims"));
    }
    if kind == Kind::Full {
        writes.push(("delete", "claims"));
    }
    if matches!(kind, Kind::Full | Kind::Refused) {
        writes.push(("insert", "rejected_records"));
    }
    let around = writes
        .into_iter()
        .flat_map(|(event, table)| Step::around(event, table, ""));
    let last = match kind.is_remembered() {
        true => "commands",
        false => "streams",
    };
    around
        .chain([Step::at_commit("insert", last, "")])
        .collect()
}

/// A log with traps in it, and what the wishes find at their beginning.
struct Scene {
    db: TestDb,
    trap: Trap,
    nth: [i64; 5],
}

impl Scene {
    async fn new() -> Scene {
        let db = TestDb::create().await;
        let store = store(db.options()).await;
        let streams = ["Full", "Plain", "relied", "Nameless", "Taking"];
        let mut first = named(Uuid::now_v7(), 0, streams.map(|id| write(id, 0, 1)).into());
        first.claims = vec![claim("Full 0", "holder", false)];
        store.append(&tenant(), first).await.unwrap();
        let mut all = steps(Kind::Full);
        all.extend(steps(Kind::Nameless).pop());
        let trap = Trap::plant(&db, &all).await;
        Scene {
            db,
            trap,
            nth: [0; 5],
        }
    }

    fn wish(&mut self, kind: Kind) -> Wish {
        let nth = &mut self.nth[kind as usize];
        *nth += 1;
        let (nth, id) = (*nth, Uuid::now_v7());
        Wish { kind, nth, id }
    }

    /// Whatever the first attempt came to: all or nothing is there, and from now on everyone is told the
    /// same, by a process that remembers nothing.
    async fn holds(&self, what: &str, wish: Wish, first: Option<Appended>, anew: &Store) {
        let pool = self.db.pool();
        assert_eq!(wish.half(pool).await, None, "{what}: half of it");
        let there = wish.found(pool).await == wish.all();
        if first.is_some() {
            assert!(there, "{what}: acknowledged and not there");
        }
        if !wish.kind.is_remembered() {
            self.holds_nameless(what, wish, first, there, anew).await;
            return;
        }
        let second = anew.append(&tenant(), wish.append()).await.unwrap();
        assert_eq!(second.replayed, there, "{what}");
        let third = anew.append(&tenant(), wish.append()).await.unwrap();
        assert!(third.replayed, "{what}");
        let told = |a: &Appended| (a.position, a.version, a.receipt.clone());
        assert_eq!(told(&second), told(&third), "{what}");
        if let Some(first) = first {
            // Without an event of its own an attempt cannot be told from an earlier one.
            let told_apart = wish.kind != Kind::Refused;
            assert!(
                !(first.replayed && told_apart),
                "{what}: a replay of itself"
            );
            assert_eq!(told(&first), told(&third), "{what}");
        }
        self.is_there_once(what, wish).await;
    }

    /// Nobody is told of an earlier attempt; what was told of the attempt itself is so, and whoever comes
    /// after it finds that others were faster.
    async fn holds_nameless(
        &self,
        what: &str,
        wish: Wish,
        first: Option<Appended>,
        there: bool,
        anew: &Store,
    ) {
        if let Some(first) = first {
            let last: i64 = sqlx::query_scalar(LAST)
                .bind(wish.id)
                .fetch_one(self.db.pool())
                .await
                .unwrap();
            // It wrote to two streams: of no one version.
            assert_eq!(first.position.0, last, "{what}");
            assert_eq!((first.version, first.replayed), (0, false), "{what}");
            assert_eq!(first.receipt, wish.append().receipt, "{what}");
        }
        let second = anew.append(&tenant(), wish.append()).await;
        assert_eq!(second.is_ok(), !there, "{what}: {second:?}");
        let third = anew.append(&tenant(), wish.append()).await;
        let third = third.unwrap_err();
        assert!(
            matches!(third, AppendError::Conflict { .. }),
            "{what}: {third}"
        );
        self.is_there_once(what, wish).await;
    }

    async fn is_there_once(&self, what: &str, wish: Wish) {
        let pool = self.db.pool();
        assert_eq!(wish.found(pool).await, wish.all(), "{what}: not once");
        assert_eq!(flaws(pool).await, [""; 0], "{what}");
        let strays: i64 = sqlx::query_scalar(STRAYS).fetch_one(pool).await.unwrap();
        assert_eq!(strays, 0, "{what}: receipts and events differ");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_or_disconnected_append_is_there_as_a_whole_or_not_at_all() {
    let mut scene = Scene::new().await;
    let store = store(scene.db.options()).await;
    let mut faults = 0;
    for kind in KINDS {
        for step in steps(kind) {
            for action in [Action::Refuse, Action::Disconnect] {
                let what = format!("{kind:?}: {action:?} {}", step.name);
                let wish = scene.wish(kind);
                scene.trap.arm(&step, action).await;
                let first = store.append(&tenant(), wish.append()).await;
                assert!(scene.trap.is_sprung().await, "{what}: nobody came by");
                // A refusal is told; a lost connection is made up for.
                assert_eq!(
                    first.is_err(),
                    action == Action::Refuse,
                    "{what}: {first:?}"
                );
                if first.is_err() {
                    let found = wish.found(scene.db.pool()).await;
                    assert_eq!(found, [0; 7], "{what}: refused and there");
                }
                scene.holds(&what, wish, first.ok(), &store).await;
                faults += 1;
            }
        }
    }
    let proxy = Proxy::start(&scene.db.options());
    let disturbed = super::scene::store(proxy.options()).await;
    for kind in KINDS {
        for fault in [Fault::CutBefore, Fault::CutDuring, Fault::SwallowReply] {
            let wish = scene.wish(kind);
            proxy.arm(&[fault]);
            let first = disturbed.append(&tenant(), wish.append()).await.unwrap();
            assert!(proxy.is_spent());
            let what = format!("{kind:?}: {fault:?}");
            scene.holds(&what, wish, Some(first), &store).await;
            faults += 1;
        }
    }
    eprintln!("append, refused or disconnected: faults {faults}/{faults}, 0 halves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_process_is_killed_is_there_as_a_whole_or_not_at_all() {
    let mut scene = Scene::new().await;
    let anew = store(scene.db.options()).await;
    let mut faults = 0;
    for kind in KINDS {
        for step in steps(kind) {
            let what = format!("{kind:?}: killed {}", step.name);
            let wish = scene.wish(kind);
            scene.trap.arm(&step, Action::Hold).await;
            let child = wish.send(&scene.db.url());
            let backend = scene.trap.holds().await;
            let seen = wish.found(scene.db.pool()).await;
            assert_eq!(seen, [0; 7], "{what}: seen before its commit");
            child.kill9();
            scene.trap.let_go(backend).await;
            scene.holds(&what, wish, None, &anew).await;
            faults += 1;
        }
        // Kept, and killed before it heard of it.
        let proxy = Proxy::start(&scene.db.options());
        let wish = scene.wish(kind);
        proxy.arm(&[Fault::Silence]);
        let child = wish.send(&url_of(&proxy.options()));
        let pool = scene.db.pool();
        eventually("it is kept", async || wish.found(pool).await == wish.all()).await;
        child.kill9();
        let what = format!("{kind:?}: killed after the commit");
        scene.holds(&what, wish, None, &anew).await;
        faults += 1;
    }
    eprintln!("append, process killed: faults {faults}/{faults}, 0 halves");
}

impl Wish {
    /// Has a process of its own ask for it.
    fn send(self, url: &str) -> Child {
        let wish = format!("{} {} {}", self.kind as usize, self.nth, self.id);
        let told = [(LOG, url.as_ref()), (WISH, wish.as_ref())];
        Child::start("log::faults::asks_once", &told)
    }
}

/// No test by itself: what a child runs.
#[tokio::test]
async fn asks_once() {
    let Ok(wish) = std::env::var(WISH) else {
        return;
    };
    let url = std::env::var(LOG).unwrap();
    let mut words = wish.split(' ');
    let mut next = || words.next().unwrap();
    let wish = Wish {
        kind: KINDS[next().parse::<usize>().unwrap()],
        nth: next().parse().unwrap(),
        id: next().parse().unwrap(),
    };
    // The proxy knows nothing of encryption.
    let options: PgConnectOptions = url.parse().unwrap();
    let store = store(options.ssl_mode(PgSslMode::Disable)).await;
    let tenant = tenant();
    tokio::select! {
        () = Child::abandoned() => {}
        _ = store.append(&tenant, wish.append()) => {}
    }
}

/// The negative control: the same writes one by one, each a transaction of its own. A fault before any
/// but the first leaves a half, and the check sees it.
#[tokio::test]
async fn an_append_in_pieces_is_caught_at_every_seam() {
    let mut scene = Scene::new().await;
    let (mut caught, seams) = (0, PIECES.len() - 1);
    for (at, ((event, table), _)) in PIECES.iter().enumerate().skip(1) {
        let pool = scene.db.pool().clone();
        let wish = scene.wish(Kind::Full);
        let [before, _] = Step::around(event, table, "");
        scene.trap.arm(&before, Action::Refuse).await;
        let pieces = PIECES.iter().map(|(_, piece)| wish.piece(piece));
        let mut refused = None;
        for (nth, piece) in pieces.clone().enumerate() {
            if pool.execute(&*piece).await.is_err() {
                refused = Some(nth);
                break;
            }
        }
        assert_eq!(refused, Some(at), "{table}");
        caught += usize::from(wish.half(&pool).await.is_some());
        // The rest, so that the next one finds what it expects.
        scene.trap.disarm().await;
        for piece in pieces.skip(at) {
            pool.execute(&*piece).await.unwrap();
        }
        assert_eq!(wish.half(&pool).await, None, "whole in the end");
    }
    eprintln!("append: mutants caught {caught}/{seams}");
    assert_eq!(caught, seams);
}

impl Wish {
    fn piece(self, sql: &str) -> Arc<str> {
        let hash = |nth| {
            let hash = claim(&self.plate(nth), "", false).value_hash;
            hash.map(|byte| format!("{byte:02x}")).concat()
        };
        sql.replace("$id", &format!("'{}'", self.id))
            .replace("$opened", &format!("'{}'", self.opened()))
            .replace("$taken", &format!("'\\x{}'", hash(self.nth)))
            .replace("$given", &format!("'\\x{}'", hash(self.nth - 1)))
            .into()
    }
}

/// What a full append writes, piece by piece, in the order of its locks.
const PIECES: [((&str, &str), &str); 8] = [
    (
        ("insert", "commands"),
        "insert into commands values ('default', $id, '\\x00', 'vehicle', 'Full', 1, 3, 0)",
    ),
    (
        ("insert", "claims"),
        "insert into claims values ('default', 'vehicle.plate', $taken, 'holder')",
    ),
    (
        ("delete", "claims"),
        "delete from claims where value_hash = $given",
    ),
    (
        ("insert", "rejected_records"),
        "insert into rejected_records select 'default', gen_random_uuid(), now(), 'test', $id, 'X', '{}', '{}'
         from generate_series(1, 2)",
    ),
    (
        ("update", "logs"),
        "update logs set position = position + 3",
    ),
    (
        ("update", "streams"),
        "update streams set version = version + 2, last_position = (select position from logs where tenant = 'default') - 1
         where aggregate_id = 'Full'",
    ),
    (
        ("insert", "streams"),
        "insert into streams select 'default', 'vehicle', $opened, 1, position, position from logs
             where tenant = 'default'",
    ),
    (
        ("insert", "events"),
        "insert into events select 'default', l.position - 2 + n, 'vehicle',
             case n when 2 then $opened else 'Full' end,
             case n when 2 then 1 else s.version - 1 + n end, 'vehicle.retired', '1',
             gen_random_uuid(), clock_timestamp(), '{}', json_build_object('command_id', $id)
         from logs l, streams s, generate_series(0, 2) n
         where l.tenant = 'default' and s.aggregate_id = 'Full'",
    ),
];
