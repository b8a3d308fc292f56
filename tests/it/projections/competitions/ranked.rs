//! Boards that are kept: Redis, memory and the tables say the same at every moment.

use daybook::cache::Cache;
use daybook::config::{self, Settings};
use daybook::leaderboards::{Leaderboards, Source};
use domain::competition::{CompetitionEvent, CompetitionRevised, CompetitionRules};
use domain::score::Sort;
use domain::standing::{Standing, TiePolicy};
use domain::{Event, Recorded};
use projections::competitions::{self, Board, CompetitionRow};
use projections::{AnyProjection, Reader, Snapshot};
use redis::cmd;

use super::boards::{histories, kinds, row};
use super::{accepted, all_time, created, joined, left, opened, rules, second, short, tally, told};
use crate::projections::scene::{TENANT, create_tables, go_live, log, read_model, snapshot, write};
use crate::support::Dice;
use crate::support::{TestDb, TestRedis, eventually, redis_settings};

/// A database whose read model of competitions goes on, a few events at a time.
struct Going {
    db: TestDb,
    left: Vec<Recorded<Event>>,
    position: i64,
}

impl Going {
    async fn begin(events: Vec<(String, Event)>) -> Going {
        let db = TestDb::create().await;
        let model = model();
        create_tables(&db, &*model, 1).await;
        go_live(&db, &*model, 0).await;
        let (left, position) = (log(events), 0);
        Going { db, left, position }
    }

    /// Folds so many events; false if there were none.
    async fn on(&mut self, events: usize) -> bool {
        let rest = self.left.split_off(events.min(self.left.len()));
        let batch = std::mem::replace(&mut self.left, rest);
        let Some(last) = batch.last() else {
            return false;
        };
        self.position = last.position.0;
        write(&self.db, &*model(), 1, &batch).await;
        sqlx::query("update generations set position = $1 where tenant = $2")
            .bind(self.position)
            .bind(TENANT)
            .execute(self.db.pool())
            .await
            .unwrap();
        true
    }

    fn boards(&self, redis: Option<&str>, settings: &config::Leaderboards) -> Leaderboards {
        let mut defaults = Settings::default();
        if let Some(url) = redis {
            defaults.redis = redis_settings(url);
        }
        let cache = Cache::new(&defaults.cache, &defaults.redis, [7; 32]).unwrap();
        Leaderboards::new(settings, &cache, Reader::new(self.db.pool().clone()))
    }
}

fn model() -> std::sync::Arc<dyn AnyProjection> {
    read_model(competitions::NAME)
}

async fn first(
    boards: &Leaderboards,
    snap: &mut Snapshot,
    row: &CompetitionRow,
) -> (Vec<Standing>, Source) {
    let shown = boards.page(snap, (row, &all_time()), 0, 100).await.unwrap();
    (shown.page.items, shown.source)
}

/// Waits until boards are told from where they are to be kept.
async fn kept(boards: &Leaderboards, db: &TestDb, ids: &[&str], source: Source) {
    for id in ids {
        eventually("the board is kept", async || {
            let mut snap = snapshot(db).await;
            let row = row(&mut snap, id).await;
            first(boards, &mut snap, &row).await.1 == source
        })
        .await;
    }
}

/// Asks for a board in every way there is, from where it is kept.
async fn check(
    boards: &Leaderboards,
    snap: &mut Snapshot,
    row: &CompetitionRow,
    source: Source,
    expect: &[Standing],
) {
    let board = (row, &all_time());
    for before in 0..=expect.len() {
        let shown = boards
            .page(snap, board, u32::try_from(before).unwrap(), 2)
            .await;
        let shown = shown.unwrap();
        let end = expect.len().min(before + 2);
        assert_eq!(shown.page.items, expect[before..end], "{} {before}", row.id);
        assert_eq!(shown.page.has_next, end < expect.len());
        assert_eq!(shown.source, source);
    }
    for (place, line) in expect.iter().enumerate() {
        let around = boards.around(snap, board, &line.user, 2).await.unwrap();
        let near = &expect[place.saturating_sub(2)..expect.len().min(place + 3)];
        assert_eq!((&around.page.items[..], around.source), (near, source));
    }
    let nobody = boards.around(snap, board, "nobody", 2).await.unwrap();
    assert_eq!((nobody.page.items, nobody.source), (vec![], source));
}

