//! Every setting: name, type, default, bounds and meaning.

mod analyst;
mod competitions;
mod deployments;
mod foreign;
mod intake;
mod leaderboards;
mod limits;
mod logs;
mod seals;
mod slos;
mod vault;

pub use analyst::*;
pub use competitions::*;
pub use deployments::*;
pub use foreign::*;
pub use intake::*;
pub use leaderboards::*;
pub use limits::*;
pub use logs::*;
pub use seals::*;
pub use slos::*;
pub use vault::*;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::knob::section;
use super::lists::{ApiKeys, Networks, Origins};
use super::value::{Bytes, Environment, HostNames, LogFilter, LogFormat, PostgresUrl, RedisUrl};

section! {
    /// What is not about one part.
    Process in "" {
        /// Directory of everything this process keeps: the private PostgreSQL, the development key.
        data_dir: PathBuf = "./.daybook";
        /// Directory of the PostgreSQL programs for the private server; searched for when not set.
        pg_bin: Option<PathBuf> = "";
        /// `production` refuses to start with anything made up on the spot, and with secrets that are missing,
        /// weak or open to others.
        env: Environment = "development";
        /// How often `daybook serve` looks whether the settings' file has changed. A change is taken once the
        /// file is the same at two looks; SIGHUP takes it at once.
        config_recheck: Duration = "2s", "10ms" ..= "1h";
    }
}

section! {
    /// The HTTP server.
    Http in "http" {
        /// Address to listen on; `0.0.0.0` or `::` for every interface.
        address: IpAddr = "127.0.0.1";
        /// Port to listen on; 0 takes any free one.
        port: u16 = "8080", "0" ..= "65535";
        /// Connections open at once; further ones are told 503 and closed.
        connections_max: usize = "10000", "1" ..= "1000000";
        /// Connections of one address, or of one /64 of IPv6; 0: no cap of its own.
        connections_per_address_max: usize = "100", "0" ..= "1000000";
        /// Networks whose addresses may stand for many callers and have no cap of their own: private
        /// ones, and proxies. All who come through a proxy with a public address share its cap unless
        /// it is added here.
        uncapped_networks: Networks = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10, fc00::/7, fe80::/10";
        /// How long a request's head may take to arrive.
        header_timeout: Duration = "10s", "10ms" ..= "5m";
        /// How long a connection may be kept open without a request.
        idle_timeout: Duration = "60s", "10ms" ..= "1h";
        /// How long a peer may take nothing of an answer before its connection is closed.
        write_timeout: Duration = "30s", "10ms" ..= "10m";
        /// Bytes of a request's head.
        header_bytes_max: Bytes = "32KiB", "1KiB" ..= "64KiB";
        /// Headers of a request.
        headers_max: usize = "100", "8" ..= "1000";
        /// Bytes of a request's path and parameters.
        uri_bytes_max: Bytes = "8KiB", "100" ..= "32KiB";
        /// Proxies whose `X-Forwarded-For` is believed: the client is the last address in it that is none
        /// of theirs. Whatever anybody else says of whom it speaks for is ignored.
        trusted_proxies: Networks = "";
        /// Names this process answers to as `Host`, separated by commas; not set: any.
        hosts: Option<HostNames> = "";
        /// Origins whose pages may read answers and open sockets, each as a browser sends it; `*` for all.
        /// Not set: those of other origins may not. A socket is given to pages of the process's own host too.
        cors_origins: Origins = "";
        /// Lets those pages send what the browser keeps for us. There is nothing of the kind: it is for a
        /// proxy in front that signs people in by cookies. Not with `*`.
        cors_credentials: bool = "false";
        /// How long a browser may remember what such a page may send.
        cors_max_age: Duration = "10m", "0s" ..= "1d";
        /// Tells browsers to come by TLS only for so long (`Strict-Transport-Security`). TLS ends at a proxy,
        /// so it is said only when set; a year (`365d`) once all of the host is served by TLS.
        hsts_max_age: Option<Duration> = "", "0s" ..= "730d";
        /// How long a request's body may take to arrive.
        body_timeout: Duration = "15s", "100ms" ..= "5m";
        /// Bytes of a GraphQL request's body.
        body_bytes_max: Bytes = "1MiB", "1KiB" ..= "64MiB";
        /// Bytes of a body of log records, as it arrives and expanded.
        log_body_bytes_max: Bytes = "10MiB", "1KiB" ..= "256MiB";
        /// Records on one page of a REST answer.
        page_max: usize = "1000", "1" ..= "10000";
        /// How long requests in flight may go on after the stop signal; then they are dropped.
        drain_soft: Duration = "10s", "0s" ..= "10m";
        /// When the process ends after the stop signal, whatever is not finished.
        drain_hard: Duration = "30s", "1s" ..= "30m";
    }
}

