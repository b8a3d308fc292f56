-- One group of commands, all checks and all writes. $1 is the tenant; the other parameters are columns.
-- Every row carries its component: commands that share a stream are kept together or not at all, since a
-- later one was decided on an earlier one. Rows are matched by number, never joined to each other: groups
-- are large, and a planner that expects ten rows would compare all with all. For the same reason stored
-- rows are looked up one by one (a scalar or lateral subquery by the whole key) and found again by their
-- place: a join by key is planned on the statistics of the moment, and on a young table that means
-- reading all of a tenant's rows for every group.
-- Lock order, always: command ids, claims, the head row; what follows the head is serialised by it.

-- Commands, in the order they were decided, with what the log remembers of their ids.
with c as materialized (
    select u.*, case when u.remembered then (select k.fingerprint from commands k
                                             where k.tenant = $1 and k.command_id = u.command_id) end as seen
    from unnest($2::uuid[], $3::bytea[], $4::int4[], $5::text[], $6::text[], $7::int8[], $8::int4[],
                $9::int8[], $10::text[], $11::int4[], $45::bool[])
         with ordinality u(command_id, fingerprint, component, aggregate_type, aggregate_id, sequence,
                           events, version, receipt, last_event, remembered, ord)),

-- Streams, with the version they are at and their row's place in this snapshot.
s as materialized (
    select u.*, coalesce(v.version, 0) as version, v.place
    from unnest($12::int4[], $13::text[], $14::text[], $15::int8[], $16::int4[], $17::int4[], $18::int4[])
         with ordinality u(component, aggregate_type, aggregate_id, expected, events, first_event,
                           last_event, ord)
    left join lateral (
        select v.version, v.ctid as place from streams v
        where v.tenant = $1 and v.aggregate_type = u.aggregate_type and v.aggregate_id = u.aggregate_id
        limit 1) v on true),

-- Claims, with who holds the value now.
q as materialized (
    select u.*, t.holder, t.place
    from unnest($28::int4[], $29::int4[], $30::int4[], $31::text[], $32::bytea[], $33::text[], $34::bool[])
         with ordinality u(component, command, nth, scope, value_hash, aggregate_id, release, ord)
    left join lateral (
        select t.aggregate_id as holder, t.ctid as place from claims t
        where t.tenant = $1 and t.scope = u.scope and t.value_hash = u.value_hash limit 1) t on true),

-- Components that cannot be kept: an id was seen before, a stream has moved, a value is another's.
bad as materialized (
    select coalesce(array_agg(component), '{}') as components from (
        select component from c where seen is not null
        union all select component from s where version <> expected
        union all select component from q where not release and holder <> aggregate_id) b),

-- Each event's number among those to keep, by its place in the group.
n as materialized (
    select coalesce(array_agg(kept order by ord), '{}') as numbers, coalesce(max(kept), 0) as total
    from (select ord, sum((component <> all((select components from bad)::int4[]))::int) over (order by ord)
                          as kept
          from unnest($19::int4[]) with ordinality u(component, ord)) counted),

-- Ids that nobody will ask for again take no row. A scalar subquery, not $1: a tenant without a log fails on
-- a null tenant, with whatever command, and nothing is kept.
k as (
    insert into commands (tenant, command_id, fingerprint, aggregate_type, aggregate_id, sequence,
                          events, version, receipt)
    select (select tenant from logs where tenant = $1), command_id, fingerprint, aggregate_type,
           aggregate_id, sequence, events, version, receipt::json
    from c
    where component <> all((select components from bad)::int4[])
      and (remembered or (select tenant from logs where tenant = $1) is null)
    order by command_id
    returning 1),
claimed as (
    insert into claims (tenant, scope, value_hash, aggregate_id)
    select $1, scope, value_hash, aggregate_id from q
    where not release and holder is null and component <> all((select components from bad)::int4[])
      and (select count(*) from k) >= 0
    order by scope, value_hash
    returning 1),
released as (
    delete from claims t using q
    where q.release and q.component <> all((select components from bad)::int4[])
      and t.ctid = q.place and t.aggregate_id = q.aggregate_id and (select count(*) from claimed) >= 0
    returning 1),
refused as (
    insert into rejected_records (tenant, id, source, command_id, code, record, details, log_source)
    select $1, id, source, command_id, code, record::json, details::json, log_source
    from unnest($35::int4[], $36::uuid[], $37::text[], $38::uuid[], $39::text[], $40::text[], $41::text[],
                $44::text[])
         u(component, id, source, command_id, code, record, details, log_source)
    where component <> all((select components from bad)::int4[])
    returning 1),

