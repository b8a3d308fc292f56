//! A trial fold: events of late, at once and in two parts. A fold whose parts do not merge to the
//! whole is found out before it is installed, if these events show it.

use std::sync::Arc;

use domain::Position;

use super::model::{Said, SqlProjection};
use super::{AnalystError, Analysts, Refused, merge};
use crate::store::{EventFilter, PageLimits, StoreError};

/// At most so many events are tried.
const EVENTS_MAX: i64 = 400;

/// They are looked for among so many of the log's last.
const LOOKED_THROUGH_MAX: i64 = 10_000;

/// Tables of the trial, gone with its transaction.
const TABLES: [&str; 2] = ["pg_temp.daybook_whole", "pg_temp.daybook_parts"];

/// Where nobody may make temporary tables there is no trial.
fn is_denied(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.as_deref() == Some("42501")
}

impl Analysts {
    /// Folds events of late both ways and compares.
    pub(super) async fn try_out(
        &self,
        tenant: &str,
        model: &SqlProjection,
    ) -> Result<(), AnalystError> {
        let events = self.of_late(tenant, model).await?;
        let (odd, even): (Vec<_>, Vec<_>) = events
            .iter()
            .cloned()
            .partition(|event| event.position() % 2 == 1);
        let whole = model.reduce(&events).await?;
        let parts = [model.reduce(&odd).await?, model.reduce(&even).await?];

        let mut tx = projections::begin(self.pool(), "begin").await?;
        let folded = [
            (TABLES[0], &whole),
            (TABLES[1], &parts[0]),
            (TABLES[1], &parts[1]),
        ];
        for (table, rows) in folded {
            let made = sqlx::query(&merge::table(model.header(), table))
                .execute(&mut *tx)
                .await;
            match made {
                Err(error) if is_denied(&error) => return Ok(()),
                made => made?,
            };
            let merged = sqlx::query(&merge::upsert(model.header(), table))
                .bind(tenant)
                .bind(format!("[{}]", rows.join(",")))
                .execute(&mut *tx)
                .await;
            merged.map_err(|e| AnalystError::of_statement(e, model.time_max()))?;
        }
        let rows = |table: &str| format!("select t::text from {table} t where tenant = $1");
        let (whole, parts) = (rows(TABLES[0]), rows(TABLES[1]));
        let differing: i64 = sqlx::query_scalar(&format!(
            "select count(*) from (({whole} except {parts}) union all ({parts} except {whole})) d"
        ))
        .bind(tenant)
        .fetch_one(&mut *tx)
        .await?;
        tx.rollback().await?;
        match differing {
            0 => Ok(()),
            _ => Err(Refused::new(format!(
                "folded in two parts, {} events of the log give other rows than folded at once: what the SQL \
                 yields cannot be merged by its rules",
                events.len()
            ))
            .into()),
        }
    }

    async fn of_late(
        &self,
        tenant: &str,
        model: &SqlProjection,
    ) -> Result<Vec<Arc<Said>>, AnalystError> {
        let store = &self.0.store;
        let types = model.header().events.iter().map(|e| (*e).to_owned());
        let filter = EventFilter {
            event_types: Some(types.collect()),
            ..EventFilter::default()
        };
        let head = store.head(tenant).await?;
        let after = Position((head.0 - LOOKED_THROUGH_MAX).max(0));
        let limits = PageLimits {
            events_max: EVENTS_MAX,
            up_to: head,
            ..PageLimits::default()
        };
        let page = store
            .read_filtered(&tenant.into(), &filter, after, limits)
            .await;
        let page = match page {
            Err(StoreError::Archived { .. }) => return Ok(Vec::new()),
            page => page?,
        };
        // What cannot be read is poison to every read model, and shows when it is folded.
        let read = page.events.iter().filter_map(|event| event.decode().ok());
        Ok(read
            .filter_map(|event| Said::of(&event).ok().map(Arc::new))
            .collect())
    }
}