#[tokio::test]
async fn redis_memory_and_tables_agree_on_every_rank_while_scores_change() {
    let redis = TestRedis::start().await;
    let mut dice = Dice::from_env("ranked boards");
    let kinds = kinds();
    let (events, _) = histories(&mut dice, &kinds);
    let mut going = Going::begin(events).await;
    assert!(going.on(kinds.len() * 4).await);
    let settings = Settings::default().leaderboards;
    let (in_redis, in_memory) = (
        going.boards(Some(&redis.url()), &settings),
        going.boards(None, &settings),
    );
    // Another process, which moves the same boards on.
    let beside = going.boards(Some(&redis.url()), &settings);
    let ids: Vec<&str> = kinds.iter().map(|(id, _)| id.as_str()).collect();
    kept(&in_redis, &going.db, &ids, Source::Redis).await;
    kept(&beside, &going.db, &ids, Source::Redis).await;
    kept(&in_memory, &going.db, &ids, Source::Memory).await;
    let mut lines = 0;
    loop {
        let mut snap = snapshot(&going.db).await;
        for (turn, id) in ids.iter().enumerate() {
            let row = row(&mut snap, id).await;
            let expect = competitions::everybody(&mut snap, &row, &all_time()).await;
            let expect = expect.unwrap();
            lines += expect.len();
            check(&in_memory, &mut snap, &row, Source::Memory, &expect).await;
            let (one, other) = match turn % 2 {
                0 => (&in_redis, &beside),
                _ => (&beside, &in_redis),
            };
            check(one, &mut snap, &row, Source::Redis, &expect).await;
            check(other, &mut snap, &row, Source::Redis, &expect).await;
        }
        if !going.on(dice.below(120) as usize + 1).await {
            break;
        }
    }
    eprintln!("{lines} lines");
    assert!(lines > 1_000);
}

fn of_some(users: i64, rules: CompetitionRules) -> Vec<(String, Event)> {
    let mut events = vec![created("c", rules), opened("c")];
    for n in 0..users {
        let user = format!("u{n:03}");
        events.push(joined("c", &user, &[], second(0)));
        events.push(accepted("c", &user, "all", tally(n % 5, 0, 1, 1)));
    }
    events
}

#[tokio::test]
async fn a_board_of_which_redis_lost_a_part_is_put_in_again() {
    let redis = TestRedis::start().await;
    let mut going = Going::begin(of_some(50, rules())).await;
    assert!(going.on(1_000).await);
    let settings = Settings::default().leaderboards;
    let boards = going.boards(Some(&redis.url()), &settings);
    let mut snap = snapshot(&going.db).await;
    let row = row(&mut snap, "c").await;
    let expect = competitions::everybody(&mut snap, &row, &all_time())
        .await
        .unwrap();
    kept(&boards, &going.db, &["c"], Source::Redis).await;
    for part in ["order", "lines", "state"] {
        let keys: Vec<String> = redis.tell(cmd("KEYS").arg(format!("*:{part}"))).await;
        let removed: i64 = match part {
            // Nobody notices a line that is missing but by its number.
            "order" => {
                redis
                    .tell(cmd("ZREMRANGEBYRANK").arg(&keys).arg(3).arg(3))
                    .await
            }
            _ => redis.tell(cmd("DEL").arg(&keys)).await,
        };
        assert_eq!((keys.len(), removed), (1, 1), "{part}");
        let told = first(&boards, &mut snap, &row).await;
        assert_eq!(told, (expect.clone(), Source::Tables), "{part}");
        kept(&boards, &going.db, &["c"], Source::Redis).await;
        assert_eq!(
            first(&boards, &mut snap, &row).await,
            (expect.clone(), Source::Redis)
        );
    }
}