section! {
    /// PostgreSQL. Without an address a private server is started from installed programs.
    Database in "database" {
        /// The server; not set: a private one under `data_dir`.
        url: Option<PostgresUrl> = "";
        /// Connections for queries and bookkeeping; appends have a few of their own.
        pool_max: u32 = "25", "4" ..= "1000";
        /// Connections kept open when idle.
        pool_min: u32 = "5", "0" ..= "1000";
        /// How long a caller waits for a free connection.
        acquire_timeout: Duration = "2s", "10ms" ..= "1m";
        /// A connection for queries is replaced after this time.
        connection_lifetime: Duration = "5m", "10s" ..= "1d";
        /// How long a reading statement may run.
        statement_timeout: Duration = "5s", "10ms" ..= "1h";
        /// How long an append may run, its turn in the database included.
        write_timeout: Duration = "15s", "10ms" ..= "1h";
        /// How long a statement waits for a lock.
        lock_timeout: Duration = "2s", "10ms" ..= "1m";
        /// A transaction idle for this long is ended by the server.
        idle_in_transaction_timeout: Duration = "10s", "1s" ..= "1h";
        /// Prepared statements kept per connection; 0 behind a pooler in transaction mode.
        statement_cache: usize = "100", "0" ..= "10000";
        /// First pause before an append connects again; doubled up to `reconnect_max`.
        reconnect_min: Duration = "20ms", "1ms" ..= "1m";
        /// Longest pause before an append connects again.
        reconnect_max: Duration = "500ms", "1ms" ..= "10m";
        /// Starts although the server may lose acknowledged commands (fsync, full_page_writes or
        /// synchronous_commit is off).
        allow_unsafe_durability: bool = "false";
    }
}

section! {
    /// Redis, a cache that may be lost at any time. Without an address the process caches alone.
    Redis in "redis" {
        /// The server; not set: an in-process cache only.
        url: Option<RedisUrl> = "";
        /// First part of every key and channel.
        prefix: String = "daybook:";
        /// How long one look-up or store may take before the answer is made without it.
        budget: Duration = "100ms", "1ms" ..= "10s";
        /// How long connecting may take.
        connect_timeout: Duration = "1s", "10ms" ..= "30s";
        /// Failures in a row after which Redis is left alone for a while.
        breaker_failures: u32 = "5", "1" ..= "1000";
        /// How long it is left alone.
        breaker_open: Duration = "30s", "10ms" ..= "1h";
    }
}

section! {
    /// Group commit: commands that wait together are appended by one statement.
    Append in "append" {
        /// Commands that may wait, per tenant; further ones are told to come back.
        queue_max: usize = "4096", "1" ..= "1000000";
        /// Commands in one group.
        group_commands_max: usize = "512", "1" ..= "4096";
        /// Bytes of payload in one group of small commands.
        group_bytes_max: Bytes = "1MiB", "64KiB" ..= "64MiB";
        /// From this many bytes of payload on a command is a bulk batch and goes apart.
        bulk_bytes_min: Bytes = "16KiB", "1KiB" ..= "64MiB";
        /// Bytes of payload in one group of bulk batches: the longest that others wait.
        bulk_group_bytes_max: Bytes = "512KiB", "64KiB" ..= "64MiB";
        /// Batches of log records under way at once, of all tenants, each on a connection of its own. Each
        /// takes of what interactive commands have of the database.
        bulk_connections_max: usize = "2", "1" ..= "16";
        /// Groups of one tenant in flight, each on a connection of its own.
        groups_in_flight_max: usize = "2", "1" ..= "16";
        /// A second group leaves only when this many commands wait; of twice as many each takes half.
        second_group_commands_min: usize = "64", "1" ..= "4096";
        /// How often callers just answered are let in before a group leaves.
        gather_yields: usize = "16", "0" ..= "1000";
        /// Tenants with appends under way.
        lanes_max: usize = "32", "1" ..= "100000";
        /// How often an append that lost a race to another process is run again.
        races_max: u32 = "16", "0" ..= "1000";
        /// Positions of one partition of the log.
        partition_positions: u64 = "16777216", "1000" ..= "1000000000";
        /// Least time between two wake-ups of other processes.
        notify_interval: Duration = "2ms", "1ms" ..= "10s";
        /// How often the log's head is looked at, whatever wake-ups say.
        poll_interval: Duration = "1s", "10ms" ..= "1m";
    }
}

