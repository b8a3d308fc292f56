//! Verifying: every link and signature of the chain of seals, and every event of a range against its leaf.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::SealError;
use super::chain::Chain;
use super::difference::{Difference, What};
use super::keys::public_keys;
use super::leaf::leaf;
use super::nodes;
use super::statement::{Statement, key_id};
use super::stored::{self, StoredSeal};
use super::tree::Hash;
use crate::consumers::open_connection;
use crate::store::{Archived, Store, StoreError, read_stored, scan};

/// Seals read at once.
const SEALS_PAGE: i64 = 32;

/// Events read at once are those of so many seals that they are at least this many.
const PIECE_EVENTS_MIN: usize = 32_768;

/// Chunks of rows read ahead of those that are being hashed.
const CHUNKS_AHEAD_MAX: usize = 2;

/// Of the events that are not sealed yet so many are looked for: there is a second's worth, unless sealing
/// has just begun.
const UNSEALED_MAX: i64 = 100_000;

/// How often progress is told of.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What is to be verified.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Whose log.
    pub tenant: Arc<str>,
    /// Events at these positions; the chain of seals is always followed from its beginning.
    pub positions: RangeInclusive<i64>,
    /// How many ranges of events are read at once.
    pub workers: usize,
    /// The only keys that may have signed; `None`: those that the database names.
    pub trusted: Option<Vec<[u8; 32]>>,
    /// Roots that were noted elsewhere: of so many events, this one.
    pub noted: Vec<(u64, Hash)>,
}

/// What was looked at, and what came of it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Events that were compared with their leaves.
    pub events: u64,
    /// Events that are sealed and recorded as archived, and that the log does not hold: what proves them lies
    /// beside the files that have them.
    pub archived: u64,
    /// Seals that were followed.
    pub seals: u64,
    /// Events that are sealed.
    pub sealed: i64,
    /// Where the log ends.
    pub head: i64,
    /// The last statement that was followed, and the id of the key that signed it.
    pub last: Option<(Statement, String)>,
    /// What differs, the first of all; `None`: the log is as it was sealed.
    pub difference: Option<Difference>,
}

/// Leaves that events are to have, from a position on.
struct Piece {
    first: i64,
    leaves: Vec<Hash>,
}

/// What workers share.
struct Line {
    store: Store,
    tenant: Arc<str>,
    pieces: Mutex<mpsc::Receiver<Piece>>,
    compared: AtomicU64,
    /// Positions that are recorded as archived, as far as is known: events may go while others are verified.
    archives: RwLock<Vec<RangeInclusive<i64>>>,
    archived: AtomicU64,
    /// Nothing behind this position is of interest any more: something before it differs.
    until: AtomicI64,
}

/// What came of following the chain.
struct Followed {
    chain: Chain,
    broken: Option<Difference>,
    /// Of what is kept for proofs: told only if all else is as it was.
    misplaced: Option<Difference>,
}

/// Follows the chain of seals, and compares the events of the range with their leaves. `progress` is told
/// now and then how many events were compared.
pub async fn verify(
    store: &Store,
    what: &Verify,
    mut progress: impl FnMut(u64),
) -> Result<Verified, SealError> {
    let (to, pieces) = mpsc::channel(what.workers.max(1));
    let line = Arc::new(Line {
        archives: RwLock::new(archives(store, &what.tenant).await?),
        archived: AtomicU64::new(0),
        store: store.clone(),
        tenant: what.tenant.clone(),
        pieces: Mutex::new(pieces),
        compared: AtomicU64::new(0),
        until: AtomicI64::new(i64::MAX),
    });
    let mut workers = JoinSet::new();
    for _ in 0..what.workers.max(1) {
        let line = line.clone();
        workers.spawn(async move { line.work().await });
    }
    let following = tokio::spawn(follow(line.clone(), what.clone(), to));
    let mut found: Option<Difference> = None;
    let mut ticks = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            ended = workers.join_next() => {
                let Some(ended) = ended else { break };
                found = earlier(found, whole(ended)?);
            }
            _ = ticks.tick() => progress(line.compared.load(Ordering::Relaxed)),
        }
    }
    let Followed {
        chain,
        broken,
        misplaced,
    } = whole(following.await)?;
    found = earlier(found, broken);
    let (head, wrong) = end_of_log(store.pool(), &what.tenant, chain.sealed()).await?;
    // Where something sealed differs the chain was not followed to its end.
    found = found.or(wrong);
    if head < chain.sealed() {
        found = earlier(found, Some(What::CutOff.at(head + 1)));
    }
    found = earlier(found, chain.unlike_noted()).or(misplaced);
    Ok(Verified {
        events: line.compared.load(Ordering::Relaxed),
        archived: line.archived.load(Ordering::Relaxed),
        seals: chain.seals(),
        sealed: chain.sealed(),
        head,
        last: chain.last(),
        difference: found,
    })
}

