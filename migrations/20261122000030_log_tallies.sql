-- How many records of a batch were not accepted, and why: a row for each batch and code, put in by the
-- batch's own transaction. Figures by hour add them up; a counter per hour would have all batches of a
-- source wait for one row. Swept with the ids of commands.
create table log_tallies (
    tenant      text        not null, -- whose
    source_id   text        not null, -- the source of the records
    recorded_at timestamptz not null default now(), -- when the batch was taken in
    batch       uuid        not null, -- the batch
    code        text        not null, -- why: the code of a refusal, or that they are duplicates
    records     integer     not null, -- how many records of the batch
    primary key (tenant, source_id, recorded_at, batch, code)
);
create index log_tallies_recorded on log_tallies using brin (recorded_at); -- finds what the sweep may delete

-- Refused log records are listed by their source and by why; they are few beside those accepted. A column:
-- what was refused may hold what PostgreSQL cannot take out of its JSON, such as NUL.
alter table rejected_records add column log_source text; -- whose log record it is; null if it is none
create index rejected_records_source on rejected_records (tenant, source, log_source, id);
create index rejected_records_code on rejected_records (tenant, source, code, id);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, delete on log_tallies to daybook_app;
    end if;
end $$;
