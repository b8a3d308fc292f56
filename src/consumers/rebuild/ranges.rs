//! Folding the log's ranges in parallel. A worker is a line of three: one reads a range's bytes,
//! one decodes and folds them on a thread of its own, one writes what they add up to.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::Position;
use projections::{AnyDelta, AnyProjection};
use sqlx::{Connection, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::plan::{self, Plan};
use super::turns::Turns;
use super::{FAULTS_MAX, Job, Phase, RebuildError};
use crate::consumers::connection;
use crate::consumers::retry::{Backoff, Fault, guarded};
use crate::store::{Rows, check_held, scan};

/// Chunks read ahead of the fold, per worker.
const CHUNKS_AHEAD_MAX: usize = 4;

/// Deltas that wait to be written, per worker, beside the one being written and the one being
/// folded.
const CUTS_AHEAD_MAX: usize = 1;

/// A worker that waits for its place looks once in so many milliseconds whether there is anything left to do.
const PLACE_LOOK_MS: u64 = 200;

/// Folds every range that is not done yet. Faults of the database are waited out: what was written
/// stays, the rest is done again.
pub(super) async fn fold_all(job: &Job, plan: &Plan) -> Result<(), RebuildError> {
    if !plan.folding {
        return Ok(());
    }
    job.meter.enter(Phase::Folding);
    let mut backoff = Backoff::new(job.settings.retry_ms_min, job.settings.retry_ms_max);
    // set once two workers' rows have crossed
    let mut one_at_a_time = false;
    let mut given_up = BTreeSet::new();
    let mut left = plan.ranges.clone();
    let first = left.first().map_or(plan.to.0 + 1, |range| range.0);
    let turns = Arc::new(Turns::new(job.options.slowdown_max));
    loop {
        let done_before = job.meter.folded();
        let line = Line {
            job: job.clone(),
            plan: plan.clone(),
            given_up: Arc::new(given_up.clone()),
            ranges: Arc::new(Mutex::new(Shares::of(left, plan.workers.max(1)))),
            writing: one_at_a_time.then(Arc::default),
            turns: turns.clone(),
        };
        let worked = tokio::select! {
            biased;
            worked = work(line) => worked,
            never = turns.keep(job.store.pool()) => match never {},
        };
        match worked {
            // a partition may have been taken away in the middle
            Ok(()) => {
                plan::check_held_from(job, first, plan.to).await?;
                return plan::folded(job, plan).await;
            }
            Err(RebuildError::Poison { position, .. })
                if plan.forgiven.contains(&position.0) && given_up.insert(position.0) =>
            {
                plan::forgive(job, plan, position).await?;
            }
            Err(error) if error.may_pass() && backoff.faults < FAULTS_MAX => {
                one_at_a_time |= error.is_deadlock();
                backoff.wait().await;
            }
            Err(error) => return Err(error),
        }
        if job.meter.folded() > done_before {
            backoff.reset();
        }
        left = plan::ranges_left(job, plan).await?;
    }
}

/// What the workers have in common.
#[derive(Clone)]
struct Line {
    job: Job,
    plan: Plan,
    /// Events that cannot be folded and that someone had decided to go on without.
    given_up: Arc<BTreeSet<i64>>,
    ranges: Arc<Mutex<Shares>>,
    /// Held while writing, if only one may.
    writing: Option<Arc<tokio::sync::Mutex<()>>>,
    turns: Arc<Turns>,
}

/// First and last position.
type Range = (i64, i64);

/// The ranges to fold. Each worker goes through neighbours, so that two hardly ever write the same
/// rows, and helps out where most is left once it is through.
struct Shares(Vec<VecDeque<Range>>);

impl Shares {
    fn of(ranges: Vec<Range>, workers: usize) -> Shares {
        let each = ranges.len().div_ceil(workers).max(1);
        let mut shares: Vec<_> = ranges
            .chunks(each)
            .map(|share| share.iter().copied().collect())
            .collect();
        shares.resize_with(workers, VecDeque::new);
        Shares(shares)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }

    fn next(&mut self, worker: usize) -> Option<Range> {
        self.0[worker].pop_front().or_else(|| {
            let longest = self.0.iter_mut().max_by_key(|share| share.len());
            longest.and_then(VecDeque::pop_back)
        })
    }
}

/// From the reader to the folder.
enum Piece {
    /// A range begins.
    Range(Range),
    /// Some of its events.
    Chunk(Vec<u8>),
    /// There are no more. A range without an end is one whose reader failed: it is not written.
    End,
}

/// From the folder to the writer: all of a range up to a position.
struct Cut {
    range: Range,
    up_to: i64,
    delta: AnyDelta,
}

/// Runs all workers to the end, or until the first of them fails.
async fn work(line: Line) -> Result<(), RebuildError> {
    let mut workers = JoinSet::new();
    for number in 0..line.plan.workers.max(1) {
        workers.spawn(worker(line.clone(), number));
    }
    while let Some(ended) = workers.join_next().await {
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
    }
    Ok(())
}

async fn worker(line: Line, number: usize) -> Result<(), RebuildError> {
    let Some(_place) = place(&line).await else {
        return Ok(());
    };
    let (to_folder, pieces) = mpsc::channel(CHUNKS_AHEAD_MAX);
    let (to_writer, cuts) = mpsc::channel(CUTS_AHEAD_MAX);
    let folder = {
        let line = line.clone();
        tokio::task::spawn_blocking(move || fold(&line, pieces, &to_writer))
    };
    let reading = read(&line, number, to_folder);
    let folding = async {
        folder
            .await
            .unwrap_or_else(|ended| match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // the process ends
                Err(_) => Err(RebuildError::Unfolded),
            })
    };
    let writing = write(&line, cuts);
    // the one who fails ends the channels of the others; the last of the line knows best why
    let (read, folded, written) = tokio::join!(reading, folding, writing);
    written.and(folded).and(read)
}

