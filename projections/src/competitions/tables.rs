//! The tables of competitions.

use crate::Target;

/// Statements that make the tables.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let mut statements = competitions(target).to_vec();
    statements.extend(entries(target));
    statements.extend(memberships(target));
    statements.extend(scores(target));
    statements.push(tallies(target));
    statements.extend(held(target));
    statements.push(periods(target));
    statements.extend(awards(target));
    statements
}

fn index(target: &Target<'_>, base: &str, name: &str, rest: &str) -> String {
    let (table, generation) = (target.table(base), target.generation);
    format!("create index if not exists {base}_g{generation}_{name} on {table} {rest}")
}

fn competitions(target: &Target<'_>) -> [String; 2] {
    let table = target.table("competitions");
    let make = format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- the competition
            rules          jsonb, -- what counts, how, when, for whom; null: only entries were seen yet
            rules_pos      bigint not null default 0, -- position that said so
            prizes         jsonb, -- what its places are worth; null: nothing
            prizes_pos     bigint not null default 0, -- position that said so
            status         text collate "C", -- word of where it stands
            status_pos     bigint not null default 0, -- position that said so
            created_at     timestamptz, -- when it was written down (recorded time)
            created_pos    bigint not null default 0, -- position that said so
            opened_at      timestamptz, -- when it could be joined
            opened_pos     bigint not null default 0, -- position that said so
            cut_at         timestamptz, -- the first moment after it, where it was cut short
            cut_pos        bigint not null default 0, -- position that said so
            ended_at       timestamptz, -- when it was over or called off (recorded time)
            ended_pos      bigint not null default 0, -- position that said so
            reason         text, -- why it was cut short or called off
            reason_pos     bigint not null default 0, -- position that said so
            entries        bigint not null, -- how many take part
            excluded       bigint not null, -- how many are excluded
            invited        bigint not null, -- how many users and groups are invited
            stream_version bigint not null, -- version of its stream
            position       bigint not null, -- position of its last event
            primary key (tenant, competition_id))"#
    );
    let status = "(tenant, status, competition_id)";
    [make, index(target, "competitions", "status", status)]
}

fn entries(target: &Target<'_>) -> [String; 4] {
    let (base, table) = ("competition_entries", target.table("competition_entries"));
    let make = format!(
        r#"create table if not exists {table} (
            tenant           text collate "C" not null, -- whose
            competition_id   text collate "C" not null, -- in what
            user_id          text collate "C" not null, -- who
            joined_at        timestamptz, -- since when they take part; null: they do not
            left_at          timestamptz, -- since when they do not any more; null: they do
            groups           jsonb, -- the groups whose boards they are on; null: none
            place            bigint, -- their place, where places are numbered
            consent          boolean, -- did they agree to taking part
            member_pos       bigint not null default 0, -- position that said these five
            excluded_at      timestamptz, -- when they were excluded last (recorded time)
            excluded_by      text, -- by whom
            excluded_why     text, -- why, sealed
            excluded_event   uuid, -- the event that holds it
            excluded_pos     bigint not null default 0, -- position that said these four
            reinstated_at    timestamptz, -- when they were let in again last (recorded time)
            reinstated_by    text, -- by whom
            reinstated_why   text, -- why, sealed
            reinstated_event uuid, -- the event that holds it
            reinstated_pos   bigint not null default 0, -- position of that: excluded if it is the lesser one
            disputed_at      timestamptz, -- when they disagreed last (recorded time)
            statement        text, -- what they said, sealed
            statement_event  uuid, -- the event that holds it
            disputed_pos     bigint not null default 0, -- position that said these three
            outcome          text, -- word of how a dispute ended last
            resolved_at      timestamptz, -- when (recorded time)
            resolved_by      text, -- who decided
            resolved_why     text, -- why, sealed
            resolved_event   uuid, -- the event that holds it
            resolved_pos     bigint not null default 0, -- position of that: a dispute is open if it is the lesser one
            stream_version   bigint not null, -- version of its stream
            position         bigint not null, -- position of its last event
            primary key (tenant, competition_id, user_id))
           with (fillfactor = 70) -- room for in-page updates: each score moves its version"#
    );
    [
        make,
        index(target, base, "user", "(tenant, user_id, competition_id)"),
        index(
            target,
            base,
            "groups",
            "using gin (groups jsonb_path_ops) where groups is not null",
        ),
        index(
            target,
            base,
            "disputes",
            "(tenant, disputed_pos) where disputed_pos > resolved_pos",
        ),
    ]
}

fn memberships(target: &Target<'_>) -> [String; 2] {
    let (base, table) = (
        "competition_memberships",
        target.table("competition_memberships"),
    );
    let make = format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- in what
            user_id        text collate "C" not null, -- who
            position       bigint not null, -- position of the event
            member         boolean, -- do they take part from then on; null: not said
            joined_at      timestamptz, -- whoever joins: since when
            groups         jsonb, -- whoever joins: in these groups; null: in none
            excluded       boolean, -- are they excluded from then on; null: not said
            primary key (tenant, competition_id, user_id, position))"#
    );
    let moved = "(tenant, competition_id, position)";
    [make, index(target, base, "moved", moved)]
}

