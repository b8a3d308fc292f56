-- An append may rely on streams that are not there yet. The statement that appends looks at the log as it was when
-- it began, before it waited for the head: this looks again, at what is committed now.

-- True while none of these streams has begun; raises what the appender answers by running its statement again.
create function none_has_begun(of_tenant text, types text[], ids text[]) returns boolean language plpgsql volatile as $$
begin
    perform from unnest(types, ids) u(aggregate_type, aggregate_id) cross join lateral (
        select from streams t where t.tenant = of_tenant and t.aggregate_type = u.aggregate_type
                                and t.aggregate_id = u.aggregate_id limit 1) t;
    return not found or lost_race();
end $$;
