-- Ids that sources declare for their log records: each is accepted once. Written in the append's own
-- transaction before the head is locked, in the order of the digests, so that two batches neither wait
-- for each other in a ring nor make others wait for the head.
-- A table of its own, not `claims`: there are as many rows as records, so every byte of one counts.
create table record_ids (
    tenant    text not null, -- whose log
    id_hash   bytea not null, -- 16 bytes of SHA-256 over the source and the id it declared
    batch     uuid not null, -- the batch that carries the record; its stream gives the position
    forget_on date,          -- from this day on the id may be accepted again; null: never
    primary key (tenant, id_hash)
);
-- Finds what the sweep may delete; as good as empty where ids are kept for ever.
create index record_ids_forget on record_ids (forget_on) where forget_on is not null;

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, delete on record_ids to daybook_app;
    end if;
end $$;
