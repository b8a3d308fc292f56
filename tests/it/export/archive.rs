//! The archive: events go to files and leave the log, are replayed from there, and come back.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

use daybook::commands::{CommandContext, CommandError, Door, DoorSettings};
use daybook::export::{ExportError, Unarchived, archive, archive_files, restore};
use daybook::seals::{Verified, Verify, What, verify};
use daybook::store::{PageLimits, StoreError, read_stored, scan};
use domain::tenant::{Tenant, TenantCommand};
use domain::{Actor, ActorKind, Position};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{Log, Raw, holds};
use crate::support::{command, eventually};

/// Archives everything before a position.
async fn archived(log: &Log, before: i64) -> Result<Vec<(String, i64, i64)>, ExportError> {
    let mut ranges = Vec::new();
    let told = |done: &daybook::store::Archived| {
        ranges.push((done.tenant.clone(), done.from_position, done.to_position));
    };
    let dir = log.dir.path().join("archive");
    archive(&log.store, (before, &dir), "test", told).await?;
    Ok(ranges)
}

async fn verified(log: &Log) -> Verified {
    let what = Verify {
        tenant: "default".into(),
        positions: 1..=i64::MAX,
        workers: 2,
        trusted: None,
        noted: Vec::new(),
    };
    verify(&log.store, &what, |_| ()).await.unwrap()
}

fn range(tenant: &str, from: i64, to: i64) -> (String, i64, i64) {
    (tenant.to_owned(), from, to)
}

#[tokio::test]
async fn events_go_to_files_and_come_back_as_they_were() {
    let log = Log::sealed(200).await;
    let before = log.stored(1, 200).await;
    assert_eq!(
        archived(&log, 150).await.unwrap(),
        [range("default", 1, 63), range("default", 64, 127)]
    );
    assert_eq!(log.stored(1, 200).await, before[127..]);
    let dir = log.dir.path().join("archive");
    for name in ["default-1-63", "default-64-127"] {
        let data = dir.join(format!("{name}.parquet"));
        assert!(holds(&data, &data.with_extension("proof")).await, "{name}");
    }
    // What is archived is neither gone nor there.
    let found = verified(&log).await;
    assert_eq!(
        (found.difference, found.archived, found.events),
        (None, 127, 73)
    );
    let tenant = "default".into();
    let read = log
        .store
        .read_log(&tenant, Position(0), PageLimits::default());
    assert!(matches!(
        read.await,
        Err(StoreError::Archived {
            missing: Position(1),
            first: Some(Position(128))
        })
    ));
    assert_eq!(archived(&log, 150).await.unwrap(), []);
    // The log goes on, and so does one that begins only now.
    log.append("default", 200..210).await;
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    assert_eq!(log.stored(1, 200).await, before);
    let found = verified(&log).await;
    assert_eq!(
        (found.difference, found.archived, found.events),
        (None, 0, 200)
    );
    let again = restore(&log.store, "default", &dir, "test", |_| ()).await;
    assert!(matches!(
        again,
        Err(ExportError::Unarchived(Unarchived::Nothing(..)))
    ));
    // And away again.
    log.seal("default").await;
    assert_eq!(archived(&log, 64).await.unwrap(), [range("default", 1, 63)]);
    assert_eq!(log.stored(1, 200).await, before[63..]);
}

