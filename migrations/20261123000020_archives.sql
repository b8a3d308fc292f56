-- Which events went to files: what a partition of the log held before it was taken away.
create table archives (
    tenant        text        not null, -- whose events
    from_position bigint      not null, -- position of the first
    to_position   bigint      not null, -- position of the last
    archived_at   timestamptz not null default now(), -- when they left the log
    archived_by   text        not null, -- who had them taken out
    file          text        not null, -- name of the file that has them
    sha256        bytea       not null, -- SHA-256 of that file
    proof_file    text        not null, -- name of the file that proves it
    proof_sha256  bytea       not null, -- SHA-256 of that one
    seal_size     bigint      not null, -- how many events the seal is of that the proof leads to
    restored_at   timestamptz,          -- when they were put back; null while only the file has them
    restored_by   text,                 -- who put them back
    primary key (tenant, from_position, archived_at)
);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select on archives to daybook_app;
    end if;
end $$;
