//! Metrics: every name, its unit and its meaning on one page; rendered for Prometheus.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::Shutdown;

macro_rules! metrics {
    ($($kind:ident $name:ident $text:literal $unit:ident $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $text;)*

        fn describe() {
            $(metrics!(@describe $kind $name $unit $doc);)*
        }
    };
    (@describe counter $name:ident $unit:ident $doc:literal) => {
        describe_counter!($name, Unit::$unit, $doc)
    };
    (@describe gauge $name:ident $unit:ident $doc:literal) => {
        describe_gauge!($name, Unit::$unit, $doc)
    };
    (@describe histogram $name:ident $unit:ident $doc:literal) => {
        describe_histogram!($name, Unit::$unit, $doc)
    };
}

metrics! {
    gauge BUILD_INFO "daybook_build_info" Count
        "Always 1; the label `version` names the build.";
    counter PANICS_TOTAL "daybook_panics_total" Count
        "Panics of any task; each is logged with its place.";
    counter HTTP_REQUESTS_TOTAL "daybook_http_requests_total" Count
        "Requests answered, by `route`, `method` and `status`.";
    histogram HTTP_REQUEST_SECONDS "daybook_http_request_duration_seconds" Seconds
        "From the request's last header to the answer's last byte handed over, by `route`.";
    gauge HTTP_CONNECTIONS "daybook_http_connections" Count
        "Connections open, sockets included.";
    counter HTTP_CONNECTIONS_REFUSED_TOTAL "daybook_http_connections_refused_total" Count
        "Connections closed at once because there were too many.";
    counter GRAPHQL_OPERATIONS_TOTAL "daybook_graphql_operations_total" Count
        "Operations, by `kind` (query, mutation, subscription, unknown) and `outcome` (ok, errors, refused).";
    gauge SOCKETS_OPEN "daybook_sockets" Count
        "Sockets and event streams open.";
    counter SOCKET_CLOSES_TOTAL "daybook_socket_closes_total" Count
        "Sockets closed, by `code`; `gone` where the other side did.";
    counter WEBHOOKS_TOTAL "daybook_webhooks_total" Count
        "Deliveries of webhooks, by `kind` (github, generic) and `outcome` (recorded, moved, unchanged, replayed, ignored, unsigned, limited, refused, failed).";
    histogram APPEND_GROUP_COMMANDS "daybook_append_group_commands" Count
        "Commands of one group commit.";
    counter PROJECTION_EVENTS_TOTAL "daybook_projection_events_total" Count
        "Events folded, by `projection`.";
    counter PROJECTION_FAILURES_TOTAL "daybook_projection_failures_total" Count
        "Batches that failed and were tried again, by `projection`.";
    histogram PROJECTION_BATCH_SECONDS "daybook_projection_batch_seconds" Seconds
        "One batch from its first event folded to its commit, by `projection`.";
    gauge PROJECTION_LAG_EVENTS "daybook_projection_lag_events" Count
        "Events of the log not folded yet, by `tenant` and `projection`.";
    gauge PROJECTION_LAG_SECONDS "daybook_projection_lag_seconds" Seconds
        "Age of the oldest event not folded yet, by `tenant` and `projection`.";
    gauge PROJECTION_STOPPED "daybook_projection_stopped" Count
        "1 while a read model has stopped at an event, by `tenant` and `projection`.";
    gauge PROJECTION_PARKED_STREAMS "daybook_projection_parked_streams" Count
        "Streams that a read model goes on without until somebody decides, by `tenant` and `projection`.";
    gauge DATABASE_CONNECTIONS "daybook_database_connections" Count
        "Connections of the pool for queries, by `state` (open, idle).";
    gauge PROCESS_MEMORY_BYTES "process_resident_memory_bytes" Bytes
        "Memory of this process.";
    counter PROCESS_CPU_SECONDS "process_cpu_seconds_total" Seconds
        "Processor time this process has used, user and system, in whole seconds.";
    counter AUTH_TOTAL "daybook_auth_total" Count
        "Tokens looked at, by `outcome` (verified, remembered, refused).";
    counter OIDC_FETCHES_TOTAL "daybook_oidc_fetches_total" Count
        "Times the keys of the foreign issuer were fetched, by `outcome` (ok, failed).";
    gauge OIDC_KEYS "daybook_oidc_keys" Count
        "Keys of the foreign issuer that tokens may be signed with, as last fetched.";
    counter ANSWERS_TOTAL "daybook_answers_total" Count
        "Answers to queries that may be kept, by `source` (memory, redis, miss, bypass).";
    counter BOARDS_TOTAL "daybook_boards_total" Count
        "Boards that were read, by `source` (redis, memory, tables).";
    counter STALE_READS_TOTAL "daybook_stale_reads_total" Count
        "Reads that were refused because the read models did not come to the position asked for in time.";
    counter CACHE_REQUESTS_TOTAL "daybook_cache_requests_total" Count
        "Look-ups, by `layer` (memory, redis) and `outcome` (hit, miss, late, failed, skipped, disbelieved).";
    histogram REDIS_SECONDS "daybook_redis_request_duration_seconds" Seconds
        "One look-up or store in Redis, by `operation`.";
    gauge SUBSCRIPTIONS "daybook_subscriptions" Count
        "Subscribers of this process, by `feed`.";
    gauge FEED_GROUPS "daybook_feed_groups" Count
        "Different subscriptions of this process, whose items are made once for all who ask the same, by `feed`.";
    counter FEED_DELIVERIES_TOTAL "daybook_feed_deliveries_total" Count
        "Items handed to subscribers, by `feed`.";
    counter FEED_CONFLATIONS_TOTAL "daybook_feed_conflations_total" Count
        "Updates passed over for a later one of the same key, by `feed`.";
    counter FEED_SCANS_TOTAL "daybook_feed_scans_total" Count
        "Times a subscriber or a group read the past, having resumed or been too slow, by `feed`.";
    counter FEED_TERMINATIONS_TOTAL "daybook_feed_terminations_total" Count
        "Subscriptions that could not go on, by `feed` and `reason` (the code of the fault).";
    histogram FEED_DELIVERY_SECONDS "daybook_feed_delivery_seconds" Seconds
        "From an event's commit to its item's handing over, by `feed`; scans not counted.";
    counter SLO_MEASUREMENTS_TOTAL "daybook_slo_measurements_total" Count
        "Objectives measured to raise and clear their alerts, by `outcome` (ok, failed, parked).";
    counter SLO_ALERT_CHANGES_TOTAL "daybook_slo_alert_changes_total" Count
        "Alerts of objectives that went up or down, by `change` (raised, cleared).";
    histogram SLO_LOOK_SECONDS "daybook_slo_look_duration_seconds" Seconds
        "One look at the objectives of a tenant.";
    counter COMPETITION_PERIODS_TOTAL "daybook_competition_periods_total" Count
        "Periods of competitions that were to be closed by themselves, by `outcome` (closed, failed).";
    histogram COMPETITION_LOOK_SECONDS "daybook_competition_look_duration_seconds" Seconds
        "One look for periods of a tenant's competitions that are over.";
    counter LOG_RECORDS_SWEPT_TOTAL "daybook_log_records_swept_total" Count
        "Log records taken out of the read model because their sources keep them no longer.";
    histogram LOG_RETENTION_SECONDS "daybook_log_retention_look_duration_seconds" Seconds
        "One look for such records of a tenant, by `outcome` (ok, failed).";
    counter SEALED_EVENTS_TOTAL "daybook_sealed_events_total" Count
        "Events put under a seal by this process.";
    histogram SEAL_SECONDS "daybook_seal_duration_seconds" Seconds
        "One seal, from reading its events to its commit.";
    counter CONFIG_RELOADS_TOTAL "daybook_config_reloads_total" Count
        "Times the settings were read again, by `outcome` (taken, refused).";
    counter LIMITS_TOTAL "daybook_limits_total" Count
        "What was counted against a quota, by `kind` (address, user, cost, sign_in_address, sign_in_account, log_records) and `outcome` (allowed, refused).";
    counter LIMIT_EVICTIONS_TOTAL "daybook_limit_evictions_total" Count
        "Quotas partly spent that were forgotten because there were too many to remember (`limits.entries_max`).";
    counter LIMIT_FALLBACKS_TOTAL "daybook_limit_fallbacks_total" Count
        "Times Redis did not say what others spent, by `reason` (late, failed, skipped, garbage): quotas are divided by `limits.nodes_assumed` until it does.";
    gauge REDIS_BREAKER_OPEN "daybook_redis_breaker_open" Count
        "1 while Redis is left alone after failures.";
}

