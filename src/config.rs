//! Raw settings become checked settings; every knob is documented where it is declared.
//!
//! Read [`sections`] for what can be set, `layers` for where values come from and which wins.

mod aliases;
pub mod hooks;
mod knob;
mod layers;
pub mod lists;
mod live;
mod reference;
pub mod roles;
pub mod secret_file;
mod secrets;
pub mod sections;
pub mod value;
pub mod web;

pub use hooks::{HookKind, HookSecret, HookSource, HookSources};
pub use layers::{Override, Sources};
pub use lists::{ApiKeys, FieldNames, Networks, Origins};
pub use live::{Change, Watch};
pub use reference::reference;
pub use roles::{Roles, RolesMap};
pub use secret_file::{SecretFile, SecretFileError};
pub use sections::*;
pub use value::{Bytes, Environment, HostNames, LogFilter, LogFormat, PostgresUrl, RedisUrl};
pub use web::WebUrl;

use std::time::Duration;

use knob::{Knob, Section};
use layers::Raw;

/// Everything that can be set, checked. Made by [`load`]; tests start from `Settings::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The process as a whole.
    pub process: Process,
    /// The HTTP server.
    pub http: Http,
    /// PostgreSQL.
    pub database: Database,
    /// Redis.
    pub redis: Redis,
    /// Group commit.
    pub append: Append,
    /// The write door.
    pub commands: Commands,
    /// What position fixes are accepted.
    pub fixes: Fixes,
    /// The runner of read models.
    pub consumers: Consumers,
    /// Subscriptions.
    pub feeds: Feeds,
    /// The cache of answers.
    pub cache: Cache,
    /// Tokens.
    pub auth: Auth,
    /// A foreign issuer of tokens.
    pub oidc: Oidc,
    /// Asking other services.
    pub http_client: HttpClient,
    /// Keys of personal values.
    pub vault: Vault,
    /// What happens to deployments by itself.
    pub deployments: Deployments,
    /// How alerts of objectives are kept up to date.
    pub slos: Slos,
    /// Boards that are kept.
    pub leaderboards: Leaderboards,
    /// How periods of competitions are closed.
    pub competitions: Competitions,
    /// How log records are taken away that are kept no longer.
    pub logs: Logs,
    /// Analysts' SQL.
    pub analyst: Analyst,
    /// How far seals are behind the log.
    pub seals: Seals,
    /// Webhooks of other systems.
    pub intake: Intake,
    /// Bounds on GraphQL requests.
    pub limits: Limits,
    /// The GraphQL transport.
    pub graphql: Graphql,
    /// Sockets and event streams.
    pub sockets: Sockets,
    /// Log lines of the process.
    pub log: Log,
}

/// Why the process cannot start with these settings: every problem at once, one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, such as `http.port`.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
    /// Where the value came from, such as `environment variable PORT`.
    pub origin: String,
}

/// Reads all layers and checks every value.
///
/// Later layers win: defaults, the TOML file, `DAYBOOK_*` variables, aliases such as
/// `DATABASE_URL`, flags of the command line.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let (raw, mut problems) = layers::merge(sources, &knobs());
    let settings = read(&raw, &mut problems);
    if let Some(settings) = &settings {
        check_together(settings, &raw, &mut problems);
    }
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(ConfigError { problems }),
    }
}

impl Default for Settings {
    fn default() -> Self {
        load(&Sources::default()).expect("a test holds that every default is accepted")
    }
}