/// Waits for a place among all workers of the process. None if others have taken all ranges meanwhile.
async fn place(line: &Line) -> Option<OwnedSemaphorePermit> {
    let place = line.job.options.places.clone().acquire_owned();
    tokio::pin!(place);
    let mut looks = interval(Duration::from_millis(PLACE_LOOK_MS));
    loop {
        tokio::select! {
            biased;
            // nobody closes it
            place = &mut place => return place.ok(),
            _ = looks.tick() => {
                if line.ranges.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                    return None;
                }
            }
        }
    }
}

/// Reads one range after the other.
async fn read(line: &Line, worker: usize, to: mpsc::Sender<Piece>) -> Result<(), RebuildError> {
    let mut conn = connection::open(&line.job.store).await?;
    let types = line.job.projection.aggregates();
    loop {
        let next = line
            .ranges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(worker);
        let Some(range) = next else { return Ok(()) };
        if to.send(Piece::Range(range)).await.is_err() {
            return Ok(());
        }
        scan(
            &mut conn,
            &line.job.tenant,
            Some(types),
            range.0..=range.1,
            &to,
            Piece::Chunk,
        )
        .await?;
        if to.is_closed() {
            return Ok(());
        }
        // A range that was taken to the archive before it was read has told nothing.
        check_held(&mut conn, &line.job.tenant, range.0..=range.1).await?;
        if to.send(Piece::End).await.is_err() {
            return Ok(());
        }
    }
}

/// Decodes and folds, and cuts a range where its delta has grown large. Runs on its own thread.
fn fold(
    line: &Line,
    mut pieces: mpsc::Receiver<Piece>,
    to: &mpsc::Sender<Cut>,
) -> Result<(), RebuildError> {
    let (projection, meter) = (line.job.projection.as_ref(), &line.job.meter);
    let mut rows = Rows::new(line.job.tenant.clone());
    let mut open: Option<(Range, i64, AnyDelta)> = None;
    while let Some(piece) = pieces.blocking_recv() {
        match (piece, &mut open) {
            (Piece::Range(range), _) => open = Some((range, range.0 - 1, projection.delta())),
            (Piece::Chunk(chunk), Some((range, reached, delta))) => {
                let turn = line.turns.turn_blocking();
                let last = fold_chunk(line, &mut rows, &chunk, delta)?.unwrap_or(*reached);
                drop(turn);
                meter.fold((last - *reached) as u64);
                *reached = last;
                let rows_max = line.turns.rows_max(line.job.options.rows_max);
                if projection.rows(delta) >= rows_max && last < range.1 {
                    let delta = std::mem::replace(delta, projection.delta());
                    let cut = Cut {
                        range: *range,
                        up_to: last,
                        delta,
                    };
                    range.0 = last + 1;
                    if to.blocking_send(cut).is_err() {
                        return Ok(());
                    }
                }
            }
            (Piece::End, open) => {
                let (range, reached, delta) = open.take().expect("an end follows its beginning");
                meter.fold((range.1 - reached) as u64);
                if to
                    .blocking_send(Cut {
                        range,
                        up_to: range.1,
                        delta,
                    })
                    .is_err()
                {
                    return Ok(());
                }
            }
            (Piece::Chunk(_), None) => unreachable!("a chunk follows its range's beginning"),
        }
    }
    Ok(())
}

