//! Reading columns whose type says less than their contents.

use sqlx::Row;
use sqlx::postgres::PgRow;

/// A word of a closed list.
pub(crate) fn word<T>(
    row: &PgRow,
    column: &str,
    of_word: impl Fn(&str) -> Option<T>,
) -> Result<T, sqlx::Error> {
    let word: String = row.try_get(column)?;
    of_word(&word).ok_or_else(|| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{word:?} is no word of its list").into(),
    })
}

/// A number that is never negative.
pub(crate) fn number<N: TryFrom<i64>>(row: &PgRow, column: &str) -> Result<N, sqlx::Error> {
    let number: i64 = row.try_get(column)?;
    N::try_from(number).map_err(|_| out_of_range(column, number))
}

/// A number that is never negative, if there is one.
pub(crate) fn number_or_none<N: TryFrom<i64>>(
    row: &PgRow,
    column: &str,
) -> Result<Option<N>, sqlx::Error> {
    let number: Option<i64> = row.try_get(column)?;
    let read = |number| N::try_from(number).map_err(|_| out_of_range(column, number));
    number.map(read).transpose()
}

fn out_of_range(column: &str, number: i64) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{number} is out of its range").into(),
    }
}
