//! The tables of deployments, environments and incidents.

use crate::Target;

/// Statements that make the tables.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let mut statements = vec![deployments(target)];
    statements.extend(deployment_indexes(target));
    statements.extend(changes(target));
    statements.extend(votes(target));
    statements.extend(steps(target));
    statements.extend(environments(target));
    statements.extend(incidents(target));
    statements.extend(facts(target));
    statements
}

fn deployments(target: &Target<'_>) -> String {
    let table = target.table("deployments");
    format!(
        r#"create table if not exists {table} (
            tenant           text collate "C" not null, -- whose
            deployment_id    text collate "C" not null, -- the deployment
            project          text collate "C", -- plan: the project
            service          text collate "C", -- plan: the service
            environment      text collate "C", -- plan: the environment
            tier             text collate "C", -- plan: word of what the environment is for
            previous_version text collate "C", -- plan: what it replaces, if that is known
            reason           text collate "C", -- plan: word of why
            change_type      text, -- plan: the operator's word
            team             text collate "C", -- plan: whose service it is
            remedies         text collate "C", -- plan: the incident it is to end
            external_source  text collate "C", -- plan: the system that deploys
            external_id      text collate "C", -- plan: what it is called there
            requested_kind   text, -- user, api_key, machine or person; null if it was not told
            requested_by     text collate "C", -- id or name; null for a person
            requested_sealed text, -- the person's name
            plan_event       uuid, -- the event that holds it
            known_at         timestamptz, -- plan: the first time that was told
            plan_pos         bigint not null default 0, -- position that said the plan
            version          text collate "C", -- what is deployed
            description      text, -- a sentence for people
            revision         bigint, -- 1, and one more for each time it was amended
            content_pos      bigint not null default 0, -- position that said these three
            status           text collate "C", -- word of where it stands
            status_pos       bigint not null default 0, -- position that said so
            requested_at     timestamptz, -- when it was wanted
            requested_pos    bigint not null default 0, -- position that said so
            self_review_barred boolean, -- may those who want it not approve it
            policy_pos       bigint not null default 0, -- position that asked for approval
            asked_at         timestamptz, -- when it was asked for, or for what it is about now
            wait_until       timestamptz, -- it may start then
            expires_at       timestamptz, -- and until then
            times_pos        bigint not null default 0, -- position that said these three
            approved_at      timestamptz, -- when it was approved; null if it is not, or not any more
            approved_pos     bigint not null default 0, -- position that said so
            voted_at         timestamptz, -- when it had the votes it needed; null if it needed none
            voted_pos        bigint not null default 0, -- position that said so
            started_at       timestamptz, -- when it began
            started_pos      bigint not null default 0, -- position that said so
            succeeded_at     timestamptz, -- since when it runs: what figures call its time
            succeeded_pos    bigint not null default 0, -- position that said so
            failed_at        timestamptz, -- when it came to nothing
            failed_pos       bigint not null default 0, -- position that said so
            rolled_back_at   timestamptz, -- since when another version runs again; null if not told
            rolled_back_to   text, -- which
            rolled_back_pos  bigint not null default 0, -- position that said so
            closed_at        timestamptz, -- when it was rejected, called off or ran out
            closed_pos       bigint not null default 0, -- position that said so
            change_facts     bigint not null, -- how often changes were said
            failure_facts    bigint not null, -- how often a link or a mark of a failure was said
            changes_from     bigint not null, -- changes said before this position do not count
            stream_version   bigint not null, -- version of its stream
            position         bigint not null, -- position of its last event
            primary key (tenant, deployment_id))"#
    )
}

/// What counting asks of each deployment stands in the index itself.
const COUNTED: &str =
    "include (succeeded_pos, reason, remedies, project, service, environment, team)
     where succeeded_at is not null";

/// And what lead times ask of each that carries changes.
const CARRYING: &str = "include (deployment_id, succeeded_pos, changes_from, change_facts, project,
                                 service, environment, team)
     where succeeded_at is not null and change_facts > 0";