/// Positions that are recorded as archived.
async fn archives(store: &Store, tenant: &str) -> Result<Vec<RangeInclusive<i64>>, StoreError> {
    let archived = store.archived(tenant).await?;
    let range = |archived: Archived| archived.from_position..=archived.to_position;
    Ok(archived.into_iter().map(range).collect())
}

/// What a task came to; its panic is ours.
fn whole<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The one at the lower position.
fn earlier(one: Option<Difference>, other: Option<Difference>) -> Option<Difference> {
    one.into_iter().chain(other).min_by_key(|d| d.position)
}

/// Where the log says that it ends, and what is wrong with what is not sealed: events before the first
/// position or behind the end, and those that are gone. All of one moment. Either end of the log is looked for
/// by itself: one range beside another would be looked for in all that lies between.
async fn end_of_log(
    pool: &PgPool,
    tenant: &str,
    sealed: i64,
) -> Result<(i64, Option<Difference>), sqlx::Error> {
    let (head, outside, gone): (i64, Option<i64>, Option<i64>) = sqlx::query_as(
        "select l.position,
                least((select min(e.position) from events e
                       where e.tenant = l.tenant and e.position < 1),
                      (select min(e.position) from events e
                       where e.tenant = l.tenant and e.position > l.position)),
                (select p from generate_series($2::bigint + 1, least(l.position, $2 + $3)) p
                 where (select true from events e
                        where e.tenant = l.tenant and e.position = p limit 1) is null
                 order by p limit 1)
         from logs l where l.tenant = $1",
    )
    .bind(tenant)
    .bind(sealed)
    .bind(UNSEALED_MAX)
    .fetch_one(pool)
    .await?;
    let outside = outside.map(|position| What::Extra.at(position));
    Ok((
        head,
        earlier(outside, gone.map(|position| What::Gone.at(position))),
    ))
}

/// Follows the chain, and hands the leaves of its seals to the workers, as far as they are asked for.
async fn follow(
    line: Arc<Line>,
    what: Verify,
    to: mpsc::Sender<Piece>,
) -> Result<Followed, SealError> {
    let pool = line.store.pool();
    let keys = match &what.trusted {
        Some(keys) => keys.iter().map(|key| (key_id(key), *key)).collect(),
        None => public_keys(pool).await?,
    };
    let mut chain = Chain::new(what.tenant.clone(), keys, what.noted.clone());
    let mut piece = Piece {
        first: 0,
        leaves: Vec::new(),
    };
    let (mut broken, mut misplaced) = (None, None);
    'seals: loop {
        let seals = stored::behind(pool, &what.tenant, chain.sealed(), SEALS_PAGE).await?;
        let is_last = seals.is_empty();
        for seal in seals {
            if seal.first > line.until.load(Ordering::Relaxed) {
                break 'seals;
            }
            if what.trusted.is_none() && !chain.knows(&seal.key_id) {
                // A key that was made since.
                chain.learn(public_keys(pool).await?);
            }
            if let Err(difference) = chain.follow(&seal) {
                line.until.fetch_min(difference.position, Ordering::Relaxed);
                broken = Some(difference);
                break 'seals;
            }
            add(&mut piece, &seal, &what.positions);
            if piece.leaves.len() >= PIECE_EVENTS_MIN {
                let full = std::mem::replace(
                    &mut piece,
                    Piece {
                        first: 0,
                        leaves: Vec::new(),
                    },
                );
                if to.send(full).await.is_err() {
                    break 'seals;
                }
            }
        }
        let unlike = nodes::unlike(pool, &what.tenant, &chain.take_nodes()).await?;
        misplaced = earlier(misplaced, unlike);
        if is_last {
            break;
        }
    }
    if broken.is_none() {
        misplaced = earlier(misplaced, nodes::ahead(pool, &what.tenant).await?);
    }
    if !piece.leaves.is_empty() {
        // Workers that are gone have failed, and say so themselves.
        let _ = to.send(piece).await;
    }
    Ok(Followed {
        chain,
        broken,
        misplaced,
    })
}

