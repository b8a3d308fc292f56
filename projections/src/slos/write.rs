//! How a delta gets into the tables of objectives.

use std::collections::HashMap;

use domain::slo::Objective;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Alert, Delta, Exclusion, Fact, Revision, SloChange};
use crate::Target;
use crate::latest::{last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const SLOS: Rows = Rows {
    key: &[("slo_id", "text")],
    said: &[
        Said {
            position: "objective_pos",
            columns: &[
                ("name", "text"),
                ("sli", "text"),
                ("project", "text"),
                ("service", "text"),
                ("environment", "text"),
            ],
        },
        Said {
            position: "defined_pos",
            columns: &[("defined_at", "timestamptz")],
        },
        Said {
            position: "retired_pos",
            columns: &[("retired_at", "timestamptz"), ("retired_reason", "text")],
        },
    ],
    sums: &[],
    greatest: &["stream_version", "position"],
};

/// Writes the tables in one order, each in key order, so that two writers cannot wait for each other.
pub(super) async fn delta(
    conn: &mut PgConnection,
    target: &Target<'_>,
    delta: Delta,
) -> Result<(), sqlx::Error> {
    slos(conn, target, delta.slos).await?;
    revisions(conn, target, delta.revisions).await?;
    exclusions(conn, target, delta.exclusions).await?;
    alerts(conn, target, delta.alerts).await
}

async fn slos(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, SloChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let objective = |c: &SloChange| -> Option<Objective> { last(&c.objective).cloned() };
    let scope = |c: &SloChange| objective(c).map(|o| o.scope).unwrap_or_default();
    sqlx::query(&SLOS.upsert(&target.table("slos")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| objective(c).map(|o| o.name)))
        .bind(column.of(|c| objective(c).map(|o| o.sli.as_str())))
        .bind(column.of(|c| scope(c).project))
        .bind(column.of(|c| scope(c).service))
        .bind(column.of(|c| scope(c).environment))
        .bind(column.of(|c| said_at(&c.objective)))
        .bind(column.of(|c| last(&c.defined_at).copied()))
        .bind(column.of(|c| said_at(&c.defined_at)))
        .bind(column.of(|c| last(&c.retired).map(|r| r.at)))
        .bind(column.of(|c| last(&c.retired).and_then(|r| r.reason.clone())))
        .bind(column.of(|c| said_at(&c.retired)))
        .bind(column.of(|c| c.version))
        .bind(column.of(|c| c.position))
        .execute(conn)
        .await?;
    Ok(())
}

/// Facts by their objective and position, ready to be written. A fact is an event, so it is never there
/// already.
struct Facts<T>(Vec<((String, i64), Fact<T>)>);

impl<T> Facts<T> {
    /// `None` if there is nothing to be written.
    fn of(facts: HashMap<(String, i64), Fact<T>>) -> Option<Facts<T>> {
        (!facts.is_empty()).then(|| Facts(in_key_order(facts)))
    }

    /// The statement: tenant, objectives, positions, versions and times are bound first, then one array
    /// for each of these columns.
    fn insert(table: &str, columns: &[(&str, &str)]) -> String {
        let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
        let arrays = (6..).zip(columns);
        let arrays: Vec<_> = arrays
            .map(|(n, (_, kind))| format!("${n}::{kind}[]"))
            .collect();
        format!(
            "insert into {table} (tenant, slo_id, position, stream_version, at, {})
             select $1, n.* from unnest($2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[], {}) n",
            names.join(", "),
            arrays.join(", ")
        )
    }

    fn ids(&self) -> Vec<&str> {
        self.0.iter().map(|((id, _), _)| id.as_str()).collect()
    }

    fn positions(&self) -> Vec<i64> {
        self.0.iter().map(|((_, position), _)| *position).collect()
    }

    fn of_fact<V>(&self, value: impl Fn(&Fact<T>) -> V) -> Vec<V> {
        Column(&self.0).of(value)
    }

    fn told<V>(&self, value: impl Fn(&T) -> V) -> Vec<V> {
        self.of_fact(|fact| value(&fact.told))
    }
}

async fn revisions(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(String, i64), Fact<Revision>>,
) -> Result<(), sqlx::Error> {
    let Some(facts) = Facts::of(facts) else {
        return Ok(());
    };
    let columns = [("revision", "bigint"), ("objective", "jsonb")];
    let statement = Facts::<Revision>::insert(&target.table("slo_revisions"), &columns);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(facts.ids())
        .bind(facts.positions())
        .bind(facts.of_fact(|f| f.version))
        .bind(facts.of_fact(|f| f.at))
        .bind(facts.told(|r| i64::from(r.number)))
        .bind(facts.told(|r| Json(r.objective.clone())))
        .execute(conn)
        .await?;
    Ok(())
}

async fn exclusions(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(String, i64), Fact<Exclusion>>,
) -> Result<(), sqlx::Error> {
    let Some(facts) = Facts::of(facts) else {
        return Ok(());
    };
    let columns = [
        ("from_at", "timestamptz"),
        ("to_at", "timestamptz"),
        ("reason", "text"),
    ];
    let statement = Facts::<Exclusion>::insert(&target.table("slo_exclusions"), &columns);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(facts.ids())
        .bind(facts.positions())
        .bind(facts.of_fact(|f| f.version))
        .bind(facts.of_fact(|f| f.at))
        .bind(facts.told(|e| e.from))
        .bind(facts.told(|e| e.to))
        .bind(facts.told(|e| e.reason.clone()))
        .execute(conn)
        .await?;
    Ok(())
}

async fn alerts(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(String, i64), Fact<Alert>>,
) -> Result<(), sqlx::Error> {
    let Some(facts) = Facts::of(facts) else {
        return Ok(());
    };
    let columns = [
        ("raised", "boolean"),
        ("revision", "bigint"),
        ("long_minutes", "bigint"),
        ("short_minutes", "bigint"),
        ("factor_milli", "bigint"),
        ("long_milli", "bigint"),
        ("short_milli", "bigint"),
        ("measured_pos", "bigint"),
    ];
    let statement = Facts::<Alert>::insert(&target.table("slo_alerts"), &columns);
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(facts.ids())
        .bind(facts.positions())
        .bind(facts.of_fact(|f| f.version))
        .bind(facts.of_fact(|f| f.at))
        .bind(facts.told(|a| a.raised))
        .bind(facts.told(|a| i64::from(a.revision)))
        .bind(facts.told(|a| i64::from(a.rule.long_minutes)))
        .bind(facts.told(|a| i64::from(a.rule.short_minutes)))
        .bind(facts.told(|a| i64::from(a.rule.factor_milli)))
        .bind(facts.told(|a| saturated(a.rates.long_milli)))
        .bind(facts.told(|a| saturated(a.rates.short_milli)))
        .bind(facts.told(|a| a.rates.position.0))
        .execute(conn)
        .await?;
    Ok(())
}

/// A burn rate that no column holds is as fast as one can be told: a budget of one in a million burns a
/// billion thousandths fast at most.
fn saturated(milli: u64) -> i64 {
    i64::try_from(milli).unwrap_or(i64::MAX)
}
