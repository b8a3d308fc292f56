//! Boards: scores through the write door, and the ranks of a million users.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta};
use daybook::cache::Cache;
use daybook::commands::Door;
use daybook::config::Settings;
use daybook::consumers::{ConsumerSettings, Consumers};
use daybook::leaderboards::{Leaderboards, Source};
use daybook::store::Store;
use domain::board::Board as Kept;
use domain::competition::{
    Competition, CompetitionCommand, CompetitionRules, CountsFrom, Guards, JoinRule, Metric,
};
use domain::entry::{Entry, EntryCommand, Join, Submission, entry_id};
use domain::period::Calendar;
use domain::score::{Operator, Score, Sort};
use domain::standing::{Contender, TiePolicy};
use domain::{Position, Zone};
use futures::{StreamExt, TryStreamExt};
use projections::competitions::{self, Among, Board, NAME};
use projections::{Reader, Snapshot, Target};
use redis::aio::MultiplexedConnection;
use sqlx::postgres::PgConnectOptions;

use super::commands::{STOCK_CONNECTIONS, round};
use super::cpu::resident_mib;
use super::fleets::{Fleets, Stock, context, rename, stock, stock_tables};
use super::imports::{TENANT, sealing};
use super::measure::{Round, Rounds};
use super::report::{Figure, Goal, Row};
use super::stand::{Stand, upkeep};
use super::traffic::{Chance, now};

/// The competition.
const RACE: &str = "race";

/// Who hands scores in.
const RUNNERS: usize = 4_096;

/// How many of them at once.
const CALLERS: usize = 256;

/// Who is on the large board, unless the command line says otherwise.
const USERS: usize = 1_000_000;

/// Questions of one round.
const QUESTIONS: usize = 4_000;

/// Lines on each side of somebody's.
const EACH_SIDE: u32 = 5;

/// Lines of the first page.
const TOP: u32 = 100;

/// How long a read model, or a board, may take to be there.
const PATIENCE: Duration = Duration::from_secs(600);

/// Scores: what is handed in is added up, in one period without an end.
fn rules() -> anyhow::Result<CompetitionRules> {
    Ok(CompetitionRules {
        name: "Steps of the year".to_owned(),
        metric: Metric::Submitted,
        unit: None,
        decimals: 0,
        operator: Operator::Sum,
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
        periods: Calendar::AllTime,
        zone: Zone::of_name("UTC").context("UTC is a zone")?,
        starts_at: now() - TimeDelta::days(1),
        ends_at: None,
        close_delay_seconds: 0,
        join: JoinRule::Open,
        counts_from: CountsFrom::Start,
        consent_required: false,
        size_max: None,
        attempts_max: None,
        start_score: None,
        guards: Guards::default(),
        sources: Vec::new(),
    })
}

/// A log with a competition that takes scores.
pub struct Race {
    /// The log.
    pub store: Store,
    /// Into it.
    pub door: Door,
    /// Whose.
    pub tenant: Arc<str>,
    next: AtomicU64,
}

impl Race {
    /// Opens the competition, for so many who take part.
    pub async fn open(stand: &Stand, store: Store, runners: usize) -> anyhow::Result<Arc<Race>> {
        let race = Race {
            door: sealing(stand, &store)?,
            store,
            tenant: TENANT.into(),
            next: AtomicU64::new(1),
        };
        let ctx = context(&race.tenant);
        let rules = Box::new(rules()?);
        for told in [
            CompetitionCommand::Create { rules },
            CompetitionCommand::Open { now: now() },
        ] {
            race.door.execute::<Competition>(&ctx, RACE, told).await?;
        }
        futures::stream::iter((0..runners).map(|n| race.join(n)))
            .buffer_unordered(64)
            .try_for_each(|()| async { Ok(()) })
            .await?;
        Ok(Arc::new(race))
    }

