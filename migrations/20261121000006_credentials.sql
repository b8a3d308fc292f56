-- What proves who somebody is. Kept beside the log because it must be possible to replace or destroy it; none of
-- it is in any event, read model or cache. Rows whose object the log does not know are left-overs of a command
-- that was refused, and mean nothing.

-- The log of what belongs to no tenant: of the keys that sign tokens. No tenant can have this id.
insert into logs (tenant) values ('_installation');

-- The private parts of the keys that sign tokens.
create table signing_key_secrets (
    tenant     text        not null, -- which log tells of the key: '_installation'
    issuer     text        not null, -- whose tokens it signs
    kid        text        not null, -- the key's id
    wrapped    bytea       not null, -- the private part, encrypted with the vault's master key
    created_at timestamptz not null default now(), -- when it was made
    primary key (tenant, issuer, kid)
);

-- Passwords.
create table credentials (
    tenant        text        not null, -- whose log
    user_id       text        not null, -- whose password
    password_hash text        not null, -- argon2id, in PHC notation
    changed_at    timestamptz not null default now(), -- when it was set
    primary key (tenant, user_id)
);

-- By which API key a secret is one. A key has two while one takes over from the other.
create table api_key_secrets (
    tenant     text        not null, -- whose log
    hash       bytea       not null, -- SHA-256 of the secret, which is long and random
    api_key_id text        not null, -- the key
    bootstrap  boolean     not null, -- taken over from another program: need not have our form
    created_at timestamptz not null default now(), -- when it was made
    primary key (tenant, hash)
);
create index api_key_secrets_hash on api_key_secrets (hash);

-- How API keys are used, a row for each day of use.
create table api_key_usage (
    tenant       text        not null, -- whose log
    api_key_id   text        not null, -- the key
    day          date        not null, -- UTC
    requests     bigint      not null, -- requests that showed it and were let in
    last_used_at timestamptz not null, -- the last of them
    primary key (tenant, api_key_id, day)
);

-- Persons who are to be forgotten, until everything of theirs is gone.
create table erasures (
    tenant       text        not null, -- whose log
    subject      text        not null, -- who
    requested_at timestamptz not null default now(), -- when it was asked for
    primary key (tenant, subject)
);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, update, delete on
            signing_key_secrets, credentials, api_key_secrets, api_key_usage, erasures to daybook_app;
    end if;
end $$;