fn deployment_indexes(target: &Target<'_>) -> Vec<String> {
    let (table, generation) = (target.table("deployments"), target.generation);
    let reached = "where succeeded_at is not null";
    let indexes = [
        // Lists, newest first: all, of a service, and those that are not over.
        ("known", "known_at desc, deployment_id desc", ""),
        ("service", "service, known_at desc, deployment_id desc", ""),
        (
            "open",
            "status, known_at desc, deployment_id desc",
            "where status in ('requested', 'awaiting_approval', 'approved', 'in_progress')",
        ),
        // What is to be given up, by when.
        (
            "expiring",
            "expires_at, deployment_id",
            "where status in ('awaiting_approval', 'approved')",
        ),
        (
            "external",
            "external_source, external_id",
            "where external_id is not null",
        ),
        // Figures: of all, of a service, of those with changes, of those that may be failures.
        ("reached", "tier, succeeded_at", COUNTED),
        ("reached_service", "service, tier, succeeded_at", COUNTED),
        ("carrying", "tier, succeeded_at", CARRYING),
        ("carrying_service", "service, tier, succeeded_at", CARRYING),
        (
            "suspects",
            "tier, succeeded_at",
            "where succeeded_at is not null and (failure_facts > 0 or rolled_back_pos > 0)",
        ),
        // What ran where: rollbacks, and what they replaced, of all that ran of a version the last one.
        (
            "versions",
            "project, environment, service, version, succeeded_at, succeeded_pos",
            reached,
        ),
        (
            "rollbacks",
            "tier, succeeded_at",
            "where succeeded_at is not null and reason = 'rollback'",
        ),
        ("remedies", "remedies", "where remedies is not null"),
        // Objectives: what began, and what failed.
        ("started", "started_at", "where started_at is not null"),
        ("failed", "failed_at", "where failed_at is not null"),
    ];
    let make = |(name, columns, rest): (&str, &str, &str)| {
        format!(
            "create index if not exists deployments_g{generation}_{name}
             on {table} (tenant, {columns}) {rest}"
        )
    };
    indexes.into_iter().map(make).collect()
}

fn changes(target: &Target<'_>) -> [String; 2] {
    let (table, generation) = (target.table("deployment_changes"), target.generation);
    [
        format!(
            r#"create table if not exists {table} (
                tenant          text collate "C" not null, -- whose
                deployment_id   text collate "C" not null, -- what carries it
                change_id       text collate "C" not null, -- what it is called where it was made
                committed_at    timestamptz not null, -- when it was committed
                authored_at     timestamptz, -- when it was written first
                opened_at       timestamptz, -- when it was put forward to be merged
                first_review_at timestamptz, -- when somebody else looked at it first
                merged_at       timestamptz, -- when it was merged
                position        bigint not null, -- position that said so last
                shared          boolean not null default false, -- another deployment was told of it too
                primary key (tenant, deployment_id, change_id))"#
        ),
        format!(
            "create index if not exists deployment_changes_g{generation}_change
             on {table} (tenant, change_id, deployment_id)"
        ),
    ]
}

fn votes(target: &Target<'_>) -> [String; 2] {
    let (votes, approvers) = (
        target.table("deployment_votes"),
        target.table("deployment_approvers"),
    );
    [
        format!(
            r#"create table if not exists {votes} (
                tenant        text collate "C" not null, -- whose
                deployment_id text collate "C" not null, -- on what
                revision      bigint not null, -- on which revision of it
                user_id       text collate "C" not null, -- who
                word          text not null, -- granted, rejected or revoked: the last word stays
                at            timestamptz not null, -- when
                comment       text, -- what they said
                position      bigint not null, -- position that said so
                primary key (tenant, deployment_id, revision, user_id))"#
        ),
        format!(
            r#"create table if not exists {approvers} (
                tenant        text collate "C" not null, -- whose
                deployment_id text collate "C" not null, -- what is to be approved
                user_id       text collate "C" not null, -- who is of a group that may
                position      bigint not null, -- position of the policy that names them
                primary key (tenant, deployment_id, user_id))"#
        ),
    ]
}