    async fn join(&self, runner: usize) -> anyhow::Result<()> {
        let (ctx, user) = (context(&self.tenant), runner_id(runner));
        let join = |known: &Competition| {
            EntryCommand::Join(Join {
                competition: RACE.to_owned(),
                terms: Box::new(known.terms(&user, &Default::default())),
                user: user.clone(),
                consent: true,
                groups: Default::default(),
                place: None,
                now: ctx.now,
            })
        };
        let id = entry_id(RACE, &user);
        let door = &self.door;
        door.execute_relying::<Entry, Competition>(&ctx, &id, RACE, join)
            .await?;
        Ok(())
    }

    /// Adds to somebody's score, at a moment of its own. Where the log is then.
    pub async fn add(&self, runner: usize, score: i64) -> anyhow::Result<Position> {
        let (ctx, user) = (context(&self.tenant), runner_id(runner));
        let moment = self.next.fetch_add(1, Ordering::Relaxed);
        let hours = TimeDelta::hours(12);
        let submission = Submission {
            id: None,
            score: Score::of_units(score, "score").map_err(|refusal| anyhow::anyhow!(refusal))?,
            sub_score: Score::ZERO,
            achieved_at: ctx.now - hours + TimeDelta::microseconds(moment.cast_signed()),
            source: None,
            manual: false,
        };
        let submit = |known: &Competition| EntryCommand::SubmitScore {
            submission: submission.clone(),
            terms: Box::new(known.terms(&user, &Default::default())),
            now: ctx.now,
        };
        let id = entry_id(RACE, &user);
        let door = &self.door;
        let kept = door.execute_relying::<Entry, Competition>(&ctx, &id, RACE, submit);
        Ok(kept.await?.position)
    }

    /// Has the read model follow from now on.
    pub async fn follow(&self) -> anyhow::Result<Consumers> {
        let models = projections::all().into_iter();
        let model = models.filter(|model| model.name() == NAME).collect();
        let settings = ConsumerSettings::default();
        let consumers = Consumers::start(self.store.clone(), model, settings).await?;
        let head = self.store.head(&self.tenant).await?;
        let reached = consumers
            .wait_for(&self.tenant, &[NAME], head, PATIENCE)
            .await;
        reached.ok().context("the read model has not come so far")?;
        Ok(consumers)
    }
}

/// As long as ids of users are.
pub fn runner_id(n: usize) -> String {
    format!("5f0c1f6e-8e0f-4d59-9a51-{n:012}")
}

/// The board of the only period.
fn board() -> Board {
    Board {
        period: "all".to_owned(),
        among: Among::Everybody,
        as_of: None,
    }
}

/// What was submitted a second, against commands of stock postgres-es.
pub async fn scores(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let (store, ours_in) = stand.store().await?;
    let stock_in = stand.database().await?;
    let pool = stand.pool(stock_in.clone(), STOCK_CONNECTIONS).await?;
    stock_tables(&pool).await?;
    let fleets = Fleets {
        prefix: "fleet-",
        count: RUNNERS,
        events: 10,
    };
    fleets.seed_stock(&pool).await?;
    let race = Race::open(stand, store, stand.size(RUNNERS)).await?;
    let reference: Arc<Stock> = Arc::new(stock(pool.clone()));
    stand.settle().await?;
    let mut rounds = Rounds::default();
    for n in 0..=stand.rounds() {
        let runners = stand.size(RUNNERS);
        let ours = round(stand, CALLERS, |caller| {
            let race = race.clone();
            move |turn| {
                let race = race.clone();
                async move {
                    race.add((turn * CALLERS + caller) % runners, 7)
                        .await
                        .map(drop)
                }
            }
        });
        let ours = ours.await?;
        let theirs = round(stand, CALLERS, |caller| {
            let stock = reference.clone();
            move |turn| {
                let (stock, id) = (stock.clone(), fleets.id(turn * CALLERS + caller));
                // A lost race would be an error: no two callers name one fleet at a time.
                async move { Ok(stock.execute(&id, rename(turn as u64)).await?) }
            }
        });
        let theirs = theirs.await?;
        if n > 0 || stand.is_quick() {
            rounds.ours.push(ours);
            rounds.reference.push(theirs);
        }
    }
    pool.close().await;
    race.store.pool().close().await;
    stand.drop_database(&ours_in).await?;
    stand.drop_database(&stock_in).await?;
    let what = format!("scores, {CALLERS} callers");
    let late = format!("their p99, {CALLERS} callers");
    Ok(vec![
        rounds.row(what, "/s", Goal::AtLeast(10.0), Round::rate),
        rounds.row(late, "ms", Goal::Shown, |r| r.latency_ms(99.0)),
    ])
}

