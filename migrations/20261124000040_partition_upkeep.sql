-- The newest partition of the log is not vacuumed while it is being filled. A vacuum makes known what little is
-- free in each page, and the events that come next go there if they are short enough: each in another page of
-- long ago, which is read, written whole to the WAL once more, and read again by whoever follows the log. Nothing
-- in it has to be cleared away, since events are only added. Once it is full it is vacuumed like any table, and
-- what is in it is frozen then, so that it is never gone through again.

create or replace function ensure_event_partitions(up_to bigint, size bigint) returns bigint
    language plpgsql security definer set search_path = public as $$
declare
    first bigint;
    part  text;
begin
    perform pg_advisory_xact_lock(hashtext('daybook.event_partitions'));
    loop
        first := coalesce((select max(to_position) from event_partitions), 0);
        exit when first > up_to;
        part := 'events_p' || first;
        execute format('create table %I (like events including defaults including compression)
                        with (autovacuum_vacuum_insert_threshold = -1)', part);
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
    -- Whoever makes room for events waits for nobody here: a partition that is busy has its turn when the next
    -- one is made.
    for part in
        select c.relname
        from event_partitions p join pg_class c on c.oid = to_regclass('events_p' || p.from_position)
        where p.to_position <= (select max(position) from logs)
          and 'autovacuum_vacuum_insert_threshold=-1' = any (c.reloptions)
    loop
        begin
            execute format('lock table only %I in share update exclusive mode nowait', part);
            execute format('alter table %I reset (autovacuum_vacuum_insert_threshold)', part);
            execute format('alter table %I set (autovacuum_freeze_min_age = 0)', part);
        exception when lock_not_available then null;
        end;
    end loop;
    return first;
end $$;

-- Partitions of before: those that are not full yet.
do $$
declare part text;
begin
    for part in
        select to_regclass('events_p' || from_position)::text from event_partitions
        where to_position > (select max(position) from logs)
          and to_regclass('events_p' || from_position) is not null
    loop
        execute format('alter table %s set (autovacuum_vacuum_insert_threshold = -1)', part);
    end loop;
end $$;
