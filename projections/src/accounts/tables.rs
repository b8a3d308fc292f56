//! The tables of accounts.

use crate::Target;

/// Statements that make the tables.
pub(super) fn ddl(target: &Target<'_>) -> Vec<String> {
    let mut statements = Vec::from(users(target));
    statements.extend(sessions(target));
    statements.extend(api_keys(target));
    statements.push(tenants(target));
    statements
}

fn users(target: &Target<'_>) -> [String; 3] {
    let generation = target.generation;
    let (users, roles) = (
        target.table("accounts_users"),
        target.table("accounts_roles"),
    );
    [
        format!(
            r#"create table if not exists {users} (
                tenant              text collate "C" not null, -- whose
                user_id             text collate "C" not null, -- the user
                registered_at       timestamptz, -- recorded time of the registration
                email_sealed        text, -- where the user is reached; null once erased
                name_sealed         text, -- a name for people; null once erased
                registered_event    uuid, -- the event that holds both; null once erased
                registered_pos      bigint not null default 0, -- position that said so
                verified            boolean not null default false, -- is the address known to be theirs
                password_changed_at timestamptz, -- recorded time of the last change; null if none
                deactivated_at      timestamptz, -- since when they may not sign in; null if they may
                deactivated_reason_sealed text,  -- why; null once erased
                deactivated_event   uuid, -- the event that holds the reason; null without one
                deactivated_pos     bigint not null default 0, -- position that de- or reactivated
                erased_at           timestamptz, -- since when they are nobody any more
                session_epoch       bigint not null default 0, -- events that ended all sessions before
                version             bigint not null, -- version of the user's stream
                position            bigint not null, -- position of its last event
                primary key (tenant, user_id))"#
        ),
        format!(
            r#"create table if not exists {roles} (
                tenant   text collate "C" not null, -- whose
                user_id  text collate "C" not null, -- who
                role     text collate "C" not null, -- word of the role; admin is the roster's
                held     boolean not null, -- false once it was taken: the last word stays
                position bigint not null,  -- position that said so
                primary key (tenant, user_id, role))"#
        ),
        format!(
            "create index if not exists accounts_roles_g{generation}_role
             on {roles} (tenant, role, user_id) where held"
        ),
    ]
}

fn sessions(target: &Target<'_>) -> [String; 2] {
    let (sessions, generation) = (target.table("accounts_sessions"), target.generation);
    [
        format!(
            r#"create table if not exists {sessions} (
                tenant       text collate "C" not null, -- whose
                session_id   text collate "C" not null, -- the session
                user_id      text collate "C", -- who has signed in
                started_at   timestamptz, -- when
                sliding_s    bigint, -- seconds it lasts after its last use
                absolute_s   bigint, -- seconds it lasts after its start, whatever its use
                epoch        bigint, -- the user's session epoch it is good for
                user_agent   text, -- what the client said it is; null once the user is erased
                ip_sealed    text, -- the client's address; null once the user is erased
                ip_event     uuid, -- the event that holds the address; null without one
                started_pos  bigint not null default 0, -- position that said so
                last_used_at timestamptz, -- when a token was last given, the first one included
                ended_at     timestamptz, -- when it was ended; null if it was not, though it may run out
                ended_why    text, -- the reason's word
                ended_pos    bigint not null default 0, -- position that ended it
                version      bigint not null, -- version of the session's stream
                position     bigint not null, -- position of its last event
                primary key (tenant, session_id))"#
        ),
        format!(
            "create index if not exists accounts_sessions_g{generation}_user
             on {sessions} (tenant, user_id, started_at desc, session_id desc)"
        ),
    ]
}

fn api_keys(target: &Target<'_>) -> [String; 2] {
    let (api_keys, generation) = (target.table("accounts_api_keys"), target.generation);
    [
        format!(
            r#"create table if not exists {api_keys} (
                tenant         text collate "C" not null, -- whose
                api_key_id     text collate "C" not null, -- the key
                issued_at      timestamptz, -- recorded time of its issue
                issued_by      text,    -- the actor who issued it, such as user:7
                name           text,    -- a name for people
                scopes         text[],  -- what it may be used for, in the order of the list of scopes
                rotate_every_s bigint,  -- seconds after which it is rotated by itself; null for never
                bootstrap      boolean, -- does it come from the server's settings
                issued_pos     bigint not null default 0, -- position that said so
                last_four      text,        -- the last characters of the secret that is good
                expires_at     timestamptz, -- until when that secret is good
                rotated_at     timestamptz, -- recorded time of the last rotation; null if none
                previous_until timestamptz, -- until when the secret before is good; null if none
                secret_pos     bigint not null default 0, -- position that said the secret
                revoked_at     timestamptz, -- since when it is good for nothing
                version        bigint not null, -- version of the key's stream
                position       bigint not null, -- position of its last event
                primary key (tenant, api_key_id))"#
        ),
        format!(
            "create index if not exists accounts_api_keys_g{generation}_rotating
             on {api_keys} (tenant) where rotate_every_s is not null and revoked_at is null"
        ),
    ]
}

fn tenants(target: &Target<'_>) -> String {
    let tenants = target.table("accounts_tenants");
    format!(
        r#"create table if not exists {tenants} (
            tenant           text collate "C" not null, -- in whose log it stands: the default tenant's
            tenant_id        text collate "C" not null, -- which tenant
            created_at       timestamptz, -- recorded time of its creation
            name             text,        -- its name
            name_pos         bigint not null default 0, -- position that said the name
            suspended_at     timestamptz, -- since when it is suspended; null if it is not
            suspended_reason text,        -- why
            suspended_pos    bigint not null default 0, -- position that suspended or resumed it
            version          bigint not null, -- version of its stream
            position         bigint not null, -- position of its last event
            primary key (tenant, tenant_id))"#
    )
}