/// Adds the leaves of a seal that has been followed, those within the positions.
fn add(piece: &mut Piece, seal: &StoredSeal, positions: &RangeInclusive<i64>) {
    let leaves = seal.leaves().unwrap_or_default();
    let from = seal.first.max(*positions.start());
    let to = seal.size.min(*positions.end());
    if from > to {
        return;
    }
    if piece.leaves.is_empty() {
        piece.first = from;
    }
    let range = (from - seal.first) as usize..=(to - seal.first) as usize;
    piece.leaves.extend_from_slice(&leaves[range]);
}

impl Line {
    /// Compares one piece after the other; the first difference of all.
    async fn work(&self) -> Result<Option<Difference>, SealError> {
        let mut conn = open_connection(&self.store).await?;
        let mut found = None;
        loop {
            let piece = self.pieces.lock().await.recv().await;
            let Some(piece) = piece else { return Ok(found) };
            if piece.first > self.until.load(Ordering::Relaxed) {
                continue;
            }
            let mut first = piece.first;
            while let Some(difference) = self.compare(&mut conn, &piece, first).await? {
                // What was still to come of this piece is on its way to the old connection.
                conn = open_connection(&self.store).await?;
                if self.went_to_the_archive(&difference).await? {
                    first = difference.position;
                    continue;
                }
                self.until.fetch_min(difference.position, Ordering::Relaxed);
                found = earlier(found, Some(difference));
                break;
            }
        }
    }

    /// Is what seems to be gone recorded as archived since that was looked up? It is known from now on, so one
    /// position is asked about once.
    async fn went_to_the_archive(&self, difference: &Difference) -> Result<bool, SealError> {
        let at = &difference.position;
        if difference.what != What::Gone || self.is_archived(at) {
            return Ok(false);
        }
        let now = archives(&self.store, &self.tenant).await?;
        *self
            .archives
            .write()
            .unwrap_or_else(PoisonError::into_inner) = now;
        Ok(self.is_archived(at))
    }

    fn is_archived(&self, at: &i64) -> bool {
        let archives = self.archives.read().unwrap_or_else(PoisonError::into_inner);
        archives.iter().any(|archive| archive.contains(at))
    }

    /// Goes on to the event that came next as far as those before it are archived.
    fn pass(&self, at: &mut i64, next: i64, leaves: &mut std::slice::Iter<'_, Hash>) {
        let begun = *at;
        while *at < next && self.is_archived(at) {
            *at += 1;
            leaves.next();
        }
        let passed = (*at - begun).unsigned_abs();
        self.archived.fetch_add(passed, Ordering::Relaxed);
    }

    /// Compares the events of a piece from a position on; the first difference.
    async fn compare(
        &self,
        conn: &mut PgConnection,
        piece: &Piece,
        first: i64,
    ) -> Result<Option<Difference>, SealError> {
        let last = piece.first + piece.leaves.len() as i64 - 1;
        let (send, mut chunks) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let reading = async {
            let send = send;
            let positions = first..=last;
            scan(
                conn,
                &self.tenant,
                None,
                positions,
                &send,
                |chunk: Vec<u8>| chunk,
            )
            .await
        };
        let comparing = async move {
            let mut at = first;
            let mut leaves = piece.leaves[(first - piece.first) as usize..].iter();
            while let Some(chunk) = chunks.recv().await {
                let mut compared = 0;
                let read = read_stored(&chunk, |row| {
                    self.pass(&mut at, row.position, &mut leaves);
                    let sealed = leaves.next();
                    if row.position != at {
                        return Err(What::Gone.at(at));
                    }
                    if sealed != Some(&leaf(&self.tenant, &row)) {
                        return Err(What::Changed.at(at));
                    }
                    at += 1;
                    compared += 1;
                    Ok(())
                });
                self.compared.fetch_add(compared, Ordering::Relaxed);
                read?;
            }
            self.pass(&mut at, last + 1, &mut leaves);
            if at <= last {
                Err(What::Gone.at(at))
            } else {
                Ok(())
            }
        };
        let (read, compared) = tokio::join!(reading, comparing);
        match compared {
            // Cut off by a reader that failed.
            Err(Difference {
                what: What::Gone, ..
            })
            | Ok(())
                if read.is_err() =>
            {
                read.map(|()| None).map_err(Into::into)
            }
            Err(difference) => Ok(Some(difference)),
            Ok(()) => Ok(None),
        }
    }
}
