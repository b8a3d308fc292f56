//! The fixes behind a trend's point.

use chrono::{DateTime, Utc};
use sqlx::{QueryBuilder, Row};

use super::NAME;
use super::scope::{Scope, push_buckets};
use crate::evidence::{
    EvidenceCursor, EvidencePage, evidence_as_of, push_page, qualified, read_page,
};
use crate::grain::{bucket_of, bucket_start, whole_buckets};
use crate::{GRAIN_S, ReadError, Snapshot, positions};

/// The fixes behind a point, `[start, end)`; by fix time, then vehicle, position and index.
/// There are as many as the point's number of fixes.
pub async fn evidence(
    snap: &mut Snapshot,
    scope: &Scope,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    after: Option<&EvidenceCursor>,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let (start, end) = whole_buckets(start, end)?;
    let start = after.map_or(start, |after| {
        start.max(bucket_start(bucket_of(after.fix_time)))
    });
    let enough = enough_buckets(snap, scope, start, end, first).await?;
    let page = fixes_in(snap, scope, start, enough, after, first).await?;
    if page.has_next || enough == end {
        return Ok(page);
    }
    if page.complete && page.fixes.len() == usize::try_from(first).unwrap_or(usize::MAX) {
        return Ok(EvidencePage {
            has_next: true,
            ..page
        });
    }
    // The history has not come as far as the figure: fewer fixes than counted. Look further.
    fixes_in(snap, scope, start, end, after, first).await
}

/// The end of so many buckets that they hold a page's fixes beside those of the first bucket, some
/// of which an earlier page may have given: so that a page costs what it shows, not the whole span.
async fn enough_buckets(
    snap: &mut Snapshot,
    scope: &Scope,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    first: u32,
) -> Result<DateTime<Utc>, ReadError> {
    let mut sql = QueryBuilder::new(
        "select bucket from (
             select bucket, sum(sum(fixes)) over (order by bucket) - first_value(sum(fixes))
                    over (order by bucket) as beyond_first
             from ",
    );
    push_buckets(&mut sql, snap, scope, start, end)?;
    sql.push(" group by bucket) b where beyond_first > ")
        .push_bind(i64::from(first));
    sql.push(" order by bucket limit 1");
    let row = sql.build().fetch_optional(snap.connection()).await?;
    match row {
        Some(row) => {
            let bucket: DateTime<Utc> = row.try_get(0)?;
            Ok(bucket_start(bucket_of(bucket) + 1))
        }
        None => Ok(end),
    }
}

async fn fixes_in(
    snap: &mut Snapshot,
    scope: &Scope,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    after: Option<&EvidenceCursor>,
    first: u32,
) -> Result<EvidencePage, ReadError> {
    let as_of = evidence_as_of(snap, NAME)?;
    let history = snap.name(positions::NAME, "positions")?;
    let columns = qualified("p");
    let mut sql = QueryBuilder::new(format!(
        "select {columns} from (select t.tenant, t.vehicle_id, t.bucket from "
    ));
    push_buckets(&mut sql, snap, scope, start, end)?;
    sql.push(format!(
        ") t join {history} p on p.tenant = t.tenant and p.vehicle_id = t.vehicle_id
             and p.fix_time >= t.bucket and p.fix_time < t.bucket + interval '{GRAIN_S} seconds'
         where true"
    ));
    push_page(&mut sql, &as_of, after, first);
    read_page(snap, sql, as_of, first).await
}
