-- The digest of an id as `uuid`: 16 bytes as they are, where `bytea` puts a length before them, which costs
-- the row and its key eight bytes each. Whatever was kept stays known.
alter table record_ids alter column id_hash type uuid using encode(id_hash, 'hex')::uuid;
