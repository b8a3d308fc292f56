-- The application's role: it may append to the log, not rewrite it. Where the migrating user may not make
-- roles (some hosted databases), the triggers are the only wall; `daybook serve` says so at the start.
do $$
begin
    if not exists (select from pg_roles where rolname = 'daybook_app') then
        create role daybook_app nologin;
    end if;
    execute format('grant daybook_app to %I', current_user);
exception
    when insufficient_privilege then raise notice 'no role daybook_app: %', sqlerrm;
    when duplicate_object or unique_violation then null; -- made at this moment by another database's migration
end $$;

do $$
begin
    if not exists (select from pg_roles where rolname = 'daybook_app') then
        return;
    end if;
    grant usage on schema public to daybook_app;
    grant select, insert on events to daybook_app;
    grant select on events_default, event_partitions to daybook_app;
    grant select, insert, update on logs, streams to daybook_app;
    grant select, insert, delete on commands, claims, rejected_records to daybook_app;
    grant select, insert, update, delete on
        generations, leases, failed_events, rebuilds, rebuild_ranges to daybook_app;
    grant usage, create on schema read to daybook_app;
end $$;