#[tokio::test]
async fn logs_that_are_still_within_a_partition_stay_in_it() {
    let log = Log::sealed(130).await;
    for tenant in ["behind", "past", "new"] {
        let open = "insert into logs (tenant) values ($1)";
        sqlx::query(open)
            .bind(tenant)
            .execute(log.db.pool())
            .await
            .unwrap();
    }
    log.append("behind", 0..20).await;
    log.append("past", 0..63).await;
    let refused = archived(&log, 64).await;
    assert!(
        matches!(&refused, Err(ExportError::Unarchived(Unarchived::Unsealed { tenant, sealed: 0, end: 63 })) if tenant == "past"),
        "{refused:?}"
    );
    log.seal("past").await;
    assert_eq!(
        archived(&log, 64).await.unwrap(),
        [range("default", 1, 63), range("past", 1, 63)]
    );
    let count = |tenant: &'static str| {
        let pool = log.db.pool().clone();
        async move {
            let count = "select count(*) from events where tenant = $1";
            let count = sqlx::query_scalar::<_, i64>(count).bind(tenant);
            count.fetch_one(&pool).await.unwrap()
        }
    };
    assert_eq!((count("behind").await, count("past").await), (20, 0));
    log.append("behind", 20..100).await;
    log.append("new", 0..5).await;
    assert_eq!((count("behind").await, count("new").await), (100, 5));
    log.seal("behind").await;
    assert_eq!(archived(&log, 64).await.unwrap(), [range("behind", 1, 63)]);
    assert_eq!((count("behind").await, count("new").await), (37, 5));
    // Nobody may rewrite what stayed either.
    let rewrite = "delete from events where tenant = 'new'";
    assert!(log.db.pool().execute(rewrite).await.is_err());
    let truncate = "truncate events_p0";
    assert!(log.db.pool().execute(truncate).await.is_err());
}

#[tokio::test]
async fn a_read_model_that_needs_events_keeps_them() {
    let log = Log::sealed(130).await;
    let behind =
        "insert into generations (tenant, projection, generation, version, tables, state, position)
                  values ('default', 'vehicles', 1, 1, '{}', 'live', 62)";
    log.db.pool().execute(behind).await.unwrap();
    let refused = archived(&log, 64).await;
    assert!(
        matches!(
            &refused,
            Err(ExportError::Unarchived(Unarchived::Needed {
                position: 62,
                end: 63,
                ..
            }))
        ),
        "{refused:?}"
    );
    log.db
        .pool()
        .execute("update generations set position = 63")
        .await
        .unwrap();
    assert_eq!(archived(&log, 64).await.unwrap(), [range("default", 1, 63)]);
}

#[tokio::test]
async fn a_file_that_was_touched_is_not_put_back() {
    let log = Log::sealed(130).await;
    archived(&log, 64).await.unwrap();
    let dir = log.dir.path().join("archive");
    let stranger = Log::sealed(130).await;
    archived(&stranger, 64).await.unwrap();
    let theirs = stranger.dir.path().join("archive");
    let (data, proof) = ("default-1-63.parquet", "default-1-63.proof");
    let whole = std::fs::read(dir.join(data)).unwrap();
    // Another log's events, under another key: as good as ours, for whoever asks no key.
    let refused = restore(&log.store, "default", &theirs, "test", |_| ()).await;
    assert!(
        matches!(
            refused,
            Err(ExportError::Unarchived(Unarchived::Differs { .. }))
        ),
        "{refused:?}"
    );
    std::fs::copy(theirs.join(data), dir.join(data)).unwrap();
    let refused = restore(&log.store, "default", &dir, "test", |_| ()).await;
    assert!(
        matches!(
            refused,
            Err(ExportError::Unarchived(Unarchived::Differs { .. }))
        ),
        "{refused:?}"
    );
    std::fs::write(dir.join(data), &whole[..whole.len() / 2]).unwrap();
    assert!(
        restore(&log.store, "default", &dir, "test", |_| ())
            .await
            .is_err()
    );
    assert_eq!(log.stored(1, 63).await, [] as [Raw; 0]);
    let done = log.run(&["replay", "--archive", "archive"]);
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    std::fs::write(dir.join(data), &whole).unwrap();
    assert_eq!(archive_files(&dir, "default").unwrap().len(), 1);
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    assert_eq!(log.stored(1, 63).await.len(), 63);
    assert!(dir.join(proof).exists());
}

