-- Rebuilds that a person asks for and any process carries out, and what people decided about read models.

alter table generations drop constraint generations_state_check;
alter table generations add constraint generations_state_check
    check (state in ('building', 'live', 'kept', 'scratch', 'dropped'));
alter table generations
    add column storage integer; -- the number in its tables' names; null: its own. Another one once it was rolled back to

alter table rebuilds drop constraint rebuilds_phase_check;
alter table rebuilds add constraint rebuilds_phase_check
    check (phase in ('folding', 'catching_up', 'swapped', 'built', 'cancelled', 'failed'));
alter table rebuilds
    add column mode text not null default 'replace'
        check (mode in ('replace', 'scratch', 'check', 'roll_back')), -- what becomes of the generation when it is built
    add column workers integer not null default 2, -- how many ranges are folded at once
    add column compare boolean not null default false, -- compare both generations before the swap
    add column paused boolean not null default false, -- nobody works at it until it is resumed
    add column asked_by text, -- who asked for it; null if nobody did
    add column reason text, -- why they did
    add column command_id text, -- the asker's idempotency key
    add column done_events bigint not null default 0, -- as whoever works at it told, once a second at most
    add column events_per_second double precision, -- the same; null before the first word
    add column told_at timestamptz, -- when that was
    add column error text, -- why it failed, cut to 2,000 characters
    add column difference jsonb; -- the first difference between both generations, if they were compared and differ
create unique index rebuilds_command on rebuilds (tenant, command_id) where command_id is not null;

-- What people decided about read models: kept, never changed.
create table projection_decisions (
    tenant     text        not null, -- whose read model
    number     bigint      not null generated always as identity, -- in the order of deciding
    projection text        not null, -- which read model
    generation integer,              -- which generation of it, where that matters
    action     text        not null, -- such as 'rebuild' or 'skip'
    position   bigint,               -- at which event, or up to which, where that matters
    decided_by text        not null, -- who decided
    reason     text,                 -- why, if they said so
    decided_at timestamptz not null default now(), -- when
    primary key (tenant, number)
);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert on projection_decisions to daybook_app;
    end if;
end $$;
