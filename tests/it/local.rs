//! The private PostgreSQL: started, shared, killed, and refused with good advice.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use daybook::store::local::{self, Durability, LocalError, LocalPostgres, LocalSettings};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::support::{
    OwnCluster, Scratch, StopMode, TestDb, TestRedis, daybook, eventually, is_unlocked,
};

/// A user without rights that every system has.
const NOBODY: (u32, u32) = (65534, 65534);

/// A uid no system gives out by itself.
const NAMELESS: (u32, u32) = (54_321, 54_321);

#[tokio::test]
async fn a_cold_start_is_durable_private_and_kept_for_the_next_one() {
    let dir = Scratch::new();
    let settings = LocalSettings {
        durability: Durability::Full,
        ..settings(&dir)
    };

    let postgres = start(&settings).await;
    let options = postgres.options();
    for (setting, expected) in [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(
            ask(&options, &format!("show {setting}")).await,
            expected,
            "{setting}"
        );
    }
    for place in [
        postgres.socket_dir().to_owned(),
        postgres.server_dir().join("pg"),
    ] {
        let mode = std::fs::metadata(&place).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", place.display());
    }
    keep_a_word(&options).await;
    let lock = postgres.server_dir().join("server.lock");
    postgres.stop().await;
    assert!(is_unlocked(&lock), "no process of the server is left");

    let postgres = start(&settings).await;
    assert_eq!(postgres.options().get_socket(), options.get_socket());
    assert_eq!(ask(&options, "select word from kept").await, "still here");
    postgres.stop().await;
}

#[tokio::test]
async fn two_starts_at_once_share_one_server() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    let (one, other) = tokio::join!(start(&settings), start(&settings));
    assert_eq!(one.server_pid(), other.server_pid());
    let adopted = |it: &LocalPostgres| it.notes().iter().any(|note| note.contains("Sharing"));
    assert_ne!(
        adopted(&one),
        adopted(&other),
        "one owns it, the other does not"
    );
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_guest_leaves_the_server_running_and_inherits_it() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    let host = Holder::start(&settings.data_dir);

    let guest = start(&settings).await;
    assert_eq!(guest.server_pid(), Some(host.server_pid));
    guest.stop().await;
    let guest = start(&settings).await;
    assert_eq!(ask(&guest.options(), "select 'alive'").await, "alive");

    let before = host.server_pid;
    host.end();
    eventually("the guest has started the server again", async || {
        guest.server_pid().is_some_and(|pid| pid != before) && answers(&guest.options()).await
    })
    .await;
    guest.stop().await;
}

#[tokio::test]
async fn a_killed_server_comes_back_with_all_that_was_acknowledged() {
    let dir = Scratch::new();
    let postgres = start(&LocalSettings {
        durability: Durability::Full,
        ..settings(&dir)
    })
    .await;
    let options = postgres.options();
    keep_a_word(&options).await;

    for _ in 0..2 {
        let pid = postgres.server_pid().unwrap();
        kill(pid, Signal::KILL);
        eventually("another server runs", async || {
            postgres.server_pid().is_some_and(|now| now != pid) && answers(&options).await
        })
        .await;
        assert_eq!(ask(&options, "select word from kept").await, "still here");
    }
    postgres.stop().await;
}

#[tokio::test]
async fn killing_the_program_leaves_no_server_behind() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    let mut holder = Holder::start(&settings.data_dir);
    let lock = settings.data_dir.join("server.lock");
    assert!(!is_unlocked(&lock));

    holder.program.kill().unwrap();
    holder.program.wait().unwrap();

    eventually("no process of the server is left", async || {
        is_unlocked(&lock)
    })
    .await;

    // A start that comes at once does not take over a server that is about to stop.
    let mut holder = Holder::start(&settings.data_dir);
    holder.program.kill().unwrap();
    holder.program.wait().unwrap();
    let postgres = start(&settings).await;
    assert_ne!(postgres.server_pid(), Some(holder.server_pid));
    assert_eq!(ask(&postgres.options(), "select 'in'").await, "in");
    postgres.stop().await;
}