section! {
    /// The write door.
    Commands in "commands" {
        /// Memory for recent states of aggregates.
        state_bytes_max: Bytes = "64MiB", "0" ..= "64GiB";
        /// Receipts of declared command ids kept in memory; older ones are found in the database.
        receipts_max: usize = "16384", "0" ..= "10000000";
        /// How often a command that lost a race is decided, the first time included.
        attempts_max: u32 = "12", "1" ..= "100";
        /// The state of a vehicle or fleet is stored after so many events of its stream, so that loading
        /// it reads about as many at most. `0`: never.
        snapshot_events: u32 = "500", "0" ..= "1000000";
        /// How long a command's id is remembered, in whole hours.
        idempotency_retention: Duration = "24h", "1h" ..= "365d";
        /// How long refused records can be looked at, in whole days.
        rejected_retention: Duration = "30d", "1d" ..= "365d";
        /// Refused records kept per tenant; the oldest go first.
        rejected_records_max: u32 = "100000", "0" ..= "1000000000";
        /// Bytes of one refused record that are kept.
        rejected_record_bytes_max: Bytes = "4KiB", "256" ..= "64KiB";
        /// Bytes of memory that log records take which are being read, judged or waiting for their append; more
        /// are told 429. One request alone is always let in.
        log_bytes_max: Bytes = "32MiB", "1MiB" ..= "4GiB";
    }
}

section! {
    /// Which position fixes are accepted.
    Fixes in "fixes" {
        /// How far a fix may be ahead of the server's clock.
        future_max: Duration = "24h", "0s" ..= "365d";
        /// How old a fix may be; not set: any age since 1970.
        age_max: Option<Duration> = "", "1m" ..= "36500d";
        /// The highest speed believed, metres per second.
        speed_max_mps: f64 = "350", "1" ..= "100000";
    }
}

section! {
    /// The runner that keeps read models up to date.
    Consumers in "consumers" {
        /// Keeps read models up to date in this process; `false` only asks them.
        project: bool = "true";
        /// How long a silent owner keeps its share of the work.
        lease: Duration = "3s", "500ms" ..= "10m";
        /// Events in one batch.
        batch_events_max: usize = "4096", "1" ..= "100000";
        /// Rows after which a batch is written.
        batch_rows_max: usize = "20000", "1" ..= "1000000";
        /// Memory of one batch's events, estimated. One more is made while a batch is written.
        batch_bytes_max: Bytes = "16MiB", "64KiB" ..= "4GiB";
        /// A batch is written once folding it has taken this long.
        batch_time_max: Duration = "200ms", "1ms" ..= "1m";
        /// Recent events kept for all followers of one log.
        ring_events_max: usize = "4096", "16" ..= "1000000";
        /// Memory of those, estimated.
        ring_bytes_max: Bytes = "16MiB", "64KiB" ..= "4GiB";
        /// How often the bookkeeping of other processes is looked at when nobody waits.
        poll_interval: Duration = "500ms", "10ms" ..= "1m";
        /// First pause after a fault; doubled up to `retry_max`.
        retry_min: Duration = "50ms", "1ms" ..= "1m";
        /// Longest pause after faults.
        retry_max: Duration = "5s", "1ms" ..= "10m";
        /// How often an event that the database refuses is tried before its read model stops or parks its stream.
        attempts_max: u32 = "3", "1" ..= "100";
        /// Streams that one read model may have parked because it could not take in an event of theirs; the
        /// next such event stops it. `0`: each does.
        parked_streams_max: usize = "100", "0" ..= "10000";
        /// A batch whose transaction takes longer is given up and tried again.
        step_time_max: Duration = "1m", "100ms" ..= "1h";
        /// How long a query waits for the position its caller insists on.
        wait_max: Duration = "2s", "0s" ..= "1m";
        /// How much of their rate those who append may lose by a rebuild while it folds the log; it
        /// rests as much as that takes. `1`: it never rests.
        rebuild_slowdown_max: f64 = "0.2", "0.01" ..= "1";
        /// Workers of all rebuilds that one process carries out, at once: each has two connections to the
        /// database beside the pool.
        rebuild_workers_max: usize = "8", "1" ..= "64";
        /// Generations as of positions that a tenant may have, those being built included.
        scratches_max: usize = "8", "1" ..= "1000";
    }
}

