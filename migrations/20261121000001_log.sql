-- The log: facts, what guards them, and nothing else. Forward only; never edited once applied.
-- Every key begins with `tenant`: it is the distribution column of a sharded deployment.

-- One row per tenant: the head of its log. Appends lock it, so positions are gapless and commit in order.
create table logs (
    tenant      text        not null primary key, -- whose log; 'default' in a single installation
    position    bigint      not null default 0,   -- the last position given out; 0 before the first event
    recorded_at timestamptz not null default '-infinity', -- the last event's time; later events never go behind it
    created_at  timestamptz not null default now() -- when the tenant's log was opened
);
insert into logs (tenant) values ('default');

-- Events, immutable. Partitioned by range of position: a partition is the unit of archive and rebuild.
create table events (
    tenant         text        not null, -- whose log
    position       bigint      not null, -- place in the tenant's log, 1..n without gaps, in commit order
    aggregate_type text        not null, -- kind of stream, such as 'vehicle'
    aggregate_id   text        not null, -- the stream's key within its kind
    sequence       bigint      not null, -- the event's number within its stream, 1..n
    event_type     text        not null, -- what happened, such as 'vehicle.registered'; never renamed
    event_version  text        not null, -- version of the payload's shape
    event_id       uuid        not null, -- the event's own id, UUIDv7
    recorded_at    timestamptz not null, -- when it was committed, never behind its predecessor
    payload        json        compression lz4 not null, -- the fact; json, not jsonb: the bytes are kept as they came
    metadata       json        compression lz4 not null, -- actor, command, correlation, causation, trace: a flat object of strings
    primary key (tenant, position)
) partition by range (position);
-- Loads a stream in order. The streams table bounds the positions, so that only its partitions are touched.
create index events_stream on events (tenant, aggregate_type, aggregate_id, sequence);

-- One row per stream: the guard of its versions (a unique key on the partitioned table cannot be one)
-- and the bounds between which its events lie.
create table streams (
    tenant         text   not null, -- whose log
    aggregate_type text   not null, -- kind of stream
    aggregate_id   text   not null, -- the stream's key
    version        bigint not null, -- sequence of its last event
    first_position bigint not null, -- position of its first event
    last_position  bigint not null, -- position of its last event
    primary key (tenant, aggregate_type, aggregate_id)
) with (fillfactor = 80); -- room for in-page updates of version and last_position

-- One row per kept command: idempotency. Swept after its retention.
create table commands (
    tenant         text        not null, -- whose log
    command_id     uuid        not null, -- digest of caller and declared commandId, or a fresh UUIDv7
    fingerprint    bytea       not null, -- 16 bytes of SHA-256 over the command's content: tells a retry from a reuse
    aggregate_type text,                 -- stream of the command's first event; null if it appended nothing
    aggregate_id   text,                 -- likewise
    sequence       bigint,               -- sequence of the command's first event in that stream
    events         integer     not null, -- how many events it appended in all, at consecutive positions
    version        bigint      not null, -- version of the command's stream after it; 0 if it wrote several
    receipt        json        compression lz4, -- what beside position and version the caller was told, given again on a retry
    recorded_at    timestamptz not null default now(), -- when it was kept
    primary key (tenant, command_id)
);
create index commands_recorded on commands using brin (recorded_at); -- finds what the sweep may delete

-- Values that at most one object of a tenant may hold: external ids, VINs, plates, declared fix ids.
create table claims (
    tenant       text   not null, -- whose log
    scope        text   not null, -- what kind of value, such as 'vehicle.vin'
    value_hash   bytea  not null, -- 16 bytes of SHA-256 over the canonical value
    aggregate_id text   not null, -- who holds it
    primary key (tenant, scope, value_hash)
);

-- Input that was refused record by record, kept for a while so that it can be looked at. Not events.
create table rejected_records (
    tenant      text        not null, -- whose
    id          uuid        not null, -- UUIDv7, in order of arrival
    recorded_at timestamptz not null default now(), -- when; rows expire after their retention
    source      text        not null, -- which door refused it, such as 'reportPositions'
    command_id  uuid        not null, -- the command that carried it
    code        text        not null, -- why, a stable code
    record      json        compression lz4 not null, -- the record as it came, cut to its size limit
    details     json        compression lz4 not null, -- the facts: limits and actual values
    primary key (tenant, id)
);

-- The append-only wall. Grants keep the application's role out; triggers stop everyone else who has not
-- switched them off on purpose (which seals will show).
create function refuse_rewrite() returns trigger language plpgsql as $$
begin
    raise exception 'the log is append-only: % on % is refused', tg_op, tg_table_name
        using errcode = 'insufficient_privilege';
end $$;
create trigger events_immutable before update or delete on events
    for each row execute function refuse_rewrite();
create trigger events_no_truncate before truncate on events
    for each statement execute function refuse_rewrite();

-- Which partitions of events exist: [from_position, to_position).
create table event_partitions (
    from_position bigint not null primary key, -- first position of the partition
    to_position   bigint not null,             -- first position after it
    created_at    timestamptz not null default now() -- when it was attached
);

-- Makes partitions of `size` positions until `up_to` has a place. A new one is filled with its indexes
-- and attached, not created in place: CREATE ... PARTITION OF would lock every reader out.
create function ensure_event_partitions(up_to bigint, size bigint) returns bigint
    language plpgsql security definer set search_path = public as $$
declare
    first bigint;
    part  text;
begin
    perform pg_advisory_xact_lock(hashtext('daybook.event_partitions'));
    loop
        first := coalesce((select max(to_position) from event_partitions), 0);
        if first > up_to then
            return first;
        end if;
        part := 'events_p' || first;
        execute format('create table %I (like events including defaults including compression)', part);
        execute format('alter table %I add primary key (tenant, position)', part);
        execute format('create index on %I (tenant, aggregate_type, aggregate_id, sequence)', part);
        execute format('alter table %I add constraint bounds check (position >= %s and position < %s)',
                       part, first, first + size);
        execute format('create trigger events_no_truncate before truncate on %I
                        for each statement execute function refuse_rewrite()', part);
        execute format('alter table events attach partition %I for values from (%s) to (%s)',
                       part, first, first + size);
        execute format('alter table %I drop constraint bounds', part);
        insert into event_partitions (from_position, to_position) values (first, first + size);
    end loop;
end $$;

-- Raises what the appender answers by running its statement again: another process was faster.
create function lost_race() returns boolean language plpgsql as $$
begin
    raise exception 'another append was faster' using errcode = 'serialization_failure';
end $$;

-- The default tenant's streams as a stock postgres_es repository expects its events table: the payload
-- tagged with its type. Read-only.
create view events_default as
    select aggregate_type, aggregate_id, sequence, event_type, event_version,
           json_build_object(event_type, payload) as payload, metadata
    from events where tenant = 'default';
