//! The tables of objectives.

use crate::Target;

/// Statements that make the tables.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    vec![
        slos(target),
        revisions(target),
        exclusions(target),
        alerts(target),
        alerts_index(target),
    ]
}

fn slos(target: &Target<'_>) -> String {
    let table = target.table("slos");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            slo_id         text collate "C" not null, -- the objective
            name           text, -- what it is called now
            sli            text collate "C", -- word of what is measured now
            project        text collate "C", -- of which project; null: of any
            service        text collate "C", -- of which service; null: of any
            environment    text collate "C", -- in which environment; null: in any
            objective_pos  bigint not null default 0, -- position that said these five
            defined_at     timestamptz, -- recorded time of its first revision
            defined_pos    bigint not null default 0, -- position that said so
            retired_at     timestamptz, -- since when it is measured no more; null while it is
            retired_reason text, -- why
            retired_pos    bigint not null default 0, -- position that said so
            stream_version bigint not null, -- version of its stream
            position       bigint not null, -- position of its last event
            primary key (tenant, slo_id))"#
    )
}

fn revisions(target: &Target<'_>) -> String {
    let table = target.table("slo_revisions");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            slo_id         text collate "C" not null, -- of which objective
            position       bigint not null, -- position of the event
            stream_version bigint not null, -- version of the stream from then on
            at             timestamptz not null, -- recorded time
            revision       bigint not null, -- its number: 1 for the first
            objective      jsonb not null, -- what it says, whole
            primary key (tenant, slo_id, position))"#
    )
}

fn exclusions(target: &Target<'_>) -> String {
    let table = target.table("slo_exclusions");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            slo_id         text collate "C" not null, -- of which objective
            position       bigint not null, -- position of the event
            stream_version bigint not null, -- version of the stream from then on
            at             timestamptz not null, -- recorded time
            from_at        timestamptz not null, -- what happened from then on does not count
            to_at          timestamptz not null, -- up to then
            reason         text not null, -- why
            primary key (tenant, slo_id, position))"#
    )
}

fn alerts(target: &Target<'_>) -> String {
    let table = target.table("slo_alerts");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            slo_id         text collate "C" not null, -- of which objective
            position       bigint not null, -- position of the event
            stream_version bigint not null, -- version of the stream from then on
            at             timestamptz not null, -- recorded time
            raised         boolean not null, -- did it go up? else it went down
            revision       bigint not null, -- of which revision: of another one it does not count
            long_minutes   bigint not null, -- the rule's long span
            short_minutes  bigint not null, -- its short one
            factor_milli   bigint not null, -- the burn rate that is too fast, in thousandths
            long_milli     bigint not null, -- the burn rate measured over the long span
            short_milli    bigint not null, -- and over the short one
            measured_pos   bigint not null, -- position up to which was counted
            primary key (tenant, slo_id, position))"#
    )
}

/// The last word on each rule of a revision.
fn alerts_index(target: &Target<'_>) -> String {
    let (table, generation) = (target.table("slo_alerts"), target.generation);
    format!(
        "create index if not exists slo_alerts_g{generation}_rule on {table}
         (tenant, slo_id, revision, long_minutes, short_minutes, factor_milli, position desc)"
    )
}