section! {
    /// Subscriptions. Those with the same document, variables and rights are one group, whose items
    /// are made once.
    Feeds in "feeds" {
        /// Groups of one process.
        groups_max: usize = "1000", "1" ..= "1000000";
        /// Subscribers of one process.
        members_max: usize = "5000", "1" ..= "1000000";
        /// Events waiting for one group; one that is slower scans the log, or begins again.
        queue_events_max: usize = "1024", "1" ..= "1000000";
        /// Memory of those, estimated.
        queue_bytes_max: Bytes = "4MiB", "64KiB" ..= "1GiB";
        /// Recent items kept for a journal's subscribers; whoever is further behind scans the log.
        ring_items_max: usize = "256", "1" ..= "1000000";
        /// Bytes of those.
        ring_bytes_max: Bytes = "1MiB", "1KiB" ..= "1GiB";
        /// Vehicles that one subscription may concern.
        keys_max: usize = "10000", "1" ..= "1000000";
        /// Bytes of the latest items kept for a subscription's members.
        latest_bytes_max: Bytes = "16MiB", "1KiB" ..= "1GiB";
        /// Pages of the log read at once for those who scan it.
        scans_max: usize = "4", "1" ..= "1000";
        /// How long one waits for its turn to scan; then it is told where to resume.
        scan_wait: Duration = "10s", "10ms" ..= "10m";
        /// Events of one page of a scan.
        scan_events_max: usize = "100", "1" ..= "10000";
        /// Stored bytes of those; one event alone may be larger.
        scan_page_bytes_max: Bytes = "512KiB", "1KiB" ..= "64MiB";
        /// Memory of all that was read by those who scan and is not told yet, estimated. Above half of it
        /// nobody keeps what it does not tell at once, but reads it again; above all of it nobody reads on.
        scan_bytes_max: Bytes = "64MiB", "64KiB" ..= "64GiB";
        /// Positions that one query of a scan looks through.
        scan_positions_max: usize = "20000", "1" ..= "10000000";
        /// Log records in one item of a tail; a batch with more that pass its filter is cut.
        tail_records_max: usize = "100", "1" ..= "1000";
        /// Bytes of those, estimated; one record alone may be larger.
        tail_bytes_max: Bytes = "256KiB", "1KiB" ..= "64MiB";
        /// How often a read that failed is tried before a subscription ends.
        attempts_max: u32 = "5", "1" ..= "100";
        /// How long making one item may take.
        item_time_max: Duration = "10s", "10ms" ..= "10m";
        /// Updates a second of one key when the subscriber does not say (`maxHz`).
        hz_default: f64 = "2", "0.001" ..= "1000";
        /// Most updates a second of one key.
        hz_max: f64 = "20", "0.001" ..= "1000";
    }
}

section! {
    /// The cache of answers. Nothing in it is ever more than a copy.
    Cache in "cache" {
        /// Memory for answers in this process.
        bytes_max: Bytes = "64MiB", "0" ..= "64GiB";
        /// An answer larger than this is not kept.
        entry_bytes_max: Bytes = "1MiB", "0" ..= "512MiB";
        /// How long an answer is kept; it can only be old, never wrong: its key names the position.
        ttl: Duration = "5m", "0s" ..= "1d";
        /// Keeps whole answers to queries; `false` keeps figures only.
        answers: bool = "true";
        /// How old this process's knowledge of the read models may be when a kept answer is given: the
        /// most by which read models that another process keeps can be ahead of it.
        recheck: Duration = "100ms", "0s" ..= "10s";
        /// Requests remembered as checked, so that those sent again need not be read again.
        requests_max: usize = "10000", "0" ..= "1000000";
    }
}

