-- The analysts' role may have so many connections of all processes together: whoever else gets hold of it does not
-- take those of the log. A process takes `analyst.connections_max` and `analyst.fold_connections_max` of them at
-- most; an operator with many processes raises it, and is not overruled by the next database that is migrated.

do $$
begin
    if (select rolconnlimit from pg_roles where rolname = 'daybook_analyst') = -1 then
        alter role daybook_analyst connection limit 50;
    end if;
exception
    when insufficient_privilege then raise notice 'no connection limit: %', sqlerrm;
    when internal_error then null; -- said at this moment by another database's migration
end $$;
