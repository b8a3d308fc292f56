//! Everything a process says of itself while a test listens: events and spans with all their fields, secrets
//! not cut out, and which request each belongs to.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

/// Listens to this thread until it is dropped.
pub struct Heard {
    said: Arc<Mutex<Vec<Said>>>,
    _listening: DefaultGuard,
}

/// One event, or the beginning of a span.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its level, who says it, its fields, and those of the spans it was said in.
    pub text: String,
    /// Was it said while a request was answered?
    pub in_request: bool,
    /// What the database was asked, and how many rows it gave, if it was asked.
    pub statement: Option<(String, String)>,
}

impl Heard {
    /// Listens from now on to all that is said at level `debug` and above.
    pub fn listen() -> Heard {
        LazyLock::force(&OTHERS);
        let said: Arc<Mutex<Vec<Said>>> = Arc::default();
        let ear = Ear(said.clone()).with_filter(LevelFilter::DEBUG);
        let listening = tracing::subscriber::set_default(Registry::default().with(ear));
        Heard {
            said,
            _listening: listening,
        }
    }

    /// All that was said since the last time it was asked.
    pub fn take(&self) -> Vec<Said> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// What the database was asked on behalf of requests since the last time, and how many rows it gave.
    pub fn statements(&self) -> Vec<(String, String)> {
        let said = self.take().into_iter().filter(|said| said.in_request);
        said.filter_map(|said| said.statement).collect()
    }
}

/// Whether anybody wants to hear of something is found out once. The library asks an only listener by way of
/// the thread that happens to say it first, which may be another test's; of several it asks each.
static OTHERS: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    let deaf = || Dispatch::new(Registry::default().with(LevelFilter::OFF));
    [deaf(), deaf()]
});

struct Ear(Arc<Mutex<Vec<Said>>>);

/// The fields of a span, as text.
struct Words(String);

#[derive(Default)]
struct Fields {
    text: String,
    statement: Option<String>,
    rows: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.text, " {}={value:?}", field.name());
        match field.name() {
            "summary" => self.statement = Some(format!("{value:?}")),
            "rows_returned" => self.rows = format!("{value:?}"),
            _ => {}
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ear {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            let words = format!(" {}:{}", span.name(), fields.text);
            self.0.lock().unwrap().push(Said {
                text: words.clone(),
                in_request: span.name() == "request",
                statement: None,
            });
            span.extensions_mut().insert(Words(words));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = ctx.span(id)
            && let Some(words) = span.extensions_mut().get_mut::<Words>()
        {
            words.0 += &fields.text;
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let said_by = event.metadata();
        let mut text = format!("{} {}{}", said_by.level(), said_by.target(), fields.text);
        let mut in_request = false;
        for span in ctx.event_scope(event).into_iter().flatten() {
            in_request |= span.name() == "request";
            if let Some(words) = span.extensions().get::<Words>() {
                text += &words.0;
            }
        }
        let is_query = event.metadata().target() == "sqlx::query";
        let statement = fields.statement.filter(|_| is_query);
        self.0.lock().unwrap().push(Said {
            text,
            in_request,
            statement: statement.map(|statement| (statement, fields.rows)),
        });
    }
}
