//! Every setting: name, type, default, bounds and meaning.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::knob::section;
use super::value::{Bytes, Environment, LogFilter, LogFormat, PostgresUrl, RedisUrl};

section! {
    /// What is not about one part.
    Process in "" {
        /// Directory of everything this process keeps: the private PostgreSQL, the development key.
        data_dir: PathBuf = "./.daybook";
        /// Directory of the PostgreSQL programs for the private server; searched for when not set.
        pg_bin: Option<PathBuf> = "";
        /// `production` refuses to start with anything made up on the spot.
        env: Environment = "development";
    }
}

section! {
    /// The HTTP server.
    Http in "http" {
        /// Address to listen on; `0.0.0.0` or `::` for every interface.
        address: IpAddr = "127.0.0.1";
        /// Port to listen on; 0 takes any free one.
        port: u16 = "8080", "0" ..= "65535";
        /// Open connections of all callers; further ones are refused.
        connections_max: usize = "10000", "1" ..= "1000000";
        /// Headers of one request.
        headers_max: usize = "100", "10" ..= "1000";
        /// Bytes of one request's headers together.
        headers_bytes_max: Bytes = "32KiB", "8KiB" ..= "1MiB";
        /// How long a request's headers may take to arrive.
        header_timeout: Duration = "10s", "100ms" ..= "5m";
        /// How long a request's body may take to arrive.
        body_timeout: Duration = "15s", "100ms" ..= "5m";
        /// How long a reply may take to be read by the caller.
        write_timeout: Duration = "30s", "100ms" ..= "1h";
        /// Bytes of a GraphQL request's body.
        body_bytes_max: Bytes = "1MiB", "1KiB" ..= "64MiB";
        /// Records on one page of a REST answer.
        page_max: usize = "1000", "1" ..= "10000";
        /// How long requests in flight may go on after the stop signal.
        drain_soft: Duration = "10s", "0s" ..= "10m";
        /// When the process ends after the stop signal, whatever is still running.
        drain_hard: Duration = "30s", "1s" ..= "30m";
    }
}

section! {
    /// PostgreSQL. Without an address a private server is started from installed programs.
    Database in "database" {
        /// The server; not set: a private one under `data_dir`.
        url: Option<PostgresUrl> = "";
        /// Connections of this process.
        pool_max: u32 = "25", "4" ..= "1000";
        /// Connections kept open when idle.
        pool_min: u32 = "5", "0" ..= "1000";
        /// How long a caller waits for a free connection.
        acquire_timeout: Duration = "2s", "10ms" ..= "1m";
        /// A connection is replaced after this time.
        connection_lifetime: Duration = "5m", "10s" ..= "1d";
        /// How long a reading statement may run.
        statement_timeout: Duration = "5s", "10ms" ..= "1h";
        /// How long an append or a read model's write may run.
        write_statement_timeout: Duration = "15s", "10ms" ..= "1h";
        /// How long a statement waits for a lock.
        lock_timeout: Duration = "2s", "10ms" ..= "1m";
        /// A transaction idle for this long is ended by the server.
        idle_in_transaction_timeout: Duration = "10s", "1s" ..= "1h";
        /// Prepared statements kept per connection; 0 behind a pooler in transaction mode.
        statement_cache: usize = "100", "0" ..= "10000";
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
        /// Commands in one group.
        group_commands_max: usize = "512", "1" ..= "4096";
        /// Bytes of events in one group; a larger command goes alone.
        group_bytes_max: Bytes = "4MiB", "64KiB" ..= "64MiB";
        /// Commands that may wait; further ones are told to come back.
        queue_max: usize = "4096", "1" ..= "1000000";
        /// Bytes that may wait; further commands are told to come back.
        queue_bytes_max: Bytes = "64MiB", "1MiB" ..= "4GiB";
    }
}

section! {
    /// The write door.
    Commands in "commands" {
        /// Memory for recent states of aggregates.
        state_cache_bytes_max: Bytes = "64MiB", "0" ..= "64GiB";
        /// How often a command that lost a race is decided again.
        retries_max: u32 = "3", "0" ..= "100";
        /// How long a command's id is remembered.
        idempotency_retention: Duration = "24h", "1m" ..= "365d";
        /// How long refused records can be looked at.
        rejected_retention: Duration = "30d", "1m" ..= "365d";
        /// Refused records kept per tenant; the oldest go first.
        rejected_records_max: u64 = "1000000", "0" ..= "1000000000";
    }
}

