//! Boards in Redis, for all processes: whoever asks for one moves it on for all.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::standing::Contender;
use projections::competitions::{self, CompetitionRow, Contenders, Moved, NAME};
use projections::{Live, ReadError, Reader, Snapshot};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Found, Key, LOAD_STATEMENT_MAX, Ranking, found};
use crate::cache::{Lines, RankedBoard, Ranks, RanksLoading};
use crate::config;

/// How often somebody asks again whose board was moved on by others meanwhile.
const TURNS_MAX: u32 = 3;

/// Lines by which a board is moved on in one request, as it has to be.
const MOVED_MAX: u32 = 4_000;

/// How often a board that was put in is moved on before it is shown.
const CATCH_UPS_MAX: u32 = 20;

/// Lines that are sent in one request: Redis does nothing else meanwhile.
const SENT_MAX: usize = 500;

/// The boards. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shared(Arc<Inner>);

struct Inner {
    ranks: Ranks,
    settings: config::Leaderboards,
    reader: Reader,
    /// Those that this process puts in.
    loading: Mutex<HashSet<Key>>,
    /// One is read at a time: each holds a connection.
    turns: Semaphore,
}

/// Redis tells nothing, or nothing that can be true.
#[derive(Debug)]
pub(super) struct Lost;

impl From<&'static str> for Lost {
    fn from(why: &'static str) -> Lost {
        tracing::debug!("a board was not had from Redis: {why}");
        Lost
    }
}

impl Shared {
    pub(super) fn new(ranks: Ranks, settings: config::Leaderboards, reader: Reader) -> Shared {
        Shared(Arc::new(Inner {
            ranks,
            settings,
            reader,
            loading: Mutex::default(),
            turns: Semaphore::new(1),
        }))
    }

    /// Lines of a board as of the snapshot or later; `None` if it is not there. Then it is put in, for those
    /// who ask later.
    pub(super) async fn ask(
        &self,
        snap: &mut Snapshot,
        competition: &CompetitionRow,
        key: &Key,
        lines: Lines<'_>,
    ) -> Result<Result<Option<Found>, Lost>, ReadError> {
        if competition.entries > u64::from(self.0.settings.lines_max) {
            return Ok(Ok(None));
        }
        let live = snap.live(NAME)?;
        let board = ranked(key, competition, live);
        for _ in 0..TURNS_MAX {
            let told = match self.0.ranks.read(&board, lines).await {
                Ok(Some(told)) => told,
                Ok(None) => break,
                Err(why) => return Ok(Err(why.into())),
            };
            if told.position >= live.position {
                return Ok(Ok(Some(found(told.lines, told.size, told.position))));
            }
            // It is read anew, and put in, where this is too much.
            let most = self.0.settings.rows_max.min(MOVED_MAX);
            let (period, behind) = (&key.period, told.position);
            let moved = competitions::moved(snap, competition, period, behind, most).await?;
            let Some(moved) = moved else {
                if let Err(why) = self.0.ranks.forget(&board, Some(behind)).await {
                    return Ok(Err(why.into()));
                }
                break;
            };
            let moved: Vec<(&str, Option<&Contender>)> = moved.iter().map(change).collect();
            let to = (behind, live.position);
            if let Err(why) = self.0.ranks.apply(&board, to, &moved).await {
                return Ok(Err(why.into()));
            }
        }
        self.put_in(key.clone());
        Ok(Ok(None))
    }

    /// Puts a board in, unless that is under way.
    fn put_in(&self, key: Key) {
        if !self.loading().insert(key.clone()) {
            return;
        }
        let shared = self.clone();
        tokio::spawn(async move {
            let done = match shared.0.turns.acquire().await {
                Ok(_turn) => shared.load(&key).await,
                Err(_) => return, // nobody closes it
            };
            let Key { competition, .. } = &key;
            match done {
                Ok(Ok(())) => {}
                Ok(Err(Lost)) => tracing::debug!("a board of {competition} is not in Redis"),
                Err(error) => {
                    tracing::warn!(%error, "a board of {competition} is not in Redis: {error}");
                }
            }
            shared.loading().remove(&key);
        });
    }

