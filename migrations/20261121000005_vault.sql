-- What is kept beside the log because it must be possible to destroy or replace it: keys and credentials.
-- Nothing here is derived, and nothing here is in any read model, cache or event.

-- The key under which a subject's personal values in the log are sealed. Erasing the subject deletes the row:
-- what is sealed under it can never be read again.
create table subject_keys (
    tenant     text        not null, -- whose log
    subject    text        not null, -- whose personal values, such as 'user:01ab'
    wrapped    bytea       not null, -- the key, encrypted with the vault's master key
    created_at timestamptz not null default now(), -- when it was made
    primary key (tenant, subject)
);

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert, delete on subject_keys to daybook_app;
    end if;
end $$;
