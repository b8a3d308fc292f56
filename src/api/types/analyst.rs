//! What an analyst's question was answered.

use async_graphql::{SimpleObject, Value};

use crate::analysts::Answered;
use crate::api::scalars::{Json, Position};

/// What an analyst's question was answered.
#[derive(SimpleObject)]
pub struct AnalystAnswer {
    /// What each row holds, in order.
    columns: Vec<AnalystColumn>,
    /// The rows, each a list of values.
    rows: Vec<Json>,
    /// There are more rows than were let through.
    cut: bool,
    /// The projections that were read.
    projections: Vec<AnalystProjection>,
}

/// A column of an answer.
#[derive(SimpleObject)]
pub struct AnalystColumn {
    /// Its name.
    name: String,
    /// PostgreSQL's word for its type.
    #[graphql(name = "type")]
    ty: String,
}

/// A projection that a question read.
#[derive(SimpleObject)]
pub struct AnalystProjection {
    /// Its name.
    name: String,
    /// It shows every event up to here at least.
    position: Position,
}

impl From<Answered> for AnalystAnswer {
    fn from(answered: Answered) -> AnalystAnswer {
        let columns = answered.columns.into_iter();
        let rows = answered.rows.into_iter();
        let read = answered.read.into_iter();
        AnalystAnswer {
            columns: columns
                .map(|(name, ty)| AnalystColumn { name, ty })
                .collect(),
            rows: rows
                .map(|row| serde_json::from_str(row.get()).unwrap_or_default())
                .map(|row| Json(Value::from_json(row).unwrap_or_default()))
                .collect(),
            cut: answered.cut,
            projections: read
                .map(|(name, at)| AnalystProjection {
                    name,
                    position: Position(at),
                })
                .collect(),
        }
    }
}