#[tokio::test]
async fn an_event_that_is_gone_without_being_archived_is_still_found() {
    let log = Log::sealed(130).await;
    archived(&log, 64).await.unwrap();
    log.as_owner("delete from events where position = 100")
        .await;
    let found = verified(&log).await.difference.unwrap();
    assert_eq!((found.position, found.what), (100, What::Gone));
    // And one that is there, though it is recorded as archived, is held against its seal.
    let dir = log.dir.path().join("archive");
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    log.as_owner("update archives set restored_at = null; update events set payload = '{}' where position = 9")
        .await;
    let found = verified(&log).await.difference.unwrap();
    assert_eq!((found.position, found.what), (9, What::Changed));
}

#[tokio::test]
async fn an_archive_is_replayed_and_then_the_log() {
    let log = Log::sealed(150).await;
    let positions = |args: &[&str]| {
        let out = log.run_well(&[&["replay"], args].concat());
        let lines = out
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|event| event["position"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let all = log.run_well(&["replay"]);
    let said = log.run_well(&[
        "archive", "--before", "130", "--out", "archive", "--by", "ann",
    ]);
    assert!(
        said.contains("default: positions 64 to 127 (64 events) are in default-64-127.parquet"),
        "{said}"
    );
    assert_eq!(log.run(&["replay"]).status.code(), Some(1));
    let from = &["--archive", "archive"][..];
    assert_eq!(log.run_well(&[&["replay"], from].concat()), all);
    let with = |args: &[&str]| positions(&[from, args].concat());
    assert_eq!(
        with(&["--after", "60", "--up-to", "66"]),
        (61..=66).collect::<Vec<_>>()
    );
    assert_eq!(with(&["--aggregate", "fleet/f7"]), [8]);
    assert_eq!(with(&["--until", "2000-01-01T00:00:00Z"]), [0; 0]);
    assert_eq!(with(&["--since", "2000-01-01T00:00:00Z"]).len(), 150);
    let marked = |up_to| with(&["--bookmark", "mark", "--up-to", up_to]);
    assert_eq!(marked("70"), (1..=70).collect::<Vec<_>>());
    assert_eq!(marked("140"), (71..=140).collect::<Vec<_>>());
    let said = log.run_well(&["verify"]);
    assert!(
        said.contains("127 events are archived")
            && said.contains("23 events are as they were sealed"),
        "{said}"
    );
    let by: Vec<String> = sqlx::query_scalar("select archived_by from archives")
        .fetch_all(log.db.pool())
        .await
        .unwrap();
    assert_eq!(by, ["ann", "ann"]);
}

#[tokio::test]
async fn a_read_model_is_rebuilt_once_its_events_are_back() {
    let log = Log::sealed(130).await;
    archived(&log, 64).await.unwrap();
    let rebuild = ["rebuild", "vehicles"];
    let refused = log.run(&rebuild);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("does not hold position 1 any more"), "{said}");
    log.run_well(&["archive", "restore", "archive"]);
    log.run_well(&rebuild);
    let export = [
        "export",
        "projection",
        "vehicles",
        "--table",
        "fleets",
        "--out",
        "-",
    ];
    assert_eq!(log.run_well(&export).lines().count(), 130);
}

/// Waits until somebody waits for a lock of this database.
async fn somebody_waits(log: &Log) {
    let waiting = "select exists (select from pg_locks l where not granted
                                  and l.database = (select oid from pg_database where datname = current_database()))";
    eventually("somebody waits for a lock", async || {
        let waits: bool = sqlx::query_scalar(waiting)
            .fetch_one(log.db.pool())
            .await
            .unwrap();
        waits
    })
    .await;
}

async fn owner(log: &Log, begin: &str) -> PgConnection {
    let mut conn = PgConnection::connect_with(&log.db.options()).await.unwrap();
    conn.execute(begin).await.unwrap();
    conn
}

