//! Installing and removing read models of analysts: the file, and the generations that belong to it.

use std::sync::Arc;

use projections::AnyProjection;

use super::decisions::{self, Action, Decider, Subject};
use super::generations::{self, Kept};
use super::{ConsumerError, rebuild};
use crate::analysts::{self, Addition, AnalystError, Analysts, Examined, Refused};
use crate::store::Store;

/// Installs an examined file. A new projection gets its first generation, live and empty, at the log's
/// beginning; a raised version is rebuilt beside the old one by whoever serves, or by hand.
pub async fn install(
    store: &Store,
    analysts: &Analysts,
    tenant: &str,
    examined: &Examined,
    by: &str,
) -> Result<Addition, AnalystError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    generations::lock_tables(&mut tx).await?;
    let addition = analysts.record(&mut tx, tenant, examined, by).await?;
    if addition == Addition::New {
        let model = examined.model();
        let (name, version) = (model.name(), model.version());
        // Whoever still folds what was removed would go on with what has the same version.
        let used: Option<i32> = sqlx::query_scalar(
            "select max(version) from generations where tenant = $1 and projection = $2",
        )
        .bind(tenant)
        .bind(name)
        .fetch_one(&mut *tx)
        .await?;
        if let Some(used) = used.filter(|used| *used >= version) {
            return Err(Refused(format!(
                "version {used} of {name} was installed before and removed; take a higher one"
            ))
            .into());
        }
        generations::create(&mut tx, tenant, model.as_ref(), "live").await?;
    }
    tx.commit().await?;
    if addition != Addition::Same {
        let (name, version) = (examined.name(), examined.model().version());
        tracing::info!(
            tenant,
            by,
            "projection {name} is installed in version {version}"
        );
    }
    Ok(addition)
}

/// Removes an installed projection with all its generations, and ends its rebuild. Tables that are being
/// read are left, until a projection of this name is rebuilt.
pub async fn remove(
    store: &Store,
    tenant: &str,
    name: &str,
    decider: &Decider,
) -> Result<(), ConsumerError> {
    let mut tx = projections::begin(store.pool(), "begin").await?;
    generations::lock_tables(&mut tx).await?;
    if !analysts::forget(&mut tx, tenant, name).await? {
        return Err(ConsumerError::UnknownProjection(name.to_owned()));
    }
    let ended = rebuild::cancel(&mut tx, tenant, name).await?;
    if let Some(generation) = ended.last() {
        let subject = Subject {
            tenant,
            projection: name,
            generation: Some(*generation),
            position: None,
        };
        decisions::note(&mut tx, subject, Action::CancelRebuild, decider).await?;
    }
    sqlx::query(
        "update generations set state = 'kept'
         where tenant = $1 and projection = $2 and state in ('live', 'scratch')",
    )
    .bind(tenant)
    .bind(name)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    generations::drop_kept(store, tenant, name, Kept::All).await?;
    tracing::info!(tenant, "projection {name} is removed");
    Ok(())
}

/// All read models of a tenant: those of the program, then its own.
pub async fn models(
    analysts: &Analysts,
    tenant: &str,
) -> Result<Vec<Arc<dyn AnyProjection>>, ConsumerError> {
    let mut all = projections::all();
    all.extend(analysts.models(tenant).await?);
    Ok(all)
}