/// Ranks on a board of a million users, against sorted sets of Redis.
pub async fn ranks(stand: &Stand) -> anyhow::Result<Vec<Row>> {
    let users = stand.records().unwrap_or_else(|| stand.size(USERS));
    let mut rows = vec![in_memory(users)?];
    let ranked = Ranked::open(stand, users).await?;
    let redis = Redis::start(stand).await?;
    redis.fill(users).await?;
    let questions = stand.size(QUESTIONS).max(4);
    let (mut around, mut top) = (Rounds::default(), Rounds::default());
    let mut chance = Chance::new(7);
    for n in 0..=stand.rounds() {
        let asked: Vec<usize> = (0..questions).map(|_| below(&mut chance, users)).collect();
        let [ours_around, ours_top] = ranked.ours.ask(stand, &asked).await?;
        let [their_around, their_top] = redis.ask(stand, &asked).await?;
        if n > 0 || stand.is_quick() {
            around.ours.push(ours_around);
            around.reference.push(their_around);
            top.ours.push(ours_top);
            top.reference.push(their_top);
        }
    }
    ranked.close(stand).await?;
    let of = |what: &str| format!("{what}, among {users} users");
    let late = |r: &Round| r.latency_ms(99.0);
    let lines = 2 * EACH_SIDE;
    let rank = of(&format!("rank and {lines} lines around it"));
    rows.extend([
        around.row(rank, "/s", Goal::Shown, Round::rate),
        around.row("their p99".to_owned(), "ms", Goal::OursAtMost(1.0), late),
        top.row(
            of(&format!("the first {TOP} lines, p99")),
            "ms",
            Goal::OursAtMost(2.0),
            late,
        ),
    ]);
    Ok(rows)
}

/// A board of so many users, kept in memory.
pub struct Ranked {
    race: Arc<Race>,
    database: PgConnectOptions,
    ours: Ours,
    users: usize,
}

impl Ranked {
    /// Fills it, in a database of its own.
    pub async fn open(stand: &Stand, users: usize) -> anyhow::Result<Ranked> {
        let (store, database) = stand.store().await?;
        let race = Race::open(stand, store, 1).await?;
        race.follow().await?.stop().await;
        stock_board(&race, users).await?;
        let reader = Reader::new(race.store.pool().clone());
        let mut settings = Settings::default();
        settings.leaderboards.lines_max = u32::try_from(users)?.max(1_000_000);
        let cache = Cache::new(&settings.cache, &settings.redis, [0; 32])?;
        let boards = Leaderboards::new(&settings.leaderboards, &cache, reader.clone());
        let ours = Ours {
            boards,
            reader,
            tenant: race.tenant.clone(),
        };
        ours.keep().await?;
        Ok(Ranked {
            race,
            database,
            ours,
            users,
        })
    }

    /// Asks for ranks with the lines around them.
    pub async fn ranks(&self, stand: &Stand) -> anyhow::Result<Round> {
        let mut chance = Chance::new(7);
        let questions = stand.size(QUESTIONS).max(4);
        let asked: Vec<usize> = (0..questions)
            .map(|_| below(&mut chance, self.users))
            .collect();
        let [around, _] = self.ours.ask(stand, &asked).await?;
        Ok(around)
    }

    /// Removes it.
    pub async fn close(self, stand: &Stand) -> anyhow::Result<()> {
        self.race.store.pool().close().await;
        stand.drop_database(&self.database).await
    }
}

