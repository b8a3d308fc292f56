//! Boards in Redis, for all processes: who is where, in the order of their bytes.
//!
//! A line is made of 24 bytes that sort as the board does, the user's id, and a code that only our processes can
//! make; nothing of it goes through a double, so that scores beyond 2^53 stay what they are. A board tells the
//! position it is as of, and how many lines it has: one of which Redis has lost a part is thrown away. What it
//! says is checked for being possible at all, and it is moved on from the position it was at alone, so that
//! processes do not undo each other's work. Whoever can write to Redis can withhold lines, or tell old ones,
//! and make none.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::DateTime;
use domain::Position;
use domain::score::{Score, Sort};
use domain::standing::{Contender, Standing, TiePolicy};
use redis::{Cmd, FromRedisValue as _, Value, cmd};
use sha2::{Digest as _, Sha256};

use super::frame;
use super::redis::Redis;

/// The script. It is sent whole only to a server that does not know it.
const SCRIPT: &str = include_str!("ranks.lua");

/// Its name: the SHA-1 of its text. A test asks a server.
const SCRIPT_NAME: &str = "c2d4bb72cc5f60eaa14884160428febdad6416cd";

/// The number of the next question: an answer to another one is not taken for its answer.
static QUESTIONS: AtomicU32 = AtomicU32::new(0);

/// Bytes of a line before the user's id.
const LINE_BYTES: usize = 24;

/// Bytes of the code behind it.
const CODE_BYTES: usize = 8;

/// Whoever puts a board in and does not go on for so long has given up.
const LOAD_PAUSE_MAX: Duration = Duration::from_secs(30);

/// How often a part of a board that is put in is sent before that is given up.
const PUT_TURNS_MAX: u32 = 5;

/// Pause before it is sent again.
const PUT_PAUSE: Duration = Duration::from_millis(200);

/// Boards of all processes. Cheap to clone.
#[derive(Clone)]
pub struct Ranks {
    redis: Redis,
    ttl: Duration,
}

/// One board.
#[derive(Clone, Copy, Debug)]
pub struct RankedBoard {
    key: [u8; 16],
    sort: Sort,
    ties: TiePolicy,
}

impl RankedBoard {
    /// The board that all these parts name, such as its tenant and the generation of the read model that
    /// it was made of.
    pub fn new(parts: &[&str], sort: Sort, ties: TiePolicy) -> RankedBoard {
        let mut digest = Sha256::new();
        for part in parts {
            // No two lists of parts look the same.
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let digest = digest.finalize();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        RankedBoard { key, sort, ties }
    }
}

/// Which lines of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines<'q> {
    /// So many, from the one that has so many before it.
    Page {
        /// How many are before it.
        before: u32,
        /// How many, at most.
        limit: u32,
    },
    /// The one of a user and so many on each side; none if they are not on it.
    Around {
        /// Who, by id.
        user: &'q str,
        /// How many on each side, at most.
        each_side: u32,
    },
}

/// What a board says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RanksTold {
    /// What it is as of.
    pub position: Position,
    /// How many lines it has.
    pub size: u64,
    /// The lines, in order.
    pub lines: Vec<Standing>,
}

/// A board that is being put in, by us.
pub struct RanksLoading {
    ranks: Ranks,
    board: RankedBoard,
    token: String,
}

impl Ranks {
    pub(super) fn new(redis: Redis, ttl: Duration) -> Ranks {
        Ranks { redis, ttl }
    }