/// Renders what was recorded. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

/// Buckets of every duration, seconds: 0.5 ms to 30 s.
const SECONDS_BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How often recorded durations are moved from their buffers into the buckets, and gauges set.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

impl Metrics {
    /// Makes this process record metrics. Calling it again gives the same.
    pub fn install() -> Metrics {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
                .expect("the list of buckets is not empty")
                .set_buckets_for_metric(
                    Matcher::Full(APPEND_GROUP_COMMANDS.into()),
                    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0],
                )
                .expect("the list of buckets is not empty")
                .install_recorder()
                .expect("no other place installs a recorder");
            describe();
            metrics::gauge!(BUILD_INFO, "version" => super::VERSION).set(1.0);
            Metrics(handle)
        });
        installed.clone()
    }

    /// The page for Prometheus (text format 0.0.4).
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Keeps the buffers of durations small and the gauges fresh until the process stops. `sample`
    /// sets the gauges that somebody else knows.
    pub async fn upkeep(self, shutdown: Shutdown, sample: impl Fn()) {
        loop {
            sample();
            sample_process();
            self.0.run_upkeep();
            tokio::select! {
                () = shutdown.hard() => return,
                () = tokio::time::sleep(UPKEEP_EVERY) => {}
            }
        }
    }
}

/// Sets the gauges of this process, where the platform tells (`proc(5)`).
fn sample_process() {
    const PAGE_BYTES: f64 = 4_096.0;
    // USER_HZ: the unit of `proc`, the same on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let file = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
    let number = |text: &str, at: usize| text.split(' ').nth(at)?.parse::<f64>().ok();
    if let Some(pages) = file("statm").and_then(|text| number(&text, 1)) {
        metrics::gauge!(PROCESS_MEMORY_BYTES).set(pages * PAGE_BYTES);
    }
    // The second field is the program's name in brackets and may hold spaces.
    let times = file("stat").and_then(|text| {
        let (_, after) = text.rsplit_once(") ")?;
        Some(number(after, 11)? + number(after, 12)?)
    });
    if let Some(ticks) = times {
        metrics::counter!(PROCESS_CPU_SECONDS).absolute((ticks / TICKS_PER_SECOND) as u64);
    }
}