-- The head moves by the number of events, and its row stays locked to the commit: positions are gapless
-- and commit in order. Time never runs against position.
head as (
    update logs set position = position + (select total from n),
                    recorded_at = greatest(recorded_at, clock_timestamp())
    where tenant = $1 and (select total from n) > 0
      and (select count(*) from k) + (select count(*) from claimed) + (select count(*) from released) >= 0
    returning position - (select total from n) as base, recorded_at),

-- Streams of kept commands: relied on as they are, advanced, or opened. Each re-reads the version under
-- lock; what another process moved since this statement's snapshot is missing here and found below.
-- Where nothing is appended, there is no head lock to keep these in order, and no need: all versions
-- held in one snapshot, and that is when the commands took place.
relied as (
    select 1 from s join streams t on t.ctid = s.place
    where s.events = 0 and s.expected > 0 and t.version = s.expected
      and s.component <> all((select components from bad)::int4[])
      and (select total from n) > 0 and (select count(*) from head) >= 0
    for share of t),
advanced as (
    update streams t set version = s.expected + s.events,
                         last_position = (select base from head) + (select numbers from n)[s.last_event]
    from s
    where t.ctid = s.place and t.version = s.expected and s.events > 0 and s.expected > 0
      and s.component <> all((select components from bad)::int4[])
    returning 1),
opened as (
    insert into streams (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
    select $1, aggregate_type, aggregate_id, events,
           (select base from head) + (select numbers from n)[first_event],
           (select base from head) + (select numbers from n)[last_event]
    from s where events > 0 and expected = 0 and component <> all((select components from bad)::int4[])
    returning 1),

stored as (
    insert into events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                        event_version, event_id, recorded_at, payload, metadata)
    select $1, (select base from head) + (select numbers from n)[ord], aggregate_type, aggregate_id,
           sequence, event_type, event_version, event_id, (select recorded_at from head),
           payload::json, metadata::json
    from unnest($19::int4[], $20::text[], $21::text[], $22::int8[], $23::text[], $24::text[], $25::uuid[],
                $26::text[], $27::text[])
         with ordinality u(component, aggregate_type, aggregate_id, sequence, event_type, event_version,
                           event_id, payload, metadata, ord)
    where component <> all((select components from bad)::int4[])
    returning 1),

-- Streams relied on as not being there: a row that came since has no place in this snapshot to look at.
absent as materialized (
    select aggregate_type, aggregate_id from s
    where events = 0 and expected = 0 and component <> all((select components from bad)::int4[])),

race as materialized (
    select case when (select total from n) = 0 then false
                when (select count(*) from relied) + (select count(*) from advanced)
                     < (select count(*) from s
                        where expected > 0 and component <> all((select components from bad)::int4[]))
                then lost_race()
                when (select count(*) from head) > 0 and exists (select from absent) then
                    (select not none_has_begun($1, array_agg(aggregate_type), array_agg(aggregate_id))
                     from absent)
                else false end as lost)

-- For the few that were not kept, why: $42 and $43 link commands to streams, as their nth.
select case when c.component <> all((select components from bad)::int4[]) then 'kept'
            when c.seen = c.fingerprint then 'seen'
            when c.seen is not null then 'reused'
            when exists (select from q where q.command = c.ord and not release
                                         and holder <> aggregate_id) then 'claimed'
            when exists (select from unnest($42::int4[], $43::int4[]) l(command, stream)
                         join s on s.ord = l.stream
                         where l.command = c.ord and s.version <> s.expected) then 'conflict'
            else 'neighbour' end as status,
       -- A command without events may rest on events of its own group: it took place behind them.
       coalesce((select base from head) + (select numbers from n)[nullif(c.last_event, 0)],
                (select base from head) + (select total from n),
                (select position from logs where tenant = $1)) as position,
       c.version,
       case when c.component = any((select components from bad)::int4[]) then
           (select q.nth from q where q.command = c.ord and not release and holder <> aggregate_id
            order by q.nth limit 1) end as claim,
       case when c.component = any((select components from bad)::int4[]) then
           (select q.holder from q where q.command = c.ord and not release and holder <> aggregate_id
            order by q.nth limit 1) end as holder,
       case when c.component = any((select components from bad)::int4[]) then
           (select array[s.ord, s.version]
            from unnest($42::int4[], $43::int4[]) l(command, stream) join s on s.ord = l.stream
            where l.command = c.ord and s.version <> s.expected limit 1) end as moved
from c cross join race
order by c.ord
