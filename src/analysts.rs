//! Projections and questions of analysts, in SQL alone.
//!
//! An analyst's file names itself, the events it folds and the columns of its table ([`header`]), and then
//! SELECTs from the events of a batch ([`sql`], [`functions`]). [`model`] is that as a read model: the SELECT runs
//! as a login that may do nothing but read what it is granted ([`login`]), its rows are merged into the table by
//! trusted statements ([`merge`]) in the batch's own transaction. [`trial`] is its first fold, [`installed`] is what is kept of a file,
//! [`query`] what may be asked of the tables.
//!
//! There are two walls around an analyst's SQL, and neither relies on the other: what is read of it before it runs
//! (one SELECT, relations and functions by name), and the rights of the login it runs as.

mod functions;
mod header;
mod installed;
mod login;
mod merge;
mod model;
mod names;
mod query;
mod sql;
mod tokens;
mod trial;

pub use installed::{Addition, Examined, Installed, forget};
pub use query::{Answered, Question};

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Position;
use sqlx::PgPool;
use sqlx::error::{DatabaseError, ErrorKind};

use crate::store::{Store, StoreError};
use installed::Known;
use login::Login;

/// The knobs of analysts' projections and questions. [`Default`] is what production runs with.
#[derive(Clone, Debug)]
pub struct AnalystSettings {
    /// How to log in as the analysts' role; not set: as that role on the store's own server.
    pub url: Option<String>,
    /// Projections a tenant may have installed.
    pub projections_max: usize,
    /// Connections of this process for questions.
    pub connections_max: usize,
    /// Connections of this process for folding: questions cannot take them.
    pub fold_connections_max: usize,
    /// How long the SQL of a projection may take for a piece of a batch.
    pub fold_timeout: Duration,
    /// How long a question may take.
    pub query_timeout: Duration,
    /// Rows an answer may have.
    pub rows_max: usize,
    /// Bytes of JSON an answer may have.
    pub answer_bytes_max: usize,
}

impl Default for AnalystSettings {
    fn default() -> AnalystSettings {
        AnalystSettings {
            url: None,
            projections_max: 50,
            connections_max: 4,
            fold_connections_max: 4,
            fold_timeout: Duration::from_secs(10),
            query_timeout: Duration::from_secs(10),
            rows_max: 10_000,
            answer_bytes_max: 4 << 20,
        }
    }
}

/// A text that is not accepted, and why: a sentence for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

impl Refused {
    fn new(message: impl Into<String>) -> Refused {
        Refused(message.into())
    }
}

/// Why analysts' SQL was not accepted or not answered.
#[derive(Debug, thiserror::Error)]
pub enum AnalystError {
    /// It is not what may be sent.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// PostgreSQL has run it, or would not: its message.
    #[error("{0}")]
    Failed(String),
    /// It took too long.
    #[error("the SQL took longer than {0:?}")]
    TooLong(Duration),
    /// The login that analysts' SQL runs as cannot be used.
    #[error(
        "there is no login for analysts' SQL: {0}. Let an administrator of the database run \
         `create role daybook_analyst login noinherit password '...'` before daybook migrates, and set \
         analyst.url to it"
    )]
    NoLogin(String),
    /// All connections for such SQL are in use.
    #[error("too much analysts' SQL is running")]
    Busy,
    /// A projection that was asked for as of a position was not built for it.
    #[error(
        "{name} has no generation as of position {position}: \
         `daybook rebuild {name} --mode scratch --up-to {position}` builds one"
    )]
    NotBuiltAsOf {
        /// Which projection.
        name: String,
        /// The position.
        position: Position,
    },
    /// The log does not know the tenant, or cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// PostgreSQL failed in what is not the analyst's doing.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl AnalystError {
    /// What an error of an analyst's statement is: the statement's own, or the server's.
    fn of_statement(error: sqlx::Error, time: Duration) -> AnalystError {
        let Some(said) = error.as_database_error() else {
            return AnalystError::Database(error);
        };
        let code = said.code().unwrap_or_default();
        match (&*code, code.get(..2).unwrap_or_default()) {
            ("57014", _) => AnalystError::TooLong(time),
            // more memory or files than it may have: it will need as much again
            ("53200" | "53400", _) => AnalystError::Failed(said.message().to_owned()),
            // connection, resources, operator intervention, the operating system
            (_, "08" | "53" | "57" | "58") => AnalystError::Database(error),
            _ => AnalystError::Failed(said.message().to_owned()),
        }
    }

    /// What the runner makes of it: the SQL's own failing is about some event of the batch, all else passes.
    fn into_database(self) -> sqlx::Error {
        match self {
            AnalystError::Database(error) => error,
            error @ (AnalystError::Busy | AnalystError::NoLogin(_) | AnalystError::Store(_)) => {
                sqlx::Error::Io(std::io::Error::other(error.to_string()))
            }
            error => sqlx::Error::Database(Box::new(Said(error.to_string()))),
        }
    }
}

/// What an analyst's SQL failed with, as an error of the statement it is part of.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

impl DatabaseError for Said {
    fn message(&self) -> &str {
        &self.0
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }
    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// Analysts' projections and questions over one store. Cheap to clone.
#[derive(Clone)]
pub struct Analysts(Arc<Inner>);

struct Inner {
    store: Store,
    settings: AnalystSettings,
    login: Login,
    /// The installed projections by tenant, as last read.
    known: Mutex<HashMap<Arc<str>, Vec<Known>>>,
}

impl Analysts {
    /// Over this store. The login is looked at when it is needed.
    pub fn new(store: Store, settings: AnalystSettings) -> Result<Analysts, sqlx::Error> {
        let login = Login::new(&store, &settings)?;
        Ok(Analysts(Arc::new(Inner {
            store,
            settings,
            login,
            known: Mutex::default(),
        })))
    }

    fn pool(&self) -> &PgPool {
        self.0.store.pool()
    }

    fn settings(&self) -> &AnalystSettings {
        &self.0.settings
    }

    fn login(&self) -> &Login {
        &self.0.login
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Known>>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Coded(&'static str);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            self.0
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }
        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn sql_that_needs_more_than_it_may_have_is_not_tried_for_ever() {
        let of = |code| {
            let error = sqlx::Error::Database(Box::new(Coded(code)));
            AnalystError::of_statement(error, Duration::from_secs(1))
        };
        for code in ["53200", "53400", "22012"] {
            assert!(matches!(of(code), AnalystError::Failed(_)), "{code}");
        }
        assert!(matches!(of("57014"), AnalystError::TooLong(_)));
        for code in ["53300", "57P01", "08006"] {
            assert!(matches!(of(code), AnalystError::Database(_)), "{code}");
        }
    }
}
