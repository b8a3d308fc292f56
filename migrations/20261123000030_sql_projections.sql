-- Projections that analysts have written in SQL, and the role their SQL runs as.

-- One row per installed projection. Its tables are built by the runner, as those of every read model.
create table sql_projections (
    tenant       text        not null, -- whose
    name         text        not null, -- the read model's name
    version      integer     not null check (version >= 1), -- raised with every change
    source       text        not null, -- the analyst's file, header and SELECT
    installed_by text        not null, -- who installed this version
    installed_at timestamptz not null default clock_timestamp(), -- when
    primary key (tenant, name)
);

-- Which tenant's rows a connection of the analysts' role is shown. Written before it asks, by those who may.
create table analyst_sessions (
    tenant  text    not null, -- whose rows
    backend integer not null, -- the server's process of the connection
    primary key (tenant, backend)
);

-- The tenant of the connection that asks; none if there is not exactly one. It runs with its owner's rights:
-- the analysts' role can neither read nor write the table.
create function analyst_tenant() returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select case when count(*) = 1 then min(tenant) end
    from public.analyst_sessions where backend = pg_backend_pid()
$$;
revoke execute on function analyst_tenant() from public;

-- The role that analysts' SQL runs as. It logs in, since `set role` is no wall: SQL can set it back. Without a
-- password it can do so on a private server only. Where the migrating user may not make roles, an administrator
-- makes it before; without it no projection of an analyst's is installed.
do $$
begin
    if not exists (select from pg_roles where rolname = 'daybook_analyst') then
        create role daybook_analyst login noinherit nosuperuser nocreatedb nocreaterole noreplication;
    end if;
exception
    when insufficient_privilege then raise notice 'no role daybook_analyst: %', sqlerrm;
    when duplicate_object or unique_violation then null; -- made at this moment by another database's migration
end $$;

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_analyst') then
        grant usage on schema read to daybook_analyst;
        grant execute on function analyst_tenant() to daybook_analyst;
    end if;
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, update, delete on sql_projections, analyst_sessions to daybook_app;
    end if;
end $$;

-- A file for sorting may grow to this size; only a superuser may say so.
do $$
begin
    alter role daybook_analyst set temp_file_limit = '256MB';
exception
    when insufficient_privilege or undefined_object then raise notice 'no temp_file_limit: %', sqlerrm;
    when internal_error then null; -- said at this moment by another database's migration
end $$;