section! {
    /// Tokens (RFC 9068, Ed25519).
    Auth in "auth" {
        /// Claim `iss` of every token.
        issuer: String = "daybook";
        /// Claim `aud` of every token.
        audience: String = "daybook-api";
        /// Clock difference allowed to token times.
        leeway: Duration = "30s", "0s" ..= "5m";
        /// How long a token is good for, unless said otherwise when it is made.
        access_ttl: Duration = "15m", "1m" ..= "365d";
        /// How long a token may be good for at most, whoever makes it; a key that has stopped signing is
        /// published for as long.
        token_ttl_max: Duration = "7d", "1m" ..= "365d";
        /// How long a signing key signs before the next one does.
        rotate_every: Duration = "30d", "1m" ..= "3650d";
        /// How long others may keep the published keys; a key is published for longer before it signs.
        jwks_max_age: Duration = "5m", "1s" ..= "1d";
        /// How often it is looked which keys are due to be rotated, and how often use is written down.
        tend_interval: Duration = "10s", "20ms" ..= "1h";
        /// What the log says of a caller and of the signing keys is looked at again when it is older than
        /// this: how long what was revoked elsewhere can still be used.
        recheck: Duration = "2s", "0s" ..= "4s";
        /// While the database cannot be asked, what it said of a caller and of the signing keys is believed
        /// for so long: revocations take effect within this, or nobody is let in.
        believed_for: Duration = "5s", "0s" ..= "5s";
        /// How long a session lasts after it was used last.
        session_sliding: Duration = "7d", "1m" ..= "365d";
        /// How long a session lasts in all.
        session_absolute: Duration = "30d", "1m" ..= "3650d";
        /// How long a refresh token that was used is answered with its successor once more.
        refresh_grace: Duration = "10s", "0s" ..= "5m";
        /// How long a link that verifies an address is good for.
        link_ttl: Duration = "24h", "1m" ..= "30d";
        /// Passwords hashed or checked at a time, 19 MiB each.
        password_checks_max: usize = "2", "1" ..= "64";
        /// How long a password waits for its turn before its owner is told to come back.
        password_wait: Duration = "5s", "10ms" ..= "1m";
        /// How long an API key may be good for at most.
        api_key_ttl_max: Duration = "365d", "1m" ..= "3650d";
        /// How long the secret before is good beside the new one when an API key is rotated.
        api_key_overlap: Duration = "24h", "0s" ..= "30d";
        /// API keys of other programs, separated by commas, each at least 16 characters: taken over once,
        /// as digests, to hand records in with.
        api_keys: Option<ApiKeys> = "";
        /// API keys whose use is counted between two times it is written down.
        usage_keys_max: usize = "10000", "1" ..= "1000000";
        /// Checked tokens remembered until they expire.
        verified_tokens_max: u64 = "10000", "0" ..= "10000000";
    }
}

section! {
    /// The GraphQL transport.
    Graphql in "graphql" {
        /// Memory for documents that were parsed and checked before, estimated.
        documents_bytes_max: Bytes = "16MiB", "0" ..= "4GiB";
        /// A JSON file of the only documents that are carried out, as `{"SHA-256": "text", ...}`;
        /// not set: any document within the limits.
        trusted_documents: Option<PathBuf> = "";
        /// Status codes of the newer draft of GraphQL over HTTP: 422 for a request that does not fit
        /// the schema, 294 for an answer with errors beside its data.
        draft_status_codes: bool = "false";
    }
}

section! {
    /// Sockets (graphql-transport-ws) and event streams.
    Sockets in "sockets" {
        /// Sockets and event streams open at once.
        total_max: usize = "5000", "0" ..= "1000000";
        /// Sockets and event streams of one caller.
        per_caller_max: usize = "20", "1" ..= "1000000";
        /// Operations under way on one socket.
        operations_max: usize = "20", "1" ..= "10000";
        /// How long a new socket may take to say who it is.
        init_timeout: Duration = "5s", "10ms" ..= "1m";
        /// Bytes of one message from a client.
        message_bytes_max: Bytes = "64KiB", "1KiB" ..= "16MiB";
        /// Messages a client may send per second, on average.
        messages_per_second: u32 = "20", "1" ..= "1000000";
        /// Messages a client may send at once after a pause.
        messages_burst: u32 = "50", "1" ..= "1000000";
        /// How often the other side is asked whether it is there; event streams get a comment as often.
        ping_interval: Duration = "15s", "10ms" ..= "10m";
        /// How often it is looked whether a socket's or event stream's caller still may.
        recheck: Duration = "2s", "20ms" ..= "3s";
        /// A socket that has sent nothing for so long, not even a reply to a ping, is gone.
        silence_max: Duration = "40s", "10ms" ..= "1h";
        /// How long a client may take nothing before its socket is closed.
        write_timeout: Duration = "10s", "10ms" ..= "10m";
        /// How long a client may take to read the last of what was sent to it, the close included.
        close_timeout: Duration = "2s", "10ms" ..= "1m";
        /// Answers to its own messages, such as pings, that may wait for one client.
        queue_messages_max: usize = "256", "8" ..= "100000";
        /// Bytes of what waits for one client above which no such answer is added. What operations have to
        /// say is taken from them only while little waits.
        queue_bytes_max: Bytes = "1MiB", "4KiB" ..= "1GiB";
    }
}

section! {
    /// Log lines of the process, on standard error.
    Log in "log" {
        /// `auto` writes text on a terminal and JSON elsewhere.
        format: LogFormat = "auto";
        /// Level, or levels by module: `info`, `warn,daybook=debug`.
        [live] level: LogFilter = "info";
    }
}
