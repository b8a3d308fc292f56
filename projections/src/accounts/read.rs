//! Reading accounts: one of a kind by id, and lists of them.

mod users;
mod sessions;
mod api_keys;
mod tenants;

pub use api_keys::{ApiKeyFilter, ApiKeyRow, api_key, api_keys, api_keys_due};
pub use sessions::{SessionRow, session, sessions};
pub use tenants::{TenantRow, tenant, tenants};
pub use users::{UserFilter, UserRow, UserStatus, user, users};

use std::collections::BTreeSet;
use std::fmt;

use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// A personal value as it is stored, and the event that holds it: with tenant, user and the field's
/// name in that event it is what the user's key opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The sealed text.
    pub text: String,
    /// The event it stands in.
    pub event_id: Uuid,
}

/// Not even the sealed form is shown: rows end up in log lines and in messages of failed assertions.
impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

/// A sealed value of a row; `None` if there is none, or none any more.
fn sealed(row: &PgRow, text: &str, event: &str) -> Result<Option<Sealed>, sqlx::Error> {
    let text: Option<String> = row.try_get(text)?;
    let event: Option<Uuid> = row.try_get(event)?;
    Ok(text
        .zip(event)
        .map(|(text, event_id)| Sealed { text, event_id }))
}

/// A column of words, each of a closed list.
fn words<T: Ord>(
    row: &PgRow,
    column: &str,
    of_word: impl Fn(&str) -> Option<T>,
) -> Result<BTreeSet<T>, sqlx::Error> {
    let words: Vec<String> = row.try_get(column)?;
    let known = |word: &String| {
        of_word(word).ok_or_else(|| sqlx::Error::ColumnDecode {
            index: column.to_owned(),
            source: format!("{word:?} is no word of its list").into(),
        })
    };
    words.iter().map(known).collect()
}
