-- Bookkeeping of consumers: who works, how far each has come, what stopped it.

-- Read models live in their own schema; they are built and dropped by the program, never migrated.
create schema read;

-- One row per generation of a read model. Its tables are read.<table>_g<generation>.
create table generations (
    tenant      text        not null, -- whose log it folds
    projection  text        not null, -- the read model's name, never renamed
    generation  integer     not null, -- 1..n; the live one answers queries
    version     integer     not null, -- version of the read model's logic and tables
    tables      text[]      not null,           -- base names of its tables, so that any later version can drop them
    state       text        not null check (state in ('building', 'live', 'kept', 'dropped')), -- where in its life
    status      text        not null default 'running' check (status in ('running', 'paused', 'stopped')), -- may it advance
    position    bigint      not null default 0, -- the last position folded in: the checkpoint
    fence       bigint      not null default 0, -- highest fencing token that has written
    error       text,                           -- why it is stopped, one line
    created_at  timestamptz not null default now(), -- when its tables were made
    updated_at  timestamptz not null default now(), -- last advance
    primary key (tenant, projection, generation)
) with (fillfactor = 20); -- few rows, moved with every batch: room to do it in the page
create unique index generations_live on generations (tenant, projection) where state = 'live';

-- Moves a checkpoint from `old` to `new`, or fails with DB001: someone else moved it, owns it, or has
-- stopped it, or its state is another (swapped, cancelled). It is the first statement of a batch: the row lock it takes is the wall between owners.
-- A function, so that its plan is kept by the session.
create function advance_generation(
    of_tenant text, of_projection text, of_generation integer, of_state text,
    old bigint, new bigint, token bigint
) returns void language plpgsql as $$
begin
    update generations set position = new, fence = token, updated_at = clock_timestamp()
    where tenant = of_tenant and projection = of_projection and generation = of_generation
      and position = old and fence <= token and status = 'running' and state = of_state;
    if not found then
        raise exception 'generation % of % is not % and at % for token %', of_generation, of_projection, of_state, old, token
            using errcode = 'DB001';
    end if;
end $$;

-- Who owns which piece of shared work. The token grows with every change of owner (fencing).
create table leases (
    tenant     text        not null, -- whose log
    resource   text        not null, -- such as 'projection/heatmap'
    owner      uuid        not null, -- the process that holds it
    token      bigint      not null, -- fencing token
    expires_at timestamptz not null, -- by the database's clock
    primary key (tenant, resource)
);

-- Events a projection could not fold: a poison event stops its projection until someone decides.
create table failed_events (
    tenant      text        not null, -- whose log
    projection  text        not null, -- who stopped
    generation  integer     not null, -- which generation of it
    position    bigint      not null, -- at which event
    attempts    integer     not null, -- how often it was tried
    error       text        not null, -- what was said, cut to 2,000 characters
    failed_at   timestamptz not null default now(), -- first failure
    skipped_by  text,                 -- who decided to go on without it; null while it blocks
    skip_reason text,                 -- why they did
    skipped_at  timestamptz,          -- when they did
    primary key (tenant, projection, generation, position)
);

-- Running and finished rebuilds, for progress and for going on after a kill.
create table rebuilds (
    tenant       text        not null, -- whose log
    projection   text        not null, -- which read model
    generation   integer     not null, -- the generation being built
    to_position  bigint      not null, -- the head when it began; ranges cover 1..=to_position
    phase        text        not null check (phase in ('folding', 'catching_up', 'swapped', 'cancelled', 'failed')), -- how far
    digest_old   text,                 -- digest of the old generation at the swap, if compared
    digest_new   text,                 -- digest of the new generation at the swap, if compared
    started_at   timestamptz not null default now(), -- when
    finished_at  timestamptz,          -- when
    primary key (tenant, projection, generation)
);

-- The ranges of positions of a rebuild, folded in parallel, each written once.
create table rebuild_ranges (
    tenant        text    not null, -- whose log
    projection    text    not null, -- which read model
    generation    integer not null, -- the generation being built
    from_position bigint  not null, -- first position of the range
    to_position   bigint  not null, -- last position of the range
    done          boolean not null default false, -- set in the transaction that wrote the range's delta
    primary key (tenant, projection, generation, from_position)
);
