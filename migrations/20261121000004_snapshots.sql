-- States of long streams, stored now and then so that a load reads only what came after. Derived: any row
-- may be deleted at any time, and none is ever believed without a look.
create table snapshots (
    tenant         text        not null, -- whose log
    aggregate_type text        not null, -- kind of stream
    aggregate_id   text        not null, -- the stream's key
    version        bigint      not null, -- sequence of the last event in the state
    shape          integer     not null, -- version of the state's shape; another program's may be unknown here
    state          text        compression lz4 not null, -- the state, as the aggregate writes it
    digest         bytea       not null, -- 16 bytes of SHA-256 over all of the above
    created_at     timestamptz not null default now(), -- when it was stored
    primary key (tenant, aggregate_type, aggregate_id)
);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, update, delete on snapshots to daybook_app;
    end if;
end $$;
