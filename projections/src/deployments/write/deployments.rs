//! Deployments: how a delta gets into their rows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::deployment::Plan;
use sqlx::PgConnection;

use crate::Target;
use crate::deployments::{Content, DeploymentChange, Mark, Planned, RolledBack};
use crate::latest::{last, said_at};
use crate::upsert::{Column, Rows, Said, in_key_order};

const ROWS: Rows = Rows {
    key: &[("deployment_id", "text")],
    said: &[
        Said {
            position: "plan_pos",
            columns: &[
                ("project", "text"),
                ("service", "text"),
                ("environment", "text"),
                ("tier", "text"),
                ("previous_version", "text"),
                ("reason", "text"),
                ("change_type", "text"),
                ("team", "text"),
                ("remedies", "text"),
                ("external_source", "text"),
                ("external_id", "text"),
                ("requested_kind", "text"),
                ("requested_by", "text"),
                ("requested_sealed", "text"),
                ("plan_event", "uuid"),
                ("known_at", "timestamptz"),
            ],
        },
        Said {
            position: "content_pos",
            columns: &[
                ("version", "text"),
                ("description", "text"),
                ("revision", "bigint"),
            ],
        },
        Said {
            position: "status_pos",
            columns: &[("status", "text")],
        },
        Said {
            position: "policy_pos",
            columns: &[("self_review_barred", "bool")],
        },
        Said {
            position: "times_pos",
            columns: &[
                ("asked_at", "timestamptz"),
                ("wait_until", "timestamptz"),
                ("expires_at", "timestamptz"),
            ],
        },
        Said {
            position: "rolled_back_pos",
            columns: &[
                ("rolled_back_at", "timestamptz"),
                ("rolled_back_to", "text"),
            ],
        },
        mark("requested_pos", &[("requested_at", "timestamptz")]),
        mark("approved_pos", &[("approved_at", "timestamptz")]),
        mark("voted_pos", &[("voted_at", "timestamptz")]),
        mark("started_pos", &[("started_at", "timestamptz")]),
        mark("succeeded_pos", &[("succeeded_at", "timestamptz")]),
        mark("failed_pos", &[("failed_at", "timestamptz")]),
        mark("closed_pos", &[("closed_at", "timestamptz")]),
    ],
    sums: &["change_facts", "failure_facts"],
    greatest: &["changes_from", "stream_version", "position"],
};

const fn mark(position: &'static str, columns: &'static [(&'static str, &'static str)]) -> Said {
    Said { position, columns }
}

/// The marks in the order of [`ROWS`].
const MARKS: [fn(&DeploymentChange) -> &Mark; 7] = [
    |c| &c.requested,
    |c| &c.approved,
    |c| &c.voted,
    |c| &c.started,
    |c| &c.succeeded,
    |c| &c.failed,
    |c| &c.closed,
];

pub(super) async fn deployments(
    conn: &mut PgConnection,
    target: &Target<'_>,
    changes: HashMap<String, DeploymentChange>,
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let changes = in_key_order(changes);
    let column = Column(&changes);
    let planned = |text: fn(&Planned) -> Option<String>| {
        column.of(|c: &DeploymentChange| last(&c.plan).and_then(text))
    };
    let of_plan = |text: fn(&Plan) -> Option<String>| {
        column.of(|c: &DeploymentChange| last(&c.plan).and_then(|p| text(&p.plan)))
    };
    let statement = ROWS.upsert(&target.table("deployments"));
    let mut query = sqlx::query(&statement)
        .bind(target.tenant)
        .bind(column.keys())
        .bind(of_plan(|p| Some(p.project.clone())))
        .bind(of_plan(|p| Some(p.service.clone())))
        .bind(of_plan(|p| Some(p.environment.clone())))
        .bind(column.of(|c| last(&c.plan).map(|p| p.tier)))
        .bind(of_plan(|p| p.previous_version.clone()))
        .bind(column.of(|c| last(&c.plan).map(|p| p.plan.reason.as_str())))
        .bind(of_plan(|p| p.change_type.clone()))
        .bind(of_plan(|p| p.team.clone()))
        .bind(of_plan(|p| p.remedies.clone()))
        .bind(of_plan(|p| p.external.as_ref().map(|e| e.source.clone())))
        .bind(of_plan(|p| p.external.as_ref().map(|e| e.id.clone())))
        .bind(column.of(|c| last(&c.plan).and_then(|p| p.requested_kind)))
        .bind(planned(|p| p.requested_by.clone()))
        .bind(planned(|p| p.requested_sealed.clone()))
        .bind(column.of(|c| last(&c.plan).map(|p| p.event)))
        .bind(column.of(|c| last(&c.plan).map(|p| p.known_at)))
        .bind(column.of(|c| said_at(&c.plan)))
        .bind(column.of(|c| content(c).map(|c| c.version.clone())))
        .bind(column.of(|c| content(c).and_then(|c| c.description.clone())))
        .bind(column.of(|c| content(c).map(|c| c.revision)))
        .bind(column.of(|c| said_at(&c.content)))
        .bind(column.of(|c| last(&c.status).copied()))
        .bind(column.of(|c| said_at(&c.status)))
        .bind(column.of(|c| last(&c.self_review_barred).copied()))
        .bind(column.of(|c| said_at(&c.self_review_barred)))
        .bind(column.of(|c| last(&c.times).map(|t| t.asked_at)))
        .bind(column.of(|c| last(&c.times).map(|t| t.wait_until)))
        .bind(column.of(|c| last(&c.times).map(|t| t.expires_at)))
        .bind(column.of(|c| said_at(&c.times)))
        .bind(column.of(|c| rolled_back(c).and_then(|b| b.at)))
        .bind(column.of(|c| rolled_back(c).and_then(|b| b.to.clone())))
        .bind(column.of(|c| said_at(&c.rolled_back)));
    for mark in MARKS {
        query = query
            .bind(column.of(|c| time(mark(c))))
            .bind(column.of(|c| said_at(mark(c))));
    }
    query
        .bind(column.of(|c| c.change_facts))
        .bind(column.of(|c| c.failure_facts))
        .bind(column.of(|c| c.changes_from))
        .bind(column.of(|c| c.seen.version))
        .bind(column.of(|c| c.seen.position))
        .execute(conn)
        .await?;
    Ok(())
}

fn content(c: &DeploymentChange) -> Option<&Content> {
    last(&c.content)
}

fn rolled_back(c: &DeploymentChange) -> Option<&RolledBack> {
    last(&c.rolled_back)
}

fn time(mark: &Mark) -> Option<DateTime<Utc>> {
    last(mark).copied().flatten()
}