fn below(chance: &mut Chance, n: usize) -> usize {
    (chance.bits() % n.max(1) as u64) as usize
}

/// A score of which many are equals, made of the user's number.
fn score_of(n: usize) -> i64 {
    (n as i64).wrapping_mul(7_919) % 200_000
}

/// What the board takes beside the memory of what it is made of.
fn in_memory(users: usize) -> anyhow::Result<Row> {
    let before = resident_mib(std::process::id())?;
    let mut board = Kept::new(Sort::Descending, TiePolicy::Competition);
    for n in 0..users {
        board.set(&Contender {
            user: runner_id(n),
            score: Score::of_units(score_of(n), "score").map_err(|r| anyhow::anyhow!(r))?,
            sub_score: Score::ZERO,
            achieved_at: DateTime::from_timestamp(1_700_000_000 + n as i64 % 9_999, 0)
                .context("a time")?,
        });
    }
    let grown = (resident_mib(std::process::id())? - before) * 1_048_576.0 / users as f64;
    ensure!(board.len() == users, "everybody is on it");
    let counted = board.bytes() as f64 / users as f64;
    Ok(Row {
        what: format!(
            "memory of an entry of the order in process, of {users}, ids of 36 bytes included \
             ({counted:.0} by its own count)"
        ),
        unit: "bytes",
        ours: Figure {
            // The process may have room left from what was measured before.
            value: grown.max(counted),
            ..Figure::default()
        },
        reference: None,
        ratio: None,
        goal: Goal::OursAtMost(100.0),
    })
}

/// Fills the read model's tables as if so many had handed scores in.
async fn stock_board(race: &Race, users: usize) -> anyhow::Result<()> {
    let mut snap = Reader::new(race.store.pool().clone())
        .snapshot(&race.tenant)
        .await?;
    let live = snap.live(NAME)?;
    let known = competitions::competition(&mut snap, RACE).await?;
    ensure!(known.is_some(), "the competition is known");
    drop(snap);
    let target = Target {
        tenant: &race.tenant,
        generation: live.generation,
    };
    let (entries, scores) = (
        target.table("competition_entries"),
        target.table("competition_scores"),
    );
    let (tenant, position) = (&race.tenant, live.position);
    let user = "'5f0c1f6e-8e0f-4d59-9a51-' || lpad(n::text, 12, '0')";
    for statement in [
        format!(
            "insert into {entries} (tenant, competition_id, user_id, joined_at, consent, member_pos,
                                    stream_version, position)
             select '{tenant}', '{RACE}', {user}, now(), true, {position}, 1, {position}
             from generate_series(1, {users} - 1) n"
        ),
        format!(
            "insert into {scores} (tenant, competition_id, period, user_id, score, sub_score,
                                   achieved_at, attempts, position)
             select '{tenant}', '{RACE}', 'all', {user}, n * 7919 % 200000, 0,
                    '2026-01-01Z'::timestamptz + (n % 9999) * interval '1 second', 1, {position}
             from generate_series(0, {users}::bigint - 1) n"
        ),
        format!("vacuum analyze {entries}"),
        format!("vacuum analyze {scores}"),
    ] {
        upkeep(race.store.pool(), &statement).await?;
    }
    Ok(())
}

struct Ours {
    boards: Leaderboards,
    reader: Reader,
    tenant: Arc<str>,
}

