//! Incidents and what happened to them: how a delta gets into their tables.

use std::collections::HashMap;

use domain::incident::IncidentReport;
use sqlx::PgConnection;

use crate::Target;
use crate::deployments::{Fact, IncidentChange};
use crate::latest::{last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const INCIDENTS: Rows = Rows {
    key: &[("incident_id", "text")],
    said: &[
        Said {
            position: "report_pos",
            columns: &[
                ("title", "text"),
                ("severity", "text"),
                ("project", "text"),
                ("service", "text"),
                ("environment", "text"),
                ("opened_at", "timestamptz"),
                ("external_source", "text"),
                ("external_id", "text"),
            ],
        },
        Said {
            position: "resolved_pos",
            columns: &[("resolved_at", "timestamptz")],
        },
    ],
    sums: &[],
    greatest: &["stream_version", "position"],
};

pub(super) async fn incidents(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, IncidentChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let external = |c: &IncidentChange| report(c).and_then(|r| r.external.clone());
    sqlx::query(&INCIDENTS.upsert(&target.table("incidents")))
        .bind(target.tenant)
        .bind(column.keys())
        .bind(column.of(|c| report(c).map(|r| r.title.clone())))
        .bind(column.of(|c| report(c).map(|r| r.severity.as_str())))
        .bind(column.of(|c| report(c).map(|r| r.project.clone())))
        .bind(column.of(|c| report(c).and_then(|r| r.service.clone())))
        .bind(column.of(|c| report(c).and_then(|r| r.environment.clone())))
        .bind(column.of(|c| report(c).map(|r| r.opened_at)))
        .bind(column.of(|c| external(c).map(|e| e.source)))
        .bind(column.of(|c| external(c).map(|e| e.id)))
        .bind(column.of(|c| said_at(&c.report)))
        .bind(column.of(|c| last(&c.resolved).copied().flatten()))
        .bind(column.of(|c| said_at(&c.resolved)))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn report(c: &IncidentChange) -> Option<&IncidentReport> {
    last(&c.report)
}

/// A fact is an event, so it is never there already.
pub(super) async fn facts(
    conn: &mut PgConnection,
    target: &Target<'_>,
    facts: HashMap<(String, i64), Fact>,
) -> Result<(), sqlx::Error> {
    if facts.is_empty() {
        return Ok(());
    }
    let facts = in_key_order(facts);
    let column = Column(&facts);
    let (ids, positions): (Vec<&str>, Vec<i64>) = facts
        .iter()
        .map(|((id, position), _)| (id.as_str(), *position))
        .unzip();
    let statement = format!(
        "insert into {} (tenant, incident_id, position, kind, at, deployment_id, link, rule)
         select $1, n.* from unnest($2::text[], $3::bigint[], $4::text[], $5::timestamptz[],
                                    $6::text[], $7::text[], $8::text[]) n",
        target.table("incident_facts")
    );
    sqlx::query(&statement)
        .bind(target.tenant)
        .bind(ids)
        .bind(positions)
        .bind(column.of(|f| f.kind))
        .bind(column.of(|f| f.at))
        .bind(column.of(|f| f.deployment.clone()))
        .bind(column.of(|f| f.link))
        .bind(column.of(|f| f.rule.clone()))
        .execute(conn)
        .await?;
    Ok(())
}
