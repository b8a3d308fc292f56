-- One group of commands that add events: no claims, no refused records. They may rely on other streams.
-- All or nothing: whatever stands in the way of one raises (an id seen before and a stream that exists
-- already as 23505, a stream that has moved as 40001), and the statement that tells the kept from the
-- others is run instead. $1 is the tenant, $10 the number of events, the other parameters are columns.
-- Lock order as there: command ids, the head row; what follows the head is serialised by it.

-- Ids that nobody will ask for again take no row. A scalar subquery, not $1: a tenant without a log fails on
-- a null tenant, with whatever command.
with k as (
    insert into commands (tenant, command_id, fingerprint, aggregate_type, aggregate_id, sequence,
                          events, version, receipt)
    select (select tenant from logs where tenant = $1), command_id, fingerprint, aggregate_type,
           aggregate_id, sequence, events, version, receipt::json
    from unnest($2::uuid[], $3::bytea[], $4::text[], $5::text[], $6::int8[], $7::int4[], $8::int8[],
                $9::text[], $29::bool[])
         u(command_id, fingerprint, aggregate_type, aggregate_id, sequence, events, version, receipt,
           remembered)
    where remembered or (select tenant from logs where tenant = $1) is null
    order by command_id
    returning 1),

-- A stream's row is found by its key in the statement's snapshot and again by its place under lock: one
-- that another process has moved since is missing in the count below. The look-ups come before the head:
-- a second group does them while the first one holds its lock.
s as materialized (
    select u.*, (select v.ctid from streams v
                 where v.tenant = $1 and v.aggregate_type = u.aggregate_type
                   and v.aggregate_id = u.aggregate_id limit 1) as place
    from unnest($11::text[], $12::text[], $13::int8[], $14::int4[], $15::int4[])
         u(aggregate_type, aggregate_id, expected, events, last_event)),
head as (
    update logs set position = position + $10::int8,
                    recorded_at = greatest(recorded_at, clock_timestamp())
    where tenant = $1 and (select count(*) from k) + (select count(*) from s) >= 0
    returning position - $10 as base, recorded_at),
advanced as (
    update streams t set version = s.expected + s.events,
                         last_position = (select base from head) + s.last_event
    from s where t.ctid = s.place and t.version = s.expected and s.events > 0
    returning 1),
relied as (
    select 1 from s join streams t on t.ctid = s.place
    where t.version = s.expected and s.events = 0 and (select count(*) from head) >= 0
    for share of t),
opened as (
    insert into streams (tenant, aggregate_type, aggregate_id, version, first_position, last_position)
    select $1, aggregate_type, aggregate_id, events,
           (select base from head) + first_event, (select base from head) + last_event
    from unnest($16::text[], $17::text[], $18::int4[], $19::int4[], $20::int4[])
         u(aggregate_type, aggregate_id, events, first_event, last_event)
    returning 1),
stored as (
    insert into events (tenant, position, aggregate_type, aggregate_id, sequence, event_type,
                        event_version, event_id, recorded_at, payload, metadata)
    select $1, (select base from head) + ord, aggregate_type, aggregate_id, sequence, event_type,
           event_version, event_id, (select recorded_at from head), payload::json, metadata::json
    from unnest($21::text[], $22::text[], $23::int8[], $24::text[], $25::text[], $26::uuid[],
                $27::text[], $28::text[])
         with ordinality u(aggregate_type, aggregate_id, sequence, event_type, event_version, event_id,
                           payload, metadata, ord)
    returning 1)
select base,
       case when (select count(*) from advanced) + (select count(*) from relied)
                 = cardinality($11::text[]) then false else lost_race() end as lost
from head