fn scores(target: &Target<'_>) -> [String; 3] {
    let (base, table) = ("competition_scores", target.table("competition_scores"));
    let make = format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- in what
            period         text collate "C" not null, -- in which period, by key
            user_id        text collate "C" not null, -- who
            score          bigint not null, -- what they have come to; of decrements all that was taken away
            sub_score      bigint not null, -- tells equal scores apart
            achieved_at    timestamptz not null, -- when that was reached
            attempts       bigint not null, -- how many scores count
            position       bigint not null, -- position that said so
            primary key (tenant, competition_id, user_id, period))"#
    );
    // Boards of the higher score, line by line, however many tie. Those of the lower one read it
    // backwards, and sort those of one score.
    let board =
        "(tenant, competition_id, period, score desc, sub_score desc, achieved_at, user_id)";
    // What has moved on a board that is kept elsewhere.
    let moved = "(hashtext(tenant), competition_id, period, position)";
    [
        make,
        index(target, base, "board", board),
        index(target, base, "moved", moved),
    ]
}

fn tallies(target: &Target<'_>) -> String {
    let table = target.table("competition_tallies");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- in what
            period         text collate "C" not null, -- in which period, by key
            user_id        text collate "C" not null, -- who
            position       bigint not null, -- position that said so
            at             timestamptz not null, -- its recorded time
            score          bigint not null, -- what they came to then, as of a score
            sub_score      bigint not null, -- tells equal scores apart
            achieved_at    timestamptz not null, -- when that was reached
            attempts       bigint not null, -- how many scores counted
            primary key (tenant, competition_id, period, user_id, position))"#
    )
}

fn held(target: &Target<'_>) -> [String; 2] {
    let (base, table) = ("competition_held", target.table("competition_held"));
    let make = format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- in what
            period         text collate "C" not null, -- in which period, by key
            user_id        text collate "C" not null, -- who
            attempt        bigint not null, -- its number among the user's of the period
            submission     jsonb, -- the score as it was handed in
            rule           text, -- word of the rule that holds it
            found          text, -- what the rule found
            held_at        timestamptz, -- since when it waits (recorded time)
            held_pos       bigint not null default 0, -- position that said these four
            counts         boolean, -- does it count; null: nobody decided
            decided_at     timestamptz, -- when somebody did (recorded time)
            decided_by     text, -- who
            decided_why    text, -- why, sealed
            decided_event  uuid, -- the event that holds it
            decided_pos    bigint not null default 0, -- position that said these five
            primary key (tenant, competition_id, period, user_id, attempt))"#
    );
    let waiting = "(tenant, held_pos) where counts is null";
    [make, index(target, base, "waiting", waiting)]
}

fn periods(target: &Target<'_>) -> String {
    let table = target.table("competition_periods");
    format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- of what
            period         text collate "C" not null, -- which, by key
            start_at       timestamptz, -- its first moment
            end_at         timestamptz, -- the first moment after it
            sealed_at      timestamptz, -- since when it takes no scores (recorded time)
            sealed_pos     bigint not null default 0, -- position that said these three
            as_of          bigint, -- how far the log was read for its board
            entries        bigint, -- how many are on it
            standings_hash text, -- SHA-256 of it
            top            jsonb, -- the first of it
            closed_at      timestamptz, -- since when it is frozen (recorded time)
            closed_pos     bigint not null default 0, -- position that said these five
            currency       text, -- what is given
            decimals       bigint, -- how many decimal places an amount has
            pool           bigint, -- what there was to give, in the smallest unit
            total          bigint, -- what is given in all
            winners        bigint, -- to how many
            prizes_pos     bigint not null default 0, -- position that said these five
            primary key (tenant, competition_id, period))"#
    )
}

fn awards(target: &Target<'_>) -> [String; 3] {
    let (base, table) = ("competition_awards", target.table("competition_awards"));
    let make = format!(
        r#"create table if not exists {table} (
            tenant         text collate "C" not null, -- whose
            competition_id text collate "C" not null, -- in what
            period         text collate "C" not null, -- for which period, by key
            user_id        text collate "C" not null, -- to whom
            rank           bigint, -- for which rank
            amount         bigint, -- how much, in the smallest unit
            position       bigint not null default 0, -- position that said so
            primary key (tenant, competition_id, period, user_id))"#
    );
    let board = "(tenant, competition_id, period, rank, user_id)";
    let user = "(tenant, user_id, position desc)";
    [
        make,
        index(target, base, "rank", board),
        index(target, base, "user", user),
    ]
}