#[tokio::test]
async fn killing_the_program_while_it_starts_leaves_no_server_behind() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    start(&settings).await.stop().await;
    let lock = settings.data_dir.join("server.lock");
    for delay_ms in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55] {
        // Scripts start background programs with these signals ignored, and children inherit it.
        let mut script = Command::new("sh");
        script.args(["-c", "trap '' INT QUIT; exec \"$@\"", "sh"]);
        script
            .arg(env!("CARGO_BIN_EXE_daybook"))
            .arg("hold-postgres");
        script.arg(&settings.data_dir).stdout(Stdio::null());
        let mut program = script.stdin(Stdio::piped()).spawn().unwrap();
        eventually("it has begun a server", async || {
            program.try_wait().unwrap().is_some()
                || has_child_with(program.id(), "listen_addresses=")
        })
        .await;
        tokio::time::sleep(std::time::Duration::from_millis(delay_ms)).await;
        program.kill().unwrap();
        program.wait().unwrap();
        eventually("no process of the server is left", async || {
            is_unlocked(&lock)
        })
        .await;
    }
    start(&settings).await.stop().await;
}

#[tokio::test]
async fn a_leftover_pid_file_does_not_stop_a_start() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    let postgres = start(&settings).await;
    let cluster = postgres.server_dir().join("pg");
    let owner = std::fs::metadata(&cluster).unwrap().uid();
    postgres.stop().await;

    // Both run as the server's user: the server itself would take their pids for its own kind.
    let mut sleeper = command_as(owner, "sleep").arg("600").spawn().unwrap();
    let mut zombie = command_as(owner, "true").spawn().unwrap();
    eventually("it is a zombie", async || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", zombie.id()));
        cfg!(not(target_os = "linux")) || stat.unwrap().contains(") Z")
    })
    .await;

    for pid in [sleeper.id(), zombie.id(), std::process::id(), 1] {
        let socket = cluster.parent().unwrap().join("run");
        let text = format!(
            "{pid}\n{}\n1700000000\n5432\n{}\n\n 1 1\nready   \n",
            cluster.display(),
            socket.display()
        );
        for leftover in [
            cluster.join("postmaster.pid"),
            socket.join(".s.PGSQL.5432.lock"),
        ] {
            std::fs::write(&leftover, &text).unwrap();
            std::os::unix::fs::chown(&leftover, Some(owner), None).unwrap();
        }
        let postgres = start(&settings).await;
        assert_ne!(postgres.server_pid(), Some(pid));
        postgres.stop().await;
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    zombie.wait().unwrap();
}

#[tokio::test]
async fn a_server_somebody_else_runs_on_the_data_is_left_alone() {
    let dir = Scratch::new();
    let settings = settings(&dir);
    let postgres = start(&settings).await;
    let cluster = postgres.server_dir().join("pg");
    let owner = std::fs::metadata(&cluster).unwrap().uid();
    let program = std::fs::read_to_string(cluster.join("postmaster.opts")).unwrap();
    let program = program.split(' ').next().unwrap().to_owned();
    postgres.stop().await;

    let mut foreign = command_as(owner, &program);
    foreign
        .arg("-D")
        .arg(&cluster)
        .args(["-c", "listen_addresses=", "-k"]);
    foreign.arg(dir.join("data/run")).stderr(Stdio::null());
    let mut foreign = foreign.spawn().unwrap();
    let pid_file = cluster.join("postmaster.pid");
    eventually("it runs", async || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready"))
    })
    .await;

    let refused = local::start(&settings).await.unwrap_err();
    assert!(matches!(refused, LocalError::Foreign { .. }), "{refused}");
    kill(foreign.id(), Signal::INT);
    foreign.wait().unwrap();
    start(&settings).await.stop().await;
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_no_obstacle() {
    let dir = Scratch::new();
    let long = dir
        .join("d".repeat(60))
        .join("e".repeat(60))
        .join("with 'quotes\", space");
    let postgres = start(&LocalSettings {
        data_dir: long.clone(),
        ..settings(&dir)
    })
    .await;
    assert_eq!(ask(&postgres.options(), "select 'in'").await, "in");
    assert!(!postgres.socket_dir().starts_with(&long));
    let said = postgres.notes().join("\n");
    assert!(said.contains("too long for a socket"), "{said}");
    let socket_dir = postgres.socket_dir().to_owned();
    postgres.stop().await;
    std::fs::remove_dir_all(socket_dir).unwrap();
}