#[tokio::test]
async fn without_redis_memory_goes_on_and_with_it_again_redis_does() {
    let mut redis = TestRedis::start().await;
    let mut going = Going::begin(of_some(20, rules())).await;
    assert!(going.on(1_000).await);
    let settings = Settings::default().leaderboards;
    let boards = going.boards(Some(&redis.url()), &settings);
    kept(&boards, &going.db, &["c"], Source::Redis).await;
    redis.kill().await;
    kept(&boards, &going.db, &["c"], Source::Memory).await;
    redis.restart().await;
    kept(&boards, &going.db, &["c"], Source::Redis).await;
}

/// Somebody whose snapshot is older than the board is told what is later, and that it is.
#[tokio::test]
async fn a_board_does_not_go_back_for_an_older_snapshot() {
    let redis = TestRedis::start().await;
    let settings = Settings::default().leaderboards;
    for (url, source) in [(Some(redis.url()), Source::Redis), (None, Source::Memory)] {
        let mut events = of_some(3, rules());
        events.push(left("c", "u002"));
        let mut going = Going::begin(events).await;
        assert!(going.on(8).await);
        let boards = going.boards(url.as_deref(), &settings);
        kept(&boards, &going.db, &["c"], source).await;
        let mut old = snapshot(&going.db).await;
        let row = row(&mut old, "c").await;
        assert!(going.on(1).await);
        let mut new = snapshot(&going.db).await;
        let at = going.position;
        for snap in [&mut new, &mut old] {
            let shown = boards.page(snap, (&row, &all_time()), 0, 9).await.unwrap();
            assert_eq!(short(&shown.page.items), ["1 u001 1", "2 u000 0"]);
            assert_eq!((shown.page.as_of.0, shown.source), (at, source));
        }
    }
}

#[tokio::test]
async fn boards_that_do_not_fit_are_read_from_the_tables() {
    let mut events = of_some(30, rules());
    let more = of_some(8, rules());
    events.extend(
        more.into_iter()
            .map(|(id, event)| (id.replacen('c', "d", 1), event)),
    );
    let mut going = Going::begin(events).await;
    assert!(going.on(1_000).await);
    let mut settings = Settings::default().leaderboards;
    settings.lines_max = 29;
    let boards = going.boards(None, &settings);
    kept(&boards, &going.db, &["d"], Source::Memory).await;
    let mut snap = snapshot(&going.db).await;
    let large = row(&mut snap, "c").await;
    for _ in 0..5 {
        assert_eq!(first(&boards, &mut snap, &large).await.1, Source::Tables);
    }
    // Each fits, both do not: the one that was asked for last stays.
    settings.lines_max = 30;
    let boards = going.boards(None, &settings);
    kept(&boards, &going.db, &["d", "c"], Source::Memory).await;
    let small = row(&mut snap, "d").await;
    assert_eq!(first(&boards, &mut snap, &small).await.1, Source::Tables);
}

/// A board that is many changes behind is read anew.
#[tokio::test]
async fn a_board_that_is_far_behind_is_read_anew() {
    let mut going = Going::begin(of_some(30, rules())).await;
    assert!(going.on(12).await);
    let mut settings = Settings::default().leaderboards;
    settings.rows_max = 4;
    let boards = going.boards(None, &settings);
    kept(&boards, &going.db, &["c"], Source::Memory).await;
    assert!(going.on(1_000).await);
    let mut snap = snapshot(&going.db).await;
    let row = row(&mut snap, "c").await;
    assert_eq!(first(&boards, &mut snap, &row).await.1, Source::Tables);
    kept(&boards, &going.db, &["c"], Source::Memory).await;
    let expect = competitions::everybody(&mut snap, &row, &all_time())
        .await
        .unwrap();
    check(&boards, &mut snap, &row, Source::Memory, &expect).await;
}