fn steps(target: &Target<'_>) -> [String; 2] {
    let (table, generation) = (target.table("deployment_steps"), target.generation);
    [
        format!(
            r#"create table if not exists {table} (
                tenant        text collate "C" not null, -- whose
                deployment_id text collate "C" not null, -- what it happened to
                position      bigint not null, -- position of the event
                kind          text not null, -- the event's type
                at            timestamptz not null, -- when; the recorded time where none was told
                actor         text not null, -- who did or told it
                fixed_by      text collate "C", -- of a hotfix mark: the deployment that fixed it
                detail        jsonb not null, -- what is worth telling
                primary key (tenant, deployment_id, position))"#
        ),
        // How long approvals are waited for.
        format!(
            "create index if not exists deployment_steps_g{generation}_approvals
             on {table} (tenant, kind, at)
             where kind in ('deployment.approval_requested', 'deployment.amended',
                            'deployment.approval_satisfied')"
        ),
    ]
}

fn environments(target: &Target<'_>) -> [String; 2] {
    let (environments, freezes) = (
        target.table("environments"),
        target.table("environment_freezes"),
    );
    [
        format!(
            r#"create table if not exists {environments} (
                tenant         text collate "C" not null, -- whose
                environment_id text collate "C" not null, -- key of its stream
                project        text collate "C", -- the project
                name           text collate "C", -- its name there
                tier           text collate "C", -- word of what it is for
                defined_pos    bigint not null default 0, -- position that said these three
                policy         jsonb, -- what it takes to deploy to it; null if nobody said so
                policy_pos     bigint not null default 0, -- position that said so
                stream_version bigint not null, -- version of its stream
                position       bigint not null, -- position of its last event
                primary key (tenant, environment_id))"#
        ),
        format!(
            r#"create table if not exists {freezes} (
                tenant         text collate "C" not null, -- whose
                environment_id text collate "C" not null, -- of which environment
                freeze_id      text collate "C" not null, -- its name there
                entry          jsonb, -- when and why; null once lifted
                position       bigint not null default 0, -- position that said so
                primary key (tenant, environment_id, freeze_id))"#
        ),
    ]
}

fn incidents(target: &Target<'_>) -> Vec<String> {
    let (table, generation) = (target.table("incidents"), target.generation);
    let mut statements = vec![format!(
        r#"create table if not exists {table} (
            tenant          text collate "C" not null, -- whose
            incident_id     text collate "C" not null, -- the incident
            title           text, -- a sentence for people
            severity        text collate "C", -- word of how bad it is
            project         text collate "C", -- the project
            service         text collate "C", -- what is broken; null for the project as a whole
            environment     text collate "C", -- where; null if it is not known
            opened_at       timestamptz, -- when it began
            external_source text collate "C", -- the system it comes from
            external_id     text collate "C", -- what it is called there
            report_pos      bigint not null default 0, -- position that said all this
            resolved_at     timestamptz, -- since when it is over; null while it is not
            resolved_pos    bigint not null default 0, -- position that said so
            stream_version  bigint not null, -- version of its stream
            position        bigint not null, -- position of its last event
            primary key (tenant, incident_id))"#
    )];
    let lists = [
        ("opened", "opened_at desc, incident_id desc"),
        ("project", "project, opened_at desc, incident_id desc"),
    ];
    statements.extend(lists.map(|(name, columns)| {
        format!(
            "create index if not exists incidents_g{generation}_{name} on {table} (tenant, {columns})"
        )
    }));
    statements
}

fn facts(target: &Target<'_>) -> [String; 2] {
    let (table, generation) = (target.table("incident_facts"), target.generation);
    [
        format!(
            r#"create table if not exists {table} (
                tenant        text collate "C" not null, -- whose
                incident_id   text collate "C" not null, -- the incident
                position      bigint not null, -- position of the event
                kind          text collate "C" not null, -- opened, linked, unlinked, resolved, reopened
                at            timestamptz, -- when it began or was over; null for links
                deployment_id text collate "C", -- of links: to what
                link          text collate "C", -- of links: explicit or inferred
                rule          text, -- of links: the rule that inferred it
                primary key (tenant, incident_id, position))"#
        ),
        format!(
            "create index if not exists incident_facts_g{generation}_deployment
             on {table} (tenant, deployment_id, incident_id, position)
             where deployment_id is not null"
        ),
    ]
}