#[test]
fn without_postgresql_the_program_says_what_to_do_and_exits_with_3() {
    let dir = Scratch::new();
    let empty = dir.join("no-programs-here");
    std::fs::create_dir(&empty).unwrap();
    let output = daybook()
        .arg("hold-postgres")
        .arg(dir.join("data"))
        .env("DAYBOOK_PG_BIN", &empty)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in [
        "No PostgreSQL 14 or newer",
        "no-programs-here",
        "Install it",
        "DATABASE_URL",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn an_ordinary_user_needs_no_rights() {
    if !is_root() {
        return; // then every other test here shows it
    }
    let dir = Scratch::new();
    let home = dir.join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NOBODY.0), Some(NOBODY.1)).unwrap();
    let program = readable_program(&dir);

    let holder = Holder::start_by(as_user(&program, NOBODY), &home.join("data"));
    let status = std::fs::metadata(home.join("data/pg")).unwrap();
    assert_eq!(status.uid(), NOBODY.0);
    holder.end();

    // Root then runs the server as the user whose data it is.
    let postgres = start(&LocalSettings::new(home.join("data"))).await;
    assert_eq!(ask(&postgres.options(), "select 'in'").await, "in");
    postgres.stop().await;
    // Another user is told whose it is.
    std::fs::set_permissions(home.join("data"), PermissionsExt::from_mode(0o711)).unwrap();
    let said = refusal(as_user(&program, NAMELESS), &home.join("data"));
    assert!(said.contains("belongs to uid 65534"), "{said}");
}

