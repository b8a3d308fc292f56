-- Seals: what proves that the log is as it was. Insert only, as the log itself.

-- The keys that sign seals, of the whole installation; public parts are told to whoever asks.
create table seal_keys (
    tenant     text        not null, -- the log of the installation
    key_id     text        not null, -- the first 16 hexadecimal digits of SHA-256 of the public key
    public_key bytea       not null, -- Ed25519, 32 bytes
    wrapped    bytea       not null, -- its private part, wrapped by the vault's master key
    created_at timestamptz not null default now(), -- the newest signs
    primary key (tenant, key_id)
);

-- One row per seal: the tree over all events up to a position, and the leaves that it added.
create table seals (
    tenant     text        not null, -- whose log
    size       bigint      not null, -- events 1 to here are under it: leaves of the tree
    first      bigint      not null, -- position of its first own event, right behind the seal before
    leaves     bytea       not null, -- hashes of its own events, 32 bytes each, in order of position
    peaks      bytea       not null, -- roots of the tree's complete subtrees, 32 bytes each, largest first
    previous   bytea       not null, -- SHA-256 of the statement before; zeros at the first
    sealed_at  timestamptz not null, -- when
    key_id     text        not null, -- which key signed
    signature  bytea       not null, -- Ed25519 over the statement, see docs/seals.md
    primary key (tenant, size),
    unique (tenant, first) -- of two who seal the same events, one does
);
-- Hashes do not compress.
alter table seals alter column leaves set storage external;

-- Roots of complete subtrees of 1024 leaves, of 1024 of those, and so on: what proofs are made from
-- without reading every leaf.
create table seal_nodes (
    tenant text     not null, -- whose log
    level  smallint not null, -- 10, 20, ...: it has 2^level leaves
    index  bigint   not null, -- which of its level, from the left
    hash   bytea    not null, -- its root
    primary key (tenant, level, index)
);

create trigger seals_immutable before update or delete on seals
    for each row execute function refuse_rewrite();
create trigger seals_no_truncate before truncate on seals
    for each statement execute function refuse_rewrite();
create trigger seal_nodes_immutable before update or delete on seal_nodes
    for each row execute function refuse_rewrite();
create trigger seal_nodes_no_truncate before truncate on seal_nodes
    for each statement execute function refuse_rewrite();

do $$
begin
    if exists (select from pg_roles where rolname = 'daybook_app') then
        grant select, insert on seals, seal_nodes, seal_keys to daybook_app;
    end if;
end $$;