section! {
    /// Which position fixes are accepted.
    Fixes in "fixes" {
        /// How far a fix may be ahead of the server's clock.
        ahead_max: Duration = "24h", "0s" ..= "365d";
        /// How old a fix may be; not set: any age since 1970.
        age_max: Option<Duration> = "", "1m" ..= "36500d";
        /// The highest speed believed, metres per second.
        speed_mps_max: f64 = "340", "1" ..= "100000";
    }
}

section! {
    /// The runner that keeps read models up to date.
    Consumers in "consumers" {
        /// How long a process owns a read model without renewing.
        lease_ttl: Duration = "10s", "500ms" ..= "10m";
        /// Events folded before a write.
        batch_events_max: usize = "2000", "1" ..= "100000";
        /// Rows of a delta after which it is written, whatever the number of events.
        batch_rows_max: usize = "20000", "1" ..= "1000000";
        /// How often the log is looked at when no wake-up came.
        poll_interval: Duration = "500ms", "10ms" ..= "1m";
        /// How often an event that cannot be folded is tried before its read model stops.
        attempts_max: u32 = "5", "1" ..= "100";
        /// Pause before the second attempt; doubled each time.
        retry_pause: Duration = "200ms", "1ms" ..= "1m";
        /// How long a query waits for the position its caller insists on.
        wait_max: Duration = "2s", "0s" ..= "1m";
        /// Threads of work of one rebuild.
        rebuild_workers: usize = "2", "1" ..= "64";
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
        /// Ed25519 private key, PKCS #8 PEM, readable by its owner only; the same file for all
        /// processes. Not set: `development-key.pem` in `data_dir`, made on the first start.
        signing_key_file: Option<PathBuf> = "";
        /// Checked tokens remembered until they expire.
        verified_tokens_max: u64 = "10000", "0" ..= "10000000";
    }
}

section! {
    /// Bounds on one GraphQL request. What is over is refused before anything runs.
    Limits in "limits" {
        /// Levels of nested fields.
        depth_max: usize = "10", "1" ..= "100";
        /// Aliased fields.
        aliases_max: usize = "30", "0" ..= "10000";
        /// Root fields of a query.
        query_root_fields_max: usize = "20", "1" ..= "1000";
        /// Root fields of a mutation: commands carried out one after the other.
        mutation_root_fields_max: usize = "10", "1" ..= "1000";
        /// Directives of the whole document.
        directives_max: usize = "50", "0" ..= "10000";
        /// Directives of one field.
        directives_per_field_max: usize = "5", "0" ..= "100";
        /// Lexical tokens of the document.
        tokens_max: usize = "2000", "10" ..= "100000";
        /// Bytes of the document.
        query_bytes_max: Bytes = "16KiB", "100" ..= "1MiB";
        /// Selections once fragments are spread, `__typename` included.
        selections_max: usize = "2000", "1" ..= "1000000";
        /// Cost: fields times the pages they are on.
        cost_max: usize = "5000", "1" ..= "100000000";
        /// Nodes an answer may hold.
        nodes_max: usize = "10000", "1" ..= "10000000";
        /// `first` when the caller does not say.
        page_default: usize = "50", "1" ..= "10000";
        /// The largest `first`.
        page_max: usize = "200", "1" ..= "10000";
        /// Errors in one answer.
        errors_max: usize = "10", "1" ..= "1000";
        /// Characters of one error's message.
        error_chars_max: usize = "200", "50" ..= "10000";
        /// How long one operation may take.
        operation_timeout: Duration = "10s", "10ms" ..= "10m";
        /// Checked documents remembered, so that they are parsed once.
        documents_cached_max: u64 = "1000", "0" ..= "1000000";
    }
}

section! {
    /// Log lines of the process, on standard error.
    Log in "log" {
        /// `auto` writes text on a terminal and JSON elsewhere.
        format: LogFormat = "auto";
        /// Level, or levels by module: `info`, `warn,daybook=debug`.
        level: LogFilter = "info";
    }
}