    /// Lines of a board; `None` if it is not there. The error says why Redis told nothing: `skipped`,
    /// `late`, `failed` or `garbage`.
    pub async fn read(
        &self,
        board: &RankedBoard,
        lines: Lines<'_>,
    ) -> Result<Option<RanksTold>, &'static str> {
        let told = self.ask("rank", board, "read", self.ttl, |call| {
            call.arg(board.ties.as_str());
            match lines {
                Lines::Page { before, limit } => call.arg("page").arg(before).arg(limit),
                Lines::Around { user, each_side } => {
                    call.arg("around").arg(each_side).arg(each_side).arg(user)
                }
            };
        });
        let told = told.await?;
        if told.is_empty() {
            return Ok(None);
        }
        let found = self.believed(board, &told, lines);
        if found.is_none() {
            tracing::warn!("a board in Redis was not made by us: thrown away");
            self.forget(board, None).await?;
        }
        Ok(found)
    }

    /// What was told, if it can be true and one of us has said it.
    fn believed(&self, board: &RankedBoard, told: &[Value], lines: Lines<'_>) -> Option<RanksTold> {
        let [position, code, size, shown @ ..] = told else {
            return None;
        };
        let secret = self.redis.secret();
        let position = position_of(position)?;
        let given = String::from_redis_value_ref(code).ok()?;
        let expected = position_code((board, secret), position);
        if given.len() != expected.len() || !frame::is_same(given.as_bytes(), expected.as_bytes()) {
            return None;
        }
        Some(RanksTold {
            position,
            size: u64::from_redis_value_ref(size).ok()?,
            lines: read(shown, (board, secret), lines)?,
        })
    }

    /// Moves a board on from a position to another, by what has become of these users; `None` is nobody's
    /// line. False if it is not there, or at another position.
    pub async fn apply(
        &self,
        board: &RankedBoard,
        (from, to): (Position, Position),
        moved: &[(&str, Option<&Contender>)],
    ) -> Result<bool, &'static str> {
        let known = (board, self.redis.secret());
        let told = self.ask("rerank", board, "apply", self.ttl, |call| {
            call.arg(from.0).arg(to.0).arg(position_code(known, to));
            call.arg(levels_count(board));
            push(call, known, moved);
        });
        Ok(is_yes(&told.await?))
    }

    /// Throws a board away; only if it is at a position, where one is given.
    pub async fn forget(
        &self,
        board: &RankedBoard,
        at: Option<Position>,
    ) -> Result<(), &'static str> {
        let seen = at.map_or_else(String::new, |at| format!("{at} "));
        let told = self.ask("rerank", board, "forget", self.ttl, |call| {
            call.arg(&seen);
        });
        told.await.map(drop)
    }

    /// Begins to put a board in; `None` if it is there, or somebody else does. `token` is ours alone.
    pub async fn begin(
        &self,
        board: &RankedBoard,
        token: String,
    ) -> Result<Option<RanksLoading>, &'static str> {
        let told = self.ask("rerank", board, "begin", LOAD_PAUSE_MAX, |call| {
            call.arg(&token);
        });
        Ok(is_yes(&told.await?).then(|| RanksLoading {
            ranks: self.clone(),
            board: *board,
            token,
        }))
    }

    /// Asks the script. Gives what it tells behind the number of the question.
    async fn ask(
        &self,
        operation: &'static str,
        board: &RankedBoard,
        what: &str,
        ttl: Duration,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Vec<Value>, &'static str> {
        let number = QUESTIONS.fetch_add(1, Ordering::Relaxed);
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1);
        let call = |how: &str, script: &str| {
            let mut call = cmd(how);
            call.arg(script).arg(4);
            for part in ["state", "order", "lines", "levels"] {
                // One part of a cluster: what is in braces decides which.
                call.arg(self.redis.part(&board.key, part));
            }
            call.arg(what).arg(number).arg(ttl);
            arguments(&mut call);
            call
        };
        let known = call("EVALSHA", SCRIPT_NAME);
        let whole = || call("EVAL", SCRIPT);
        let told = self
            .redis
            .ask_script::<Vec<Value>>(operation, &known, whole);
        let mut told = told.await?.into_iter();
        match told.next() {
            Some(Value::Int(answers)) if answers == i64::from(number) => Ok(told.collect()),
            _ => Err("garbage"),
        }
    }
}

impl RanksLoading {
    /// Puts these in, or takes them out; false if it is not ours to do any more. One that is late is sent
    /// again, since sending it twice is sending it once.
    pub async fn put(&self, moved: &[(&str, Option<&Contender>)]) -> Result<bool, &'static str> {
        let (board, ranks) = (&self.board, &self.ranks);
        let mut turns = PUT_TURNS_MAX;
        loop {
            let told = ranks.ask("rerank", board, "load", LOAD_PAUSE_MAX, |call| {
                call.arg(&self.token).arg(levels_count(board));
                push(call, (board, ranks.redis.secret()), moved);
            });
            turns -= 1;
            match told.await {
                Ok(told) => return Ok(is_yes(&told)),
                Err(why) if turns == 0 => return Err(why),
                Err(_) => tokio::time::sleep(PUT_PAUSE).await,
            }
        }
    }

    /// That was all of it, as of a position; false if it was not ours to do any more.
    pub async fn finish(self, position: Position) -> Result<bool, &'static str> {
        let (ttl, known) = (self.ranks.ttl, (&self.board, self.ranks.redis.secret()));
        let told = self
            .ranks
            .ask("rerank", &self.board, "finish", ttl, |call| {
                call.arg(&self.token).arg(position.0);
                call.arg(position_code(known, position));
            });
        Ok(is_yes(&told.await?))
    }
}