impl Ours {
    /// Asks until the board is kept in memory.
    async fn keep(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.top().await? != Source::Memory {
            ensure!(Instant::now() < until, "the board is not kept");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn snapshot(&self) -> anyhow::Result<(Snapshot, competitions::CompetitionRow)> {
        let mut snap = self.reader.snapshot(&self.tenant).await?;
        let row = competitions::competition(&mut snap, RACE).await?;
        Ok((snap, row.context("the competition is known")?))
    }

    async fn top(&self) -> anyhow::Result<Source> {
        let (mut snap, row) = self.snapshot().await?;
        let shown = self
            .boards
            .page(&mut snap, (&row, &board()), 0, TOP)
            .await?;
        ensure!(!shown.page.items.is_empty(), "nobody is on the board");
        Ok(shown.source)
    }

    /// The ranks of these, then as many first pages: each in a moment of its own, as a request has it.
    async fn ask(&self, stand: &Stand, asked: &[usize]) -> anyhow::Result<[Round; 2]> {
        let (watch, mut latencies_us) = (stand.watch(), Vec::new());
        for n in asked {
            let (began, user) = (Instant::now(), runner_id(*n));
            let (mut snap, row) = self.snapshot().await?;
            let shown = self
                .boards
                .around(&mut snap, (&row, &board()), &user, EACH_SIDE)
                .await?;
            latencies_us.push(began.elapsed().as_micros() as u32);
            ensure!(shown.source == Source::Memory, "it is kept");
            ensure!(
                shown.page.items.iter().any(|line| line.user == user),
                "{user} is on it"
            );
        }
        let around = watch.stop(asked.len() as f64, latencies_us);
        let (watch, mut latencies_us) = (stand.watch(), Vec::new());
        for _ in asked {
            let began = Instant::now();
            self.top().await?;
            latencies_us.push(began.elapsed().as_micros() as u32);
        }
        Ok([around, watch.stop(asked.len() as f64, latencies_us)])
    }
}

/// A Redis of the line's own.
struct Redis {
    connection: MultiplexedConnection,
    _server: tokio::process::Child,
}

impl Redis {
    async fn start(stand: &Stand) -> anyhow::Result<Redis> {
        let socket = stand.dir().join("redis.sock");
        let server = tokio::process::Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server is needed for what ranks are held against")?;
        let client = redis::Client::open(format!("unix://{}", socket.display()))?;
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => {
                    return Ok(Redis {
                        connection,
                        _server: server,
                    });
                }
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn fill(&self, users: usize) -> anyhow::Result<()> {
        let all: Vec<usize> = (0..users).collect();
        for some in all.chunks(1_000) {
            let mut add = redis::cmd("ZADD");
            add.arg("board");
            for n in some {
                add.arg(score_of(*n)).arg(runner_id(*n));
            }
            add.query_async::<()>(&mut self.connection.clone()).await?;
        }
        Ok(())
    }

    /// The same by ZREVRANK, then ZREVRANGE with scores of what is around; then of the first.
    async fn ask(&self, stand: &Stand, asked: &[usize]) -> anyhow::Result<[Round; 2]> {
        let mut connection = self.connection.clone();
        let (watch, mut latencies_us) = (stand.watch(), Vec::new());
        for n in asked {
            let (began, user) = (Instant::now(), runner_id(*n));
            let mut rank = redis::cmd("ZREVRANK");
            let place: i64 = rank
                .arg("board")
                .arg(&user)
                .query_async(&mut connection)
                .await?;
            let first = (place - i64::from(EACH_SIDE)).max(0);
            let lines = self.lines(first, place + i64::from(EACH_SIDE)).await?;
            latencies_us.push(began.elapsed().as_micros() as u32);
            ensure!(lines.iter().any(|(id, _)| *id == user), "{user} is on it");
        }
        let around = watch.stop(asked.len() as f64, latencies_us);
        let (watch, mut latencies_us) = (stand.watch(), Vec::new());
        for _ in asked {
            let began = Instant::now();
            let lines = self.lines(0, i64::from(TOP) - 1).await?;
            latencies_us.push(began.elapsed().as_micros() as u32);
            ensure!(!lines.is_empty(), "nobody is on the board");
        }
        Ok([around, watch.stop(asked.len() as f64, latencies_us)])
    }

    async fn lines(&self, first: i64, last: i64) -> anyhow::Result<Vec<(String, f64)>> {
        let mut range = redis::cmd("ZREVRANGE");
        range.arg("board").arg(first).arg(last).arg("WITHSCORES");
        Ok(range.query_async(&mut self.connection.clone()).await?)
    }
}