fn read(raw: &Raw, problems: &mut Vec<Problem>) -> Option<Settings> {
    // Every section is read before the first `?`, so that all problems are told at once.
    let (process, http) = (Process::read(raw, problems), Http::read(raw, problems));
    let (database, redis) = (Database::read(raw, problems), Redis::read(raw, problems));
    let (append, commands) = (Append::read(raw, problems), Commands::read(raw, problems));
    let (fixes, consumers) = (Fixes::read(raw, problems), Consumers::read(raw, problems));
    let (cache, auth) = (Cache::read(raw, problems), Auth::read(raw, problems));
    let (feeds, limits) = (Feeds::read(raw, problems), Limits::read(raw, problems));
    let (graphql, sockets) = (Graphql::read(raw, problems), Sockets::read(raw, problems));
    let (oidc, http_client) = (Oidc::read(raw, problems), HttpClient::read(raw, problems));
    let (vault, log) = (Vault::read(raw, problems), Log::read(raw, problems));
    let deployments = Deployments::read(raw, problems);
    let competitions = Competitions::read(raw, problems);
    let (slos, logs) = (Slos::read(raw, problems), Logs::read(raw, problems));
    let leaderboards = Leaderboards::read(raw, problems);
    let analyst = Analyst::read(raw, problems);
    let (seals, intake) = (Seals::read(raw, problems), Intake::read(raw, problems));
    Some(Settings {
        process: process?,
        http: http?,
        database: database?,
        redis: redis?,
        append: append?,
        commands: commands?,
        fixes: fixes?,
        consumers: consumers?,
        feeds: feeds?,
        cache: cache?,
        auth: auth?,
        oidc: oidc?,
        http_client: http_client?,
        vault: vault?,
        deployments: deployments?,
        slos: slos?,
        leaderboards: leaderboards?,
        competitions: competitions?,
        logs: logs?,
        analyst: analyst?,
        seals: seals?,
        intake: intake?,
        limits: limits?,
        graphql: graphql?,
        sockets: sockets?,
        log: log?,
    })
}

/// Rules between two settings.
fn check_together(settings: &Settings, raw: &Raw, problems: &mut Vec<Problem>) {
    let mut refuse = |key: &str, problem: String| {
        problems.push(Problem {
            key: key.to_owned(),
            problem,
            origin: raw.origin(key),
        });
    };
    let database = &settings.database;
    if database.pool_min > database.pool_max {
        let (min, max) = (database.pool_min, database.pool_max);
        refuse(
            "database.pool_min",
            format!("{min} is above database.pool_max, {max}"),
        );
    }
    for (key, min, max) in shortest_and_longest(settings) {
        if min > max {
            refuse(&format!("{key}_min"), format!("is longer than {key}_max"));
        }
    }
    let http = &settings.http;
    if http.drain_soft > http.drain_hard {
        refuse(
            "http.drain_soft",
            "is longer than http.drain_hard".to_owned(),
        );
    }
    if http.cors_credentials && http.cors_origins.are_all() {
        refuse(
            "http.cors_credentials",
            "cannot be granted to every origin: name those of http.cors_origins instead of `*`"
                .to_owned(),
        );
    }
    if settings.sockets.ping_interval >= settings.sockets.silence_max {
        refuse(
            "sockets.ping_interval",
            "is not shorter than sockets.silence_max: nobody would be asked before it is given up"
                .to_owned(),
        );
    }
    let limits = &settings.limits;
    if limits.page_default > limits.page_max {
        let (default, max) = (limits.page_default, limits.page_max);
        refuse(
            "limits.page_default",
            format!("{default} is above limits.page_max, {max}"),
        );
    }
    if settings.feeds.hz_default > settings.feeds.hz_max {
        refuse("feeds.hz_default", "is above feeds.hz_max".to_owned());
    }
    if settings.cache.entry_bytes_max.0 > settings.cache.bytes_max.0 {
        refuse(
            "cache.entry_bytes_max",
            "is above cache.bytes_max".to_owned(),
        );
    }
    check_issuer(settings, &mut refuse);
    if settings.process.env == Environment::Production {
        check_production(settings, &mut refuse);
    }
}

