-- Streams that a read model goes on without, because it cannot take in an event of theirs.

alter table generations
    add column parked integer not null default 0; -- how many streams are parked; kept with each change of parked_streams

-- Only of read models whose rows belong to one stream each. A row goes when its stream was taken in up to the checkpoint.
create table parked_streams (
    tenant         text        not null, -- whose log
    projection     text        not null, -- which read model
    generation     integer     not null, -- which generation of it
    aggregate_type text        not null, -- what kind of stream
    aggregate_id   text        not null, -- which stream of that kind
    position       bigint      not null, -- its event that cannot be taken in: see failed_events
    folded_to      bigint      not null, -- its events up to this position are in the tables, but for those that were skipped
    asked          boolean     not null default false, -- somebody decided to try it again, or to go on without that event
    parked_at      timestamptz not null default now(), -- since when
    primary key (tenant, projection, generation, aggregate_type, aggregate_id)
);
create unique index parked_streams_position on parked_streams (tenant, projection, generation, position);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, update, delete on parked_streams to daybook_app;
    end if;
end $$;