/// What shows that one of us has said that a board is as of a position.
fn position_code((board, secret): Known<'_>, position: Position) -> String {
    let code = frame::code(secret, &board.key, &position.0.to_be_bytes());
    let short = code[..CODE_BYTES].iter();
    short.map(|byte| format!("{byte:02x}")).collect()
}

fn is_yes(told: &[Value]) -> bool {
    matches!(told, [Value::Int(1)])
}

fn levels_count(board: &RankedBoard) -> u8 {
    u8::from(board.ties == TiePolicy::Dense)
}

/// A board, and what only our processes know.
type Known<'b> = (&'b RankedBoard, &'b [u8; 32]);

fn push(call: &mut Cmd, known: Known<'_>, moved: &[(&str, Option<&Contender>)]) {
    for (user, contender) in moved {
        call.arg(*user);
        match contender {
            Some(contender) => {
                let line = line(contender, known.0.sort);
                let code = code(known, &line, user.as_bytes());
                call.arg(&[&line[..], &code].concat()[..])
            }
            None => call.arg(""),
        };
    }
}

/// What shows that one of us has made the line.
fn code((board, secret): Known<'_>, line: &[u8; LINE_BYTES], user: &[u8]) -> [u8; CODE_BYTES] {
    let code = frame::code(secret, &board.key, &[line, user].concat());
    let mut short = [0; CODE_BYTES];
    short.copy_from_slice(&code[..CODE_BYTES]);
    short
}

fn position_of(told: &Value) -> Option<Position> {
    let position = i64::from_redis_value_ref(told).ok()?;
    (position >= 0).then_some(Position(position))
}

/// What was told, if it can be true.
fn read(told: &[Value], known: Known<'_>, asked: Lines<'_>) -> Option<Vec<Standing>> {
    let (rank, before, told) = match told {
        [Value::Int(0), ..] => return Some(Vec::new()),
        [Value::Int(rank), Value::Int(before), lines @ ..] => (*rank, *before, lines),
        _ => return None,
    };
    let most = match asked {
        Lines::Page { limit, .. } => u64::from(limit),
        Lines::Around { each_side, .. } => 2 * u64::from(each_side) + 1,
    };
    let (mut rank, before) = (u64::try_from(rank).ok()?, u64::try_from(before).ok()?);
    if told.len() as u64 > most || rank > before + 1 {
        return None;
    }
    let board = known.0;
    let mut lines: Vec<Standing> = Vec::with_capacity(told.len());
    let mut last: &[u8] = &[];
    for (place, member) in (before + 1..).zip(told) {
        let Value::BulkString(member) = member else {
            return None;
        };
        if member.as_slice() <= last {
            return None;
        }
        if !last.is_empty() && !equals(board.ties, last, member) {
            rank = match board.ties {
                TiePolicy::Dense => rank + 1,
                _ => place,
            };
        }
        lines.push(standing(member, known, rank)?);
        last = member;
    }
    Some(lines)
}

/// Do these lines share a rank?
fn equals(ties: TiePolicy, a: &[u8], b: &[u8]) -> bool {
    let same = |bytes| a.get(..bytes) == b.get(..bytes);
    match ties {
        TiePolicy::Competition | TiePolicy::Dense => same(16),
        TiePolicy::Earliest => same(LINE_BYTES),
        TiePolicy::Ordinal => false,
    }
}

/// The bytes that sort as the board does.
fn line(contender: &Contender, sort: Sort) -> [u8; LINE_BYTES] {
    let turned = |score: Score| match sort {
        Sort::Descending => -score.units(),
        Sort::Ascending => score.units(),
    };
    let numbers = [
        turned(contender.score),
        turned(contender.sub_score),
        contender.achieved_at.timestamp_micros(),
    ];
    let mut line = [0; LINE_BYTES];
    for (bytes, number) in line.chunks_exact_mut(8).zip(numbers) {
        // With the sign turned round, bytes sort as numbers do.
        bytes.copy_from_slice(&(number ^ i64::MIN).to_be_bytes());
    }
    line
}