/// What must be said of a foreign issuer once one is trusted.
fn check_issuer(settings: &Settings, refuse: &mut impl FnMut(&'static str, String)) {
    let oidc = &settings.oidc;
    if domain::tenant::tenant_id(&oidc.tenant, "tenant").is_err() {
        refuse("oidc.tenant", "is not made of a-z, 0-9 and -".to_owned());
    }
    if oidc.jwks_ttl > oidc.jwks_stale_max && !oidc.jwks_stale_max.is_zero() {
        refuse(
            "oidc.jwks_ttl",
            "is longer than oidc.jwks_stale_max".to_owned(),
        );
    }
    let Some(issuer) = &oidc.issuer else {
        return;
    };
    if issuer.has_parameters() {
        refuse("oidc.issuer", "must not have parameters".to_owned());
    }
    if issuer.as_str() == settings.auth.issuer {
        refuse(
            "oidc.issuer",
            "is auth.issuer: the two kinds of tokens could not be told apart".to_owned(),
        );
    }
    if oidc.audience.is_none() {
        refuse(
            "oidc.audience",
            "must be set with oidc.issuer: tokens made for others would be accepted otherwise"
                .to_owned(),
        );
    }
}

/// What is made up on the spot in development must be given in production, and be worth its name.
fn check_production(settings: &Settings, refuse: &mut impl FnMut(&'static str, String)) {
    secrets::check(settings, refuse);
}

/// Pauses that grow from one setting to another: the settings' name without `_min` and `_max`, the two.
fn shortest_and_longest(settings: &Settings) -> [(&'static str, Duration, Duration); 3] {
    let (database, consumers) = (&settings.database, &settings.consumers);
    let limits = &settings.limits;
    [
        (
            "database.reconnect",
            database.reconnect_min,
            database.reconnect_max,
        ),
        ("consumers.retry", consumers.retry_min, consumers.retry_max),
        (
            "limits.account_pause",
            limits.account_pause_min,
            limits.account_pause_max,
        ),
    ]
}

/// Every section's name, sentence and knobs, in the order of [`Settings`].
fn sections() -> Vec<(&'static str, &'static str, &'static [Knob])> {
    fn of<S: Section>() -> (&'static str, &'static str, &'static [Knob]) {
        (S::NAME, S::ABOUT, S::KNOBS)
    }
    vec![
        of::<Process>(),
        of::<Http>(),
        of::<Database>(),
        of::<Redis>(),
        of::<Append>(),
        of::<Commands>(),
        of::<Fixes>(),
        of::<Consumers>(),
        of::<Feeds>(),
        of::<Cache>(),
        of::<Auth>(),
        of::<Oidc>(),
        of::<HttpClient>(),
        of::<Vault>(),
        of::<Seals>(),
        of::<Deployments>(),
        of::<Slos>(),
        of::<Competitions>(),
        of::<Leaderboards>(),
        of::<Logs>(),
        of::<Analyst>(),
        of::<Intake>(),
        of::<Limits>(),
        of::<Graphql>(),
        of::<Sockets>(),
        of::<Log>(),
    ]
}

/// What holds of each section holds of all.
macro_rules! settings {
    ($($section:ident),+) => {
        impl Settings {
            /// How many sections there are.
            #[cfg(test)]
            const SECTIONS: usize = [$(stringify!($section)),+].len();

            /// The knobs at which two differ.
            fn differences(&self, other: &Settings) -> Vec<&'static Knob> {
                // Of all sections there are, or it does not compile.
                let Settings { $($section),+ } = self;
                let mut found = Vec::new();
                $(found.extend($section.differences(&other.$section));)+
                found
            }

            /// Takes from others what can be changed while the process runs.
            fn adopt(&mut self, other: &Settings) {
                $(self.$section.adopt(&other.$section);)+
            }
        }
    };
}
settings!(
    process,
    http,
    database,
    redis,
    append,
    commands,
    fixes,
    consumers,
    feeds,
    cache,
    auth,
    oidc,
    http_client,
    vault,
    deployments,
    slos,
    competitions,
    leaderboards,
    logs,
    analyst,
    seals,
    intake,
    limits,
    graphql,
    sockets,
    log
);

fn knobs() -> Vec<&'static Knob> {
    sections()
        .into_iter()
        .flat_map(|(_, _, knobs)| knobs)
        .collect()
}

fn lines(problems: &[Problem]) -> String {
    let mut text = String::from("the settings cannot be used:");
    for Problem {
        key,
        problem,
        origin,
    } in problems
    {
        text.push_str(&format!("\n  {key}: {problem} (from {origin})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_is_known_and_described() {
        assert_eq!(sections().len(), Settings::SECTIONS);
    }
}
