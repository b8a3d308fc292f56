-- One group of commands, all checks and all writes. $1 is the tenant; the other parameters are columns.
-- Lock order, always: command ids, claims, the head row; what follows the head is serialised by it.

-- Commands, in the order they were decided, with what the log remembers of their ids.
with c as materialized (
    select u.*, k.fingerprint as seen
    from unnest($2::uuid[], $3::bytea[], $4::int4[], $5::int4[], $6::int8[], $7::int4[], $8::int8[],
                $9::text[], $10::text[])
         with ordinality u(command_id, fingerprint, component, stream, sequence, events, version,
                           receipt, metadata, ord)
    left join commands k on k.tenant = $1 and k.command_id = u.command_id),

-- Streams, with the version they are at.
s as materialized (
    select u.*, coalesce(v.version, 0) as version
    from unnest($11::text[], $12::text[], $13::int8[], $14::int4[])
         with ordinality u(aggregate_type, aggregate_id, expected, events, ord)
    left join streams v on v.tenant = $1 and v.aggregate_type = u.aggregate_type
                       and v.aggregate_id = u.aggregate_id),

-- Which command touches which stream, as its nth.
w as materialized (
    select u.command, u.stream,
           u.ord - min(u.ord) over (partition by u.command) + 1 as nth
    from unnest($15::int4[], $16::int4[]) with ordinality u(command, stream, ord)),

-- Claims, with who holds the value now.
q as materialized (
    select u.*, t.aggregate_id as holder,
           u.ord - min(u.ord) over (partition by u.command) + 1 as nth
    from unnest($24::int4[], $25::text[], $26::bytea[], $27::text[], $28::bool[])
         with ordinality u(command, scope, value_hash, aggregate_id, release, ord)
    left join claims t on t.tenant = $1 and t.scope = u.scope and t.value_hash = u.value_hash),

-- Commands decided on a version that is not the stream's.
moved as materialized (
    select w.command, min(w.nth) as which
    from w join s on s.ord = w.stream where s.version <> s.expected group by w.command),

-- Commands that claim what another object holds.
taken as materialized (
    select command, min(nth) as which
    from q where not release and holder <> aggregate_id group by command),

-- Commands that share a stream are kept together or not at all: a later one was decided on an earlier one.
kept as materialized (
    select * from c where component not in (
        select component from c
        where seen is not null or ord in (select command from moved)
           or ord in (select command from taken))),

k as (
    insert into commands (tenant, command_id, fingerprint, aggregate_type, aggregate_id, sequence,
                          events, version, receipt)
    select $1, kept.command_id, kept.fingerprint, s.aggregate_type, s.aggregate_id, kept.sequence,
           kept.events, kept.version, kept.receipt::json
    from kept left join s on s.ord = kept.stream order by kept.command_id
    returning 1),
claimed as (
    insert into claims (tenant, scope, value_hash, aggregate_id)
    select $1, q.scope, q.value_hash, q.aggregate_id from q join kept on kept.ord = q.command
    where not q.release and q.holder is null and (select count(*) from k) >= 0
    order by q.scope, q.value_hash
    returning 1),
released as (
    delete from claims t using q join kept on kept.ord = q.command
    where q.release and t.tenant = $1 and t.scope = q.scope and t.value_hash = q.value_hash
      and t.aggregate_id = q.aggregate_id and (select count(*) from claimed) >= 0
    returning 1),
refused as (
    insert into rejected_records (tenant, id, source, command_id, code, record, details)
    select $1, u.id, u.source, kept.command_id, u.code, u.record::json, u.details::json
    from unnest($29::int4[], $30::uuid[], $31::text[], $32::text[], $33::text[], $34::text[])
         u(command, id, source, code, record, details)
    join kept on kept.ord = u.command
    returning 1),

-- Events to keep, numbered.
e as materialized (
    select row_number() over (order by u.ord) as rn, u.command, u.stream, u.sequence, u.event_type,
           u.event_version, u.event_id, u.payload, kept.metadata
    from unnest($17::int4[], $18::int4[], $19::int8[], $20::text[], $21::text[], $22::uuid[],
                $23::text[])
         with ordinality u(command, stream, sequence, event_type, event_version, event_id, payload,
                           ord)
    join kept on kept.ord = u.command),

-- The head moves by their number, and its row stays locked to the commit: positions are gapless and
-- commit in order. Time never runs against position.
head as (
    update logs set position = logs.position + n.n,
                    recorded_at = greatest(logs.recorded_at, clock_timestamp())
    from (select count(*) as n from e) n
    where logs.tenant = $1 and n.n > 0
      and (select count(*) from k) + (select count(*) from claimed) + (select count(*) from released) >= 0
    returning logs.position - n.n as base, logs.recorded_at),

-- Streams of kept commands: relied on as they are, advanced, or opened. Each re-reads the version under
-- lock; what another process moved since this statement's snapshot is missing here and found below.
mine as materialized (
    select s.*, f.first, f.last
    from s left join (select stream, min(rn) as first, max(rn) as last from e group by stream) f
                  on f.stream = s.ord
    where s.ord in (select w.stream from w join kept on kept.ord = w.command)),
relied as materialized (
    select t.version from mine join streams t
        on t.tenant = $1 and t.aggregate_type = mine.aggregate_type
       and t.aggregate_id = mine.aggregate_id
    where mine.events = 0 and mine.expected > 0 and t.version = mine.expected
      and (select count(*) from head) >= 0
    for share of t),
advanced as (
    update streams t set version = mine.expected + mine.events,
                         last_position = (select base from head) + mine.last
    from mine
    where t.tenant = $1 and t.aggregate_type = mine.aggregate_type
      and t.aggregate_id = mine.aggregate_id and t.version = mine.expected
      and mine.events > 0 and mine.expected > 0
    returning 1),
opened as (
    insert into streams (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
    select $1, aggregate_type, aggregate_id, events, (select base from head) + first,
           (select base from head) + last
    from mine where events > 0 and expected = 0
    returning 1),

-- A scalar subquery, not a join: a tenant without a head row fails on a null position, nothing is kept.
stored as (
    insert into events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                        event_version, event_id, recorded_at, payload, metadata)
    select $1, (select base from head) + e.rn, s.aggregate_type, s.aggregate_id, e.sequence,
           e.event_type, e.event_version, e.event_id, (select recorded_at from head),
           e.payload::json, e.metadata::json
    from e join s on s.ord = e.stream order by e.rn
    returning 1),

race as materialized (
    select case when (select count(*) from relied) + (select count(*) from advanced)
                     = (select count(*) from mine where expected > 0)
                then false else lost_race() end as lost)

select case when kept.ord is not null then 'kept'
            when c.seen = c.fingerprint then 'seen'
            when c.seen is not null then 'reused'
            when t.which is not null then 'claimed'
            when m.which is not null then 'conflict'
            else 'neighbour' end as status,
       coalesce((select base from head) + l.last,
                (select position from logs where tenant = $1)) as position,
       c.version,
       coalesce(t.which, m.which) as which,
       (select q.holder from q where q.command = c.ord and q.nth = t.which) as holder,
       (select s.version from w join s on s.ord = w.stream
        where w.command = c.ord and w.nth = m.which) as actual
from c cross join race
left join kept on kept.ord = c.ord
left join taken t on t.command = c.ord
left join moved m on m.command = c.ord
left join (select command, max(rn) as last from e group by command) l on l.command = c.ord
order by c.ord
