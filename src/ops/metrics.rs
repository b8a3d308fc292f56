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
    (@describe seconds $name:ident $unit:ident $doc:literal) => {
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
    seconds HTTP_REQUEST_SECONDS "daybook_http_request_duration_seconds" Seconds
        "From the request's last header to the answer's last byte handed over, by `route`.";
    gauge HTTP_CONNECTIONS "daybook_http_connections" Count
        "Open connections.";
    counter COMMANDS_TOTAL "daybook_commands_total" Count
        "Commands, by `command` and `outcome` (kept, replayed, refused, failed).";
    seconds COMMAND_SECONDS "daybook_command_duration_seconds" Seconds
        "From the write door to the receipt, by `command`.";
    counter AUTH_TOTAL "daybook_auth_total" Count
        "Tokens looked at, by `outcome` (verified, remembered, refused).";
    counter CACHE_REQUESTS_TOTAL "daybook_cache_requests_total" Count
        "Look-ups, by `layer` (memory, redis) and `outcome` (hit, miss, late, failed, skipped, disbelieved).";
    seconds REDIS_SECONDS "daybook_redis_request_duration_seconds" Seconds
        "One look-up or store in Redis, by `operation`.";
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

/// How often recorded durations are moved from their buffers into the buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

impl Metrics {
    /// Makes this process record metrics. Calling it again gives the same.
    pub fn install() -> Metrics {
        static INSTALLED: OnceLock<Metrics> = OnceLock::new();
        let installed = INSTALLED.get_or_init(|| {
            let handle = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
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

    /// Keeps the buffers of durations small until the process stops.
    pub async fn upkeep(self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.hard() => return,
                () = tokio::time::sleep(UPKEEP_EVERY) => self.0.run_upkeep(),
            }
        }
    }
}
