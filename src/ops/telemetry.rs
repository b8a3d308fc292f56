//! Log lines of the process: readable alone and queryable, secrets cut out, panics included.

use std::fmt;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use chrono::SecondsFormat;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::Clock;
use crate::config::{self, LogFormat};

/// Why log lines cannot be written as asked.
#[derive(Debug, thiserror::Error)]
#[error("log.level cannot be used: {0}")]
pub struct TelemetryError(String);

/// Characters of one field's value that are written; the rest is cut.
const FIELD_CHARS_MAX: usize = 4_096;

/// Changes which log lines are written.
pub struct Levels(reload::Handle<EnvFilter, Registry>);

impl Levels {
    /// Writes these from now on.
    pub fn adopt(&self, log: &config::Log) -> Result<(), TelemetryError> {
        let changed = self.0.reload(filter(log)?);
        changed.map_err(|error| TelemetryError(error.to_string()))
    }
}

fn filter(log: &config::Log) -> Result<EnvFilter, TelemetryError> {
    let filter = EnvFilter::try_new(log.level.as_str());
    filter.map_err(|error| TelemetryError(error.to_string()))
}

/// Writes log lines to standard error from now on. A second call changes nothing.
pub fn init(log: &config::Log) -> Result<Levels, TelemetryError> {
    let filter = filter(log)?;
    let (filter, levels) = reload::Layer::new(filter);
    let filtered = tracing_subscriber::registry().with(filter);
    let terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    // The only failure is that a subscriber is there already.
    let _already = if json {
        let lines = lines.fmt_fields(JsonFields::new()).event_format(JsonLine);
        filtered.with(lines).try_init()
    } else {
        let lines = lines.with_ansi(terminal).with_target(false);
        filtered.with(lines).try_init()
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(Levels(levels))
}

/// One JSON object a line: `ts`, `level`, `message`, `service`, `version`, `target`, then fields
/// of the surrounding spans and of the event itself.
struct JsonLine;

#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    level: &'a str,
    message: Value,
    service: &'a str,
    version: &'a str,
    target: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S> FormatEvent<S, JsonFields> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        let spans = context
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root());
        for span in spans {
            let extensions = span.extensions();
            let formatted = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(of_span)) =
                formatted.map(|f| serde_json::from_str::<Map<String, Value>>(&f.fields))
            {
                fields.extend(of_span.into_iter().map(|(name, value)| {
                    let value = kept(&name, value);
                    (name, value)
                }));
            }
        }
        event.record(&mut Fields(&mut fields));
        let line = Line {
            ts: Clock::system()
                .now()
                .to_rfc3339_opts(SecondsFormat::Micros, true),
            level: match *event.metadata().level() {
                tracing::Level::ERROR => "error",
                tracing::Level::WARN => "warn",
                tracing::Level::INFO => "info",
                tracing::Level::DEBUG => "debug",
                tracing::Level::TRACE => "trace",
            },
            message: fields.remove("message").unwrap_or_default(),
            service: "daybook",
            version: super::VERSION,
            target: event.metadata().target(),
            fields,
        };
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0
            .insert(field.name().to_owned(), kept(field.name(), value));
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

/// A field's value as it is written: secrets by name cut out, long texts cut off.
fn kept(name: &str, value: Value) -> Value {
    const SECRET: [&str; 6] = [
        "password",
        "authorization",
        "token",
        "secret",
        "cookie",
        "api_key",
    ];
    if SECRET.contains(&name.to_ascii_lowercase().as_str()) {
        return "[redacted]".into();
    }
    match value {
        Value::String(text) => match text.char_indices().nth(FIELD_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]).into(),
            None => Value::String(text),
        },
        other => other,
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    metrics::counter!(super::metrics::PANICS_TOTAL).increment(1);
    let payload = info.payload();
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or("a panic without a message");
    let place = info
        .location()
        .map_or_else(String::new, |place| place.to_string());
    let backtrace = std::backtrace::Backtrace::force_capture().to_string();
    tracing::error!(place, backtrace, "panic: {said}");
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(log: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine)
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn a_line_carries_the_fields_of_its_event_and_of_its_spans() {
        let lines = written(|| {
            let span = tracing::info_span!("request", correlation_id = "c1", token = "hush");
            let _inside = span.enter();
            tracing::warn!(status_code = 503, duration_ms = 1.5, "answered {}", 503);
        });
        let line = &lines[0];
        let expected = [
            ("level", Value::from("warn")),
            ("message", "answered 503".into()),
            ("service", "daybook".into()),
            ("version", crate::ops::VERSION.into()),
            ("correlation_id", "c1".into()),
            ("status_code", 503.into()),
            ("duration_ms", 1.5.into()),
            ("token", "[redacted]".into()),
        ];
        for (name, value) in expected {
            assert_eq!(line[name], value, "{name} of {line}");
        }
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn no_text_can_forge_a_line_or_fill_the_log() {
        let forged = "x\n{\"level\":\"error\"}\u{1b}[31m";
        let lines = written(|| {
            tracing::info!(name = forged, "{forged}");
            tracing::info!(body = "y".repeat(1 << 20), password = "p", "long");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["name"], forged);
        assert!(lines[1].to_string().len() < 5_000);
        assert_eq!(lines[1]["password"], "[redacted]");
    }
}