    async fn load(&self, key: &Key) -> Result<Result<(), Lost>, ReadError> {
        let mut snap = self.0.reader.snapshot(&key.tenant).await?;
        snap.allow(LOAD_STATEMENT_MAX).await?;
        let live = snap.live(NAME)?;
        let Some(competition) = competitions::competition(&mut snap, &key.competition).await?
        else {
            return Ok(Ok(()));
        };
        let board = ranked(key, &competition, live);
        let token = Uuid::now_v7().to_string();
        let loading = match self.0.ranks.begin(&board, token).await {
            Ok(Some(loading)) => loading,
            Ok(None) => return Ok(Ok(())),
            Err(why) => return Ok(Err(why.into())),
        };
        let mut contenders = Contenders::open(&mut snap, &competition, &key.period).await?;
        let rows_max = self.0.settings.rows_max;
        loop {
            let some = contenders.next(&mut snap, rows_max).await?;
            let lines: Vec<_> = some.iter().map(|c| (&*c.user, Some(c))).collect();
            match put(&loading, &lines).await {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(())),
                Err(lost) => return Ok(Err(lost)),
            }
            if some.is_empty() {
                break;
            }
        }
        drop(snap);
        self.catch_up(key, live, loading).await
    }

    /// What has moved while a board was put in: read again and again, until so little is left that whoever
    /// asks for the board can do it.
    async fn catch_up(
        &self,
        key: &Key,
        mut live: Live,
        loading: RanksLoading,
    ) -> Result<Result<(), Lost>, ReadError> {
        for _ in 0..CATCH_UPS_MAX {
            let mut snap = self.0.reader.snapshot(&key.tenant).await?;
            let now = snap.live(NAME)?;
            let competition = competitions::competition(&mut snap, &key.competition).await?;
            // A rebuilt read model has other boards.
            let Some(competition) = competition.filter(|_| now.generation == live.generation)
            else {
                return Ok(Ok(()));
            };
            let (period, behind) = (&key.period, live.position);
            let most = self.0.settings.lines_max;
            let moved = competitions::moved(&mut snap, &competition, period, behind, most).await?;
            let Some(moved) = moved else {
                return Ok(Ok(()));
            };
            let lines: Vec<_> = moved.iter().map(change).collect();
            match put(&loading, &lines).await {
                Ok(true) => {}
                Ok(false) => return Ok(Ok(())),
                Err(lost) => return Ok(Err(lost)),
            }
            live = now;
            if moved.len() < SENT_MAX {
                break;
            }
        }
        let finished = loading.finish(live.position).await;
        Ok(finished.map(drop).map_err(Lost::from))
    }

    fn loading(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.0
            .loading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rebuilt read model has other boards, as has a draft with other rules: what one says is a function of
/// generation, rules and position.
fn ranked(key: &Key, competition: &CompetitionRow, live: Live) -> RankedBoard {
    let (generation, ranking) = (live.generation.to_string(), Ranking::of(competition));
    let Ranking {
        sort,
        ties,
        operator,
        start,
    } = ranking;
    let start = start.map_or_else(String::new, |start| start.units().to_string());
    let parts = [
        &*key.tenant,
        &*generation,
        &*key.competition,
        &*key.period,
        sort.as_str(),
        ties.as_str(),
        operator.as_str(),
        &*start,
    ];
    RankedBoard::new(&parts, sort, ties)
}

fn change(moved: &Moved) -> (&str, Option<&Contender>) {
    match moved {
        Moved::Here(contender) => (&contender.user, Some(contender)),
        Moved::Gone(user) => (user, None),
    }
}

/// Sends lines, a part at a time; false if it is not ours to do any more.
async fn put(loading: &RanksLoading, lines: &[(&str, Option<&Contender>)]) -> Result<bool, Lost> {
    for some in lines.chunks(SENT_MAX) {
        if !loading.put(some).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