fn standing(member: &[u8], known: Known<'_>, rank: u64) -> Option<Standing> {
    let sort = known.0.sort;
    let (line, rest) = member.split_first_chunk::<LINE_BYTES>()?;
    let (user, given) = rest.split_last_chunk::<CODE_BYTES>()?;
    let user = user.strip_suffix(&[0])?;
    if !frame::is_same(given, &code(known, line, user)) {
        return None;
    }
    let number = |at: usize| {
        let bytes = line.get(at..).and_then(|rest| rest.first_chunk::<8>());
        bytes.map(|bytes| i64::from_be_bytes(*bytes) ^ i64::MIN)
    };
    let score = |at| {
        let units = number(at)?;
        let units = match sort {
            Sort::Descending => units.checked_neg()?,
            Sort::Ascending => units,
        };
        Score::of_units(units, "score").ok()
    };
    Some(Standing {
        rank,
        user: String::from_utf8(user.to_vec()).ok()?,
        score: score(0)?,
        sub_score: score(8)?,
        achieved_at: DateTime::from_timestamp_micros(number(16)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: RankedBoard = RankedBoard {
        key: [1; 16],
        sort: Sort::Descending,
        ties: TiePolicy::Competition,
    };

    fn contender(user: &str, score: i64, seconds: i64) -> Contender {
        Contender {
            user: user.to_owned(),
            score: Score::of_units(score, "score").expect("a score"),
            sub_score: Score::ZERO,
            achieved_at: DateTime::from_timestamp(seconds, 0).expect("a time"),
        }
    }

    const SECRET: [u8; 32] = [9; 32];

    fn made(user: &str, score: i64, seconds: i64, secret: &[u8; 32]) -> Value {
        let line = line(&contender(user, score, seconds), BOARD.sort);
        let code = code((&BOARD, secret), &line, user.as_bytes());
        Value::BulkString([&line[..], user.as_bytes(), &[0], &code].concat())
    }

    fn member(user: &str, score: i64, seconds: i64) -> Value {
        made(user, score, seconds, &SECRET)
    }

    #[test]
    fn lines_sort_as_the_board_does_to_the_last_unit() {
        let better = [
            contender("a", i64::MAX, 5),
            contender("a", i64::MAX - 1, 5),
            contender("a", (1 << 53) + 1, 5),
            contender("a", 1 << 53, 5),
            contender("a", 0, -5),
            contender("a", 0, 5),
        ];
        let lines = |sort| {
            better
                .iter()
                .map(move |c| line(c, sort))
                .collect::<Vec<_>>()
        };
        assert!(lines(Sort::Descending).is_sorted_by(|a, b| a < b));
        let ascending = lines(Sort::Ascending);
        assert!(ascending[..5].is_sorted_by(|a, b| a > b) && ascending[4] < ascending[5]);
    }

    #[test]
    fn what_cannot_be_true_is_not_believed() {
        let ask = Lines::Page {
            before: 1,
            limit: 3,
        };
        let read = |told: &[Value]| {
            let lines = read(told, (&BOARD, &SECRET), ask)?;
            Some(
                lines
                    .into_iter()
                    .map(|l| (l.rank, l.user))
                    .collect::<Vec<_>>(),
            )
        };
        let (rank, before) = (Value::Int(1), Value::Int(1));
        let lines = [member("b", 9, 2), member("c", 8, 1), member("d", 8, 1)];
        let told = |lines: &[Value]| [&[rank.clone(), before.clone()], lines].concat();
        let named = |rank, user: &str| (rank, user.to_owned());
        let expect = vec![named(1, "b"), named(3, "c"), named(3, "d")];
        assert_eq!(
            read(&told(&lines)),
            Some(expect),
            "b shares its rank with the one before"
        );
        assert_eq!(read(&[Value::Int(0)]), Some(vec![]));
        let turned = [lines[1].clone(), lines[0].clone()];
        let twice = [lines[0].clone(), lines[0].clone()];
        let many = [&lines[..], &[member("e", 7, 1)]].concat();
        let short = [Value::BulkString(vec![1; 20])];
        let negative = [Value::BulkString(vec![0xff; 30])];
        for garbage in [
            &turned[..],
            &twice,
            &many,
            &short,
            &negative,
            &[Value::Int(1)],
        ] {
            assert_eq!(read(&told(garbage)), None, "{garbage:?}");
        }
        let ahead = [Value::Int(3), Value::Int(1), lines[0].clone()];
        assert_eq!(read(&ahead), None, "no rank is behind its place");
        assert_eq!(read(&[Value::Int(-1), Value::Int(0)]), None);
        assert_eq!(read(&[]), None);
    }
}