/// Rows that stay are moved while a scan waits: it sees them where they are by then.
#[tokio::test]
async fn a_scan_that_waits_for_an_exchange_of_partitions_reads_every_event() {
    let log = Log::sealed(50).await;
    let mut exchange = owner(
        &log,
        "begin; lock table events in access exclusive mode;
         create table events_p0_next (like events including all);
         insert into events_p0_next select * from events_p0;
         alter table events detach partition events_p0; drop table events_p0;
         alter table events_p0_next rename to events_p0;
         alter table events attach partition events_p0 for values from (0) to (64)",
    )
    .await;
    // One that has waited for too long leaves the connection as it was.
    let mut conn = owner(&log, "set lock_timeout = '20ms'").await;
    let (send, _chunks) = tokio::sync::mpsc::channel(8);
    let late = scan(&mut conn, "default", None, 1..=50, &send, |chunk| chunk).await;
    assert!(late.is_err());
    conn.execute("vacuum archives").await.unwrap();
    conn.execute("set lock_timeout = 0").await.unwrap();
    let reading = tokio::spawn(async move {
        let (send, mut chunks) = tokio::sync::mpsc::channel(8);
        let read = scan(&mut conn, "default", None, 1..=50, &send, |chunk| chunk);
        read.await.unwrap();
        drop(send);
        let mut rows = 0;
        while let Some(chunk) = chunks.recv().await {
            read_stored(&chunk, |_| {
                rows += 1;
                Ok::<_, ()>(())
            })
            .unwrap();
        }
        // It is in no transaction any more.
        conn.execute("vacuum archives").await.unwrap();
        rows
    });
    somebody_waits(&log).await;
    exchange.execute("commit").await.unwrap();
    assert_eq!(reading.await.unwrap(), 50);
}

/// What was decided about somebody stays decided, whatever became of the events that say so.
#[tokio::test]
async fn a_tenant_that_an_archived_event_suspended_is_not_taken_for_active() {
    let log = Log::open().await;
    let door = || Door::new(log.store.clone(), DoorSettings::default());
    let actor = Actor {
        kind: ActorKind::User,
        id: "ann".into(),
    };
    let now = chrono::DateTime::from_timestamp(1_767_571_200, 0).unwrap();
    let ctx = || CommandContext::new("default".into(), actor.clone(), now);
    let (name, reason) = ("South".to_owned(), None);
    for command in [
        TenantCommand::Create { name },
        TenantCommand::Suspend { reason },
    ] {
        let done = door().execute::<Tenant>(&ctx(), "south", command).await;
        done.unwrap();
    }
    log.append("default", 0..130).await;
    log.seal("default").await;
    assert_eq!(archived(&log, 64).await.unwrap(), [range("default", 1, 63)]);
    let tenant = "default".into();
    let is_archived = |told: Result<(), CommandError>| {
        matches!(
            told,
            Err(CommandError::Fault(StoreError::Archived {
                missing: Position(1),
                first: Some(Position(64))
            }))
        )
    };
    let loaded = door().load_now::<Tenant>(&tenant, "south").await;
    assert!(is_archived(loaded.map(drop)));
    let resumed = door()
        .execute::<Tenant>(&ctx(), "south", TenantCommand::Resume)
        .await;
    assert!(is_archived(resumed.map(drop)));
    let dir = log.dir.path().join("archive");
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    let loaded = door().load_now::<Tenant>(&tenant, "south").await;
    assert!(loaded.unwrap().suspended);
}