/// Whoever can write to Redis puts nobody on a board, and sets no board ahead of the log.
#[tokio::test]
async fn what_a_stranger_wrote_is_thrown_away() {
    let redis = TestRedis::start().await;
    let mut going = Going::begin(of_some(12, rules())).await;
    assert!(going.on(1_000).await);
    let settings = Settings::default().leaderboards;
    let boards = going.boards(Some(&redis.url()), &settings);
    let mut snap = snapshot(&going.db).await;
    let row = row(&mut snap, "c").await;
    let expect = competitions::everybody(&mut snap, &row, &all_time()).await;
    let expect = expect.unwrap();
    kept(&boards, &going.db, &["c"], Source::Redis).await;
    let [state, order] = ["state", "order"].map(|part| format!("*:{part}"));
    let state: Vec<String> = redis.tell(cmd("KEYS").arg(state)).await;
    let order: Vec<String> = redis.tell(cmd("KEYS").arg(order)).await;
    let line: Vec<Vec<u8>> = redis.tell(cmd("ZRANGE").arg(&order).arg(0).arg(0)).await;
    let mut forged = line[0].clone();
    forged[24] = b'z';
    let ahead = format!("{} 0123456789abcdef 12 0", i64::MAX);
    for case in ["line", "state"] {
        if case == "line" {
            let mut swap = redis::pipe();
            swap.zrem(&order[0], &line)
                .ignore()
                .zadd(&order[0], &forged, 0)
                .ignore();
            let () = swap.query_async(&mut redis.connect().await).await.unwrap();
        } else {
            let () = redis.tell(cmd("SET").arg(&state).arg(&ahead)).await;
        }
        let told = first(&boards, &mut snap, &row).await;
        assert_eq!(told, (expect.clone(), Source::Tables), "{case}");
        kept(&boards, &going.db, &["c"], Source::Redis).await;
        assert_eq!(first(&boards, &mut snap, &row).await.0, expect, "{case}");
    }
}

/// A draft's board was asked for before its rules were others.
#[tokio::test]
async fn a_board_is_by_the_rules_that_hold() {
    let redis = TestRedis::start().await;
    let turned = CompetitionRules {
        sort: Sort::Ascending,
        ties: TiePolicy::Dense,
        ..rules()
    };
    let revised = CompetitionRevised {
        rules: Box::new(turned.clone()),
    };
    let mut events = vec![
        created("c", rules()),
        told("c", CompetitionEvent::CompetitionRevised(revised)),
    ];
    events.extend(of_some(20, turned).into_iter().skip(1));
    let settings = Settings::default().leaderboards;
    for (url, source) in [(Some(redis.url()), Source::Redis), (None, Source::Memory)] {
        let mut going = Going::begin(events.clone()).await;
        assert!(going.on(1).await);
        let boards = going.boards(url.as_deref(), &settings);
        kept(&boards, &going.db, &["c"], source).await;
        while going.on(7).await {
            kept(&boards, &going.db, &["c"], source).await;
            let mut snap = snapshot(&going.db).await;
            let row = row(&mut snap, "c").await;
            let expect = competitions::everybody(&mut snap, &row, &all_time()).await;
            check(&boards, &mut snap, &row, source, &expect.unwrap()).await;
        }
    }
}

/// Boards of which nothing is known take room too.
#[tokio::test]
async fn boards_of_nobody_go_again() {
    let mut going = Going::begin(of_some(3, rules())).await;
    assert!(going.on(1_000).await);
    let mut settings = Settings::default().leaderboards;
    settings.lines_max = 300;
    let boards = going.boards(None, &settings);
    kept(&boards, &going.db, &["c"], Source::Memory).await;
    let mut snap = snapshot(&going.db).await;
    let row = row(&mut snap, "c").await;
    for day in 1..9 {
        let board = Board {
            period: format!("2016-05-0{day}"),
            ..all_time()
        };
        eventually("the board is kept", async || {
            let mut snap = snapshot(&going.db).await;
            let shown = boards.page(&mut snap, (&row, &board), 0, 9).await.unwrap();
            assert_eq!(shown.page.items, []);
            shown.source == Source::Memory
        })
        .await;
    }
    assert_eq!(first(&boards, &mut snap, &row).await.1, Source::Tables);
}
