-- Keys that signed seals stay what they are, as the seals do: only how a private part is wrapped may change.
create trigger seal_keys_stay before delete on seal_keys
    for each row execute function refuse_rewrite();
create trigger seal_keys_immutable before update of tenant, key_id, public_key, created_at on seal_keys
    for each row execute function refuse_rewrite();
create trigger seal_keys_no_truncate before truncate on seal_keys
    for each statement execute function refuse_rewrite();