/// Names tell no database from another: what lies there may be the only copy of somebody's events.
#[tokio::test]
async fn files_of_another_database_are_left_as_they_are() {
    let log = Log::sealed(130).await;
    archived(&log, 64).await.unwrap();
    let dir = log.dir.path().join("archive");
    let [data, proof] = ["default-1-63.parquet", "default-1-63.proof"].map(|name| dir.join(name));
    let both = || [&data, &proof].map(|path| std::fs::read(path).unwrap());
    let before = both();
    let stranger = Log::sealed(130).await;
    let into = |log: &Log| {
        let (store, dir) = (log.store.clone(), dir.clone());
        async move { archive(&store, (64, &dir), "test", |_| ()).await }
    };
    let refused_for = |told: &Result<(), ExportError>, path: &Path| matches!(told, Err(ExportError::Unarchived(Unarchived::Foreign(file))) if *file == path);
    let refused = into(&stranger).await;
    assert!(refused_for(&refused, &proof), "{refused:?}");
    // Without its proof it may still be somebody's.
    std::fs::remove_file(&proof).unwrap();
    let refused = into(&stranger).await;
    assert!(refused_for(&refused, &data), "{refused:?}");
    std::fs::write(&proof, &before[1]).unwrap();
    assert_eq!(both(), before);
    let count = "select count(*) from events where position < 64";
    let kept: i64 = sqlx::query_scalar(count)
        .fetch_one(stranger.db.pool())
        .await
        .unwrap();
    assert_eq!(kept, 63);
    // One's own are replaced, whole or as a killed one has left them.
    for left in [&[][..], &[&proof], &[&data]] {
        restore(&log.store, "default", &dir, "test", |_| ())
            .await
            .unwrap();
        left.iter()
            .for_each(|path| std::fs::remove_file(path).unwrap());
        into(&log).await.unwrap();
        assert!(holds(&data, &proof).await);
    }
    // A folder is written by one at a time.
    let lock = std::fs::File::open(dir.join(".archive.lock")).unwrap();
    lock.lock().unwrap();
    let refused = into(&stranger).await;
    assert!(
        matches!(
            refused,
            Err(ExportError::Unarchived(Unarchived::FolderBusy(_)))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_archive_is_at_work_at_a_time_and_records_a_range_once() {
    let log = Log::sealed(130).await;
    let turn = log.store.archive_turn().await.unwrap().unwrap();
    let refused = archived(&log, 64).await;
    assert!(
        matches!(refused, Err(ExportError::Unarchived(Unarchived::Busy))),
        "{refused:?}"
    );
    let dir = log.dir.path().join("archive");
    drop(turn);
    let partition = log.store.old_partitions(64).await.unwrap().remove(0);
    archived(&log, 64).await.unwrap();
    let refused = {
        let _turn = log.store.archive_turn().await.unwrap().unwrap();
        restore(&log.store, "default", &dir, "test", |_| ()).await
    };
    assert!(matches!(
        refused,
        Err(ExportError::Unarchived(Unarchived::Busy))
    ));
    // One whose turn was cut off comes late: there is nothing to take away.
    let files = log.store.archived("default").await.unwrap();
    let taken = log.store.take_away(&partition, &files, "late").await;
    assert!(!taken.unwrap());
    assert_eq!(log.store.archived("default").await.unwrap(), files);
    // Nor is what is not in the files taken.
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    log.as_owner("delete from events where position = 9").await;
    let taken = log.store.take_away(&partition, &files, "late").await;
    assert!(!taken.unwrap());
    assert_eq!(log.stored(1, 63).await.len(), 62);
}

/// A vacuum that takes long holds up whoever archives, and nobody else.
#[tokio::test]
async fn nobody_waits_behind_an_archive_that_waits_for_a_vacuum() {
    let log = Log::sealed(150).await;
    // What a vacuum of the partition holds, and one of the newest that has nothing to do with it.
    let lock = |part| format!("begin; lock table {part} in share update exclusive mode");
    let mut vacuum = owner(&log, &lock("events_p0")).await;
    let _other = owner(&log, &lock("events_p128")).await;
    let store = log.store.clone();
    let dir = log.dir.path().join("archive");
    let archiving = tokio::spawn(async move { archive(&store, (64, &dir), "test", |_| ()).await });
    somebody_waits(&log).await;
    let exclusive = "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock'
                     and relation = 'events'::regclass";
    let held: i64 = sqlx::query_scalar(exclusive)
        .fetch_one(log.db.pool())
        .await
        .unwrap();
    assert_eq!(held, 0);
    log.append("default", 150..160).await;
    assert!(!archiving.is_finished());
    vacuum.execute("rollback").await.unwrap();
    archiving.await.unwrap().unwrap();
    assert_eq!(log.stored(1, 160).await.len(), 160 - 63);
}

/// Events that leave the log while it is verified are archived, not gone.
#[tokio::test]
async fn a_log_is_verified_while_part_of_it_goes_to_the_archive() {
    let log = Log::sealed(130).await;
    let mut archiving = owner(
        &log,
        "set session_replication_role = replica;
         begin; lock table events in access exclusive mode;
         delete from events where position < 64;
         insert into archives (tenant, from_position, to_position, archived_by, file, sha256,
                               proof_file, proof_sha256, seal_size)
         values ('default', 1, 63, 'test', 'f', '', 'p', '', 130)",
    )
    .await;
    let store = log.store.clone();
    let verifying = tokio::spawn(async move {
        let what = Verify {
            tenant: "default".into(),
            positions: 1..=i64::MAX,
            workers: 1,
            trusted: None,
            noted: Vec::new(),
        };
        verify(&store, &what, |_| ()).await.unwrap()
    });
    somebody_waits(&log).await;
    archiving.execute("commit").await.unwrap();
    let found = verifying.await.unwrap();
    assert_eq!(
        (found.difference, found.archived, found.events),
        (None, 63, 67)
    );
}

/// The program, archiving, until it is killed.
fn archiving(log: &Log) -> Child {
    let url = log.db.url();
    let named = [
        ("DATABASE_URL", url.as_str()),
        ("DAYBOOK_DATABASE__ALLOW_UNSAFE_DURABILITY", "true"),
    ];
    let args = ["archive", "--before", "130", "--out", "archive"];
    let mut command = command(log.dir.path(), &args, &named);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir).into_iter().flatten();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn killed_at_any_step_it_loses_nothing_and_goes_on() {
    let log = Log::sealed(150).await;
    let before = log.stored(1, 150).await;
    let dir = log.dir.path().join("archive");
    // A step at which somebody else's lock holds it up, and what lies in the folder by then.
    let both = ["default-1-63.parquet", "default-1-63.proof"].map(str::to_owned);
    for (lock, written) in [
        ("lock table seals in access exclusive mode", BTreeSet::new()),
        (
            "lock table events in access share mode",
            BTreeSet::from(both),
        ),
        ("lock table archives in share mode", BTreeSet::new()),
    ] {
        let mut other = PgConnection::connect_with(&log.db.options()).await.unwrap();
        other.execute("begin").await.unwrap();
        other.execute(lock).await.unwrap();
        let mut child = archiving(&log);
        eventually("it waits for the lock", async || {
            let waiting = "select exists (select from pg_locks l where not granted
                                          and l.database = (select oid from pg_database where datname = current_database()))";
            let waits: bool = sqlx::query_scalar(waiting).fetch_one(log.db.pool()).await.unwrap();
            waits && written.is_subset(&files(&dir))
        })
        .await;
        child.kill().unwrap();
        child.wait().unwrap();
        other.execute("rollback").await.unwrap();
        eventually("what it began is undone", async || {
            log.stored(1, 150).await == before
        })
        .await;
        assert_eq!(verified(&log).await.difference, None, "{lock}");
    }
    // And at moments that nobody chose: each event is in the log, or in a file that proves it.
    for wait in [20, 60, 120, 200, 300] {
        let mut child = archiving(&log);
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let found = verified(&log).await;
        assert_eq!(
            (found.difference, found.archived + found.events),
            (None, 150)
        );
        for archived in log.store.archived("default").await.unwrap() {
            assert!(holds(&dir.join(archived.file), &dir.join(archived.proof_file)).await);
        }
    }
    assert_eq!(archiving(&log).wait().unwrap().code(), Some(0));
    restore(&log.store, "default", &dir, "test", |_| ())
        .await
        .unwrap();
    assert_eq!(log.stored(1, 150).await, before);
}