#[test]
fn a_uid_without_a_name_is_told_the_ways_out() {
    if !is_root() {
        return; // only root can become nobody known
    }
    let dir = Scratch::new();
    let home = dir.join("home");
    std::fs::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(NAMELESS.0), Some(NAMELESS.1)).unwrap();
    let said = refusal(
        as_user(&readable_program(&dir), NAMELESS),
        &home.join("data"),
    );
    for part in ["uid 54321", "passwd", "DATABASE_URL"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

#[tokio::test]
async fn roots_closed_directory_is_served_from_an_open_one() {
    if !is_root() {
        return; // an ordinary user's server runs as that user
    }
    let dir = Scratch::new();
    let closed = dir.join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
    let settings = LocalSettings {
        data_dir: closed.join("data"),
        ..settings(&dir)
    };

    let postgres = start(&settings).await;
    assert_eq!(postgres.data_dir(), closed.join("data"));
    let server_dir = postgres.server_dir().to_owned();
    assert!(
        server_dir.starts_with("/var/lib/daybook"),
        "{}",
        server_dir.display()
    );
    let said = postgres.notes().join("\n");
    assert!(said.contains("is closed to"), "{said}");
    postgres.stop().await;
    let postgres = start(&settings).await;
    assert_eq!(postgres.server_dir(), server_dir);
    postgres.stop().await;
    std::fs::remove_dir_all(server_dir).unwrap();
    let _ = std::fs::remove_dir("/var/lib/daybook"); // unless others are in it
}

#[tokio::test]
async fn the_test_cluster_goes_with_its_last_user_or_its_supervisor() {
    let dir = Scratch::new();
    let dir = dir.join("shared");
    std::fs::create_dir(&dir).unwrap();
    let share = std::fs::File::create(dir.join("users.lock")).unwrap();
    share.lock_shared().unwrap();

    let mut supervisor = daybook().arg("test-cluster").arg(&dir).spawn().unwrap();
    eventually("it is ready", async || dir.join("socket").exists()).await;
    let lock = dir
        .join(format!("cluster-{}", supervisor.id()))
        .join("server.lock");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    eventually("its server is gone", async || is_unlocked(&lock)).await;

    std::fs::remove_file(dir.join("socket")).unwrap();
    let mut supervisor = daybook().arg("test-cluster").arg(&dir).spawn().unwrap();
    eventually("the next one is ready", async || {
        dir.join("socket").exists()
    })
    .await;
    assert!(!lock.exists(), "what the killed one left is removed");
    share.unlock().unwrap();
    eventually("everything is removed", async || !dir.exists()).await;
    assert!(supervisor.wait().unwrap().success());
}

#[tokio::test]
async fn databases_of_tests_are_migrated_private_and_dropped() {
    let (one, other) = (TestDb::create().await, TestDb::create().await);
    let head = "select position::text from logs where tenant = 'default'";
    assert_eq!(ask(&other.options(), head).await, "0");
    let alter = "update logs set position = 7 where tenant = 'default' returning 'done'";
    assert_eq!(ask(&one.options(), alter).await, "done");
    assert_eq!(ask(&other.options(), head).await, "0");
    let by_url: PgConnectOptions = one.url().parse().unwrap();
    assert_eq!(ask(&by_url, head).await, "7");
    let pooled: String = sqlx::query_scalar(head)
        .fetch_one(one.pool())
        .await
        .unwrap();
    assert_eq!(pooled, "7");

    let name = one.options().get_database().unwrap().to_owned();
    drop(one);
    let left = format!("select count(*)::text from pg_database where datname = '{name}'");
    assert_eq!(ask(&other.options(), &left).await, "0");
}

#[tokio::test]
async fn a_tests_own_cluster_survives_what_is_done_to_it() {
    let mut cluster = OwnCluster::start().await;
    let options = cluster.options();
    assert_eq!(ask(&options, "show fsync").await, "on");
    keep_a_word(&options).await;

    cluster.kill9().await;
    assert!(!answers(&options).await);
    cluster.restart().await;
    cluster.stop(StopMode::Immediate).await;
    cluster.restart().await;
    cluster.restart().await;
    let by_url: PgConnectOptions = cluster.url().parse().unwrap();
    assert_eq!(ask(&by_url, "select word from kept").await, "still here");
}

#[tokio::test]
async fn a_tests_own_redis_answers() {
    use std::io::{Read as _, Write as _};
    let redis = TestRedis::start().await;
    let socket = redis.url().strip_prefix("unix://").unwrap().to_owned();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream.write_all(b"PING\r\n").unwrap();
    let mut pong = [0; 5];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG");
    drop(redis);
    assert!(!Path::new(&socket).exists());
}

/// Defaults that are quick: most of these tests are not about crashes of the machine.
fn settings(dir: &Scratch) -> LocalSettings {
    LocalSettings {
        pg_bin: std::env::var_os("DAYBOOK_PG_BIN").map(PathBuf::from),
        durability: Durability::None,
        ..LocalSettings::new(dir.join("data"))
    }
}

async fn start(settings: &LocalSettings) -> LocalPostgres {
    local::start(settings)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn ask(options: &PgConnectOptions, question: &str) -> String {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    let answer = sqlx::query_scalar(question)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    answer
}

/// Makes a table with one word in it.
async fn keep_a_word(options: &PgConnectOptions) {
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    connection
        .execute("create table kept as select 'still here' as word")
        .await
        .unwrap();
    connection.close().await.unwrap();
}

async fn answers(options: &PgConnectOptions) -> bool {
    PgConnection::connect_with(options).await.is_ok()
}

fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Does this process have a child with this in its command line? True where none can be seen.
fn has_child_with(parent: u32, argument: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return true;
    };
    let parent = format!(" {parent} ");
    processes.filter_map(Result::ok).any(|process| {
        let read = |file| std::fs::read_to_string(process.path().join(file)).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name
            .get(2..)
            .is_some_and(|rest| rest.starts_with(&parent))
            && read("cmdline").contains(argument)
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command run as the owner of something: `uid` is ours or we are root.
fn command_as(uid: u32, program: &str) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(uid);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn as_user(program: &Path, (uid, gid): (u32, u32)) -> Command {
    let mut command = Command::new(program);
    command.uid(uid).gid(gid).current_dir("/");
    command
}

/// The program where every user can run it.
fn readable_program(dir: &Scratch) -> PathBuf {
    let copy = dir.join("daybook");
    // By another process: a child that another test starts meanwhile would inherit our copy still open
    // for writing, and a file that anybody may write to is not executed (ETXTBSY).
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_daybook"))
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}

/// What a program says that refuses to hold a server.
fn refusal(mut program: Command, data_dir: &Path) -> String {
    let output = program
        .arg("hold-postgres")
        .arg(data_dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// Another process that holds the private PostgreSQL.
struct Holder {
    program: Child,
    server_pid: u32,
}

impl Holder {
    fn start(data_dir: &Path) -> Self {
        Self::start_by(daybook(), data_dir)
    }

    fn start_by(mut program: Command, data_dir: &Path) -> Self {
        program.arg("hold-postgres").arg(data_dir);
        let mut program = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let server_pid = line.split(' ').nth(1).unwrap_or_default().parse().unwrap();
        Self {
            program,
            server_pid,
        }
    }

    /// Lets it end by itself.
    fn end(mut self) {
        drop(self.program.stdin.take());
        assert!(self.program.wait().unwrap().success());
    }
}