/// Folds a chunk into the delta. Answers the last position in it.
fn fold_chunk(
    line: &Line,
    rows: &mut Rows,
    chunk: &[u8],
    delta: &mut AnyDelta,
) -> Result<Option<i64>, RebuildError> {
    let projection: &dyn AnyProjection = line.job.projection.as_ref();
    let mut last = None;
    rows.read(chunk, |scanned| {
        let position = scanned.position;
        last = Some(position.0);
        if line.given_up.contains(&position.0) {
            return Ok(());
        }
        let folded = scanned.event.and_then(|event| {
            guarded(|| projection.fold(delta, &event).map_err(|poison| poison.0))
        });
        folded.map_err(|reason| RebuildError::Poison { position, reason })
    })?;
    Ok(last)
}

/// Writes one cut after the other, each with its mark in one transaction.
async fn write(line: &Line, mut cuts: mpsc::Receiver<Cut>) -> Result<(), RebuildError> {
    let mut conn = connection::open(&line.job.store).await?;
    while let Some(cut) = cuts.recv().await {
        let _alone = match &line.writing {
            Some(writing) => Some(writing.lock().await),
            None => None,
        };
        let _turn = line.turns.turn().await;
        write_cut(&mut conn, line, cut).await?;
    }
    Ok(())
}

async fn write_cut(conn: &mut PgConnection, line: &Line, cut: Cut) -> Result<(), RebuildError> {
    let (job, generation) = (&line.job, line.plan.generation);
    let (tenant, name) = (&*job.tenant, job.projection.name());
    let mut tx = conn
        .begin_with("begin; set local synchronous_commit = off")
        .await?;
    plan::hold(&mut tx, job, &line.plan).await?;
    let marked = sqlx::query(
        "update rebuild_ranges set done = true, to_position = $5
         where tenant = $1 and projection = $2 and generation = $3 and from_position = $4
           and not done",
    )
    .bind(tenant)
    .bind(name)
    .bind(generation)
    .bind(cut.range.0)
    .bind(cut.up_to)
    .execute(&mut *tx)
    .await?;
    if marked.rows_affected() != 1 {
        return Err(RebuildError::LeaseLost);
    }
    if cut.up_to < cut.range.1 {
        sqlx::query("insert into rebuild_ranges values ($1, $2, $3, $4, $5, false)")
            .bind(tenant)
            .bind(name)
            .bind(generation)
            .bind(cut.up_to + 1)
            .bind(cut.range.1)
            .execute(&mut *tx)
            .await?;
    }
    let target = line.plan.target(job);
    let written = match &line.plan.filling {
        Some(filling) => {
            let fill = job.projection.fill(&mut tx, &target, cut.delta, filling);
            fill.await
        }
        None => job.projection.write(&mut tx, &target, cut.delta).await,
    };
    written.map_err(|error| unwritable(error, line, &cut.range, cut.up_to))?;
    tx.commit().await?;
    Ok(())
}

impl Plan {
    /// The first event in a range that someone decided to go on without, of those not given up yet.
    pub(super) fn decided(
        &self,
        within: RangeInclusive<i64>,
        given_up: &BTreeSet<i64>,
    ) -> Option<Position> {
        let mut decided = self.forgiven.range(within);
        let position = decided.find(|position| !given_up.contains(position));
        position.copied().map(Position)
    }
}

/// A write that fails the same way every time is about some event of the cut: about one that someone had
/// decided to go on without, if there is one left.
fn unwritable(error: sqlx::Error, line: &Line, range: &Range, up_to: i64) -> RebuildError {
    let fault = Fault::of(&error);
    let decided = line.plan.decided(range.0..=up_to, &line.given_up);
    match fault {
        Fault::Passing => error.into(),
        Fault::TooLong | Fault::OfRow | Fault::Lasting => RebuildError::Poison {
            position: decided
                .filter(|_| fault == Fault::OfRow)
                .unwrap_or(Position(range.0)),
            reason: format!(
                "positions {} to {up_to} cannot be written: {error}",
                range.0
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_folded_once_and_neighbours_by_one_worker() {
        let ranges: Vec<Range> = (0..7).map(|n| (n * 10 + 1, n * 10 + 10)).collect();
        let mut shares = Shares::of(ranges.clone(), 2);
        let all: Vec<Range> = shares.0.iter().flatten().copied().collect();
        assert_eq!(all, ranges);
        assert_eq!(shares.next(0), Some((1, 10)));
        assert_eq!(shares.next(1), Some((41, 50)));
        let mut rest: Vec<Range> = std::iter::from_fn(|| shares.next(1)).collect();
        assert_eq!(rest[..2], [(51, 60), (61, 70)]);
        assert_eq!(rest[2], (31, 40), "where most is left, from its end");
        rest.sort_unstable();
        assert_eq!(rest.len(), 5);
        assert_eq!(Shares::of(Vec::new(), 3).next(2), None);
    }
}
