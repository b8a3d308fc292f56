//! A digest of a read model's rows: equal for equal contents, however they came to be.

use sqlx::PgConnection;

use crate::{AnyProjection, Target};

/// A digest of all rows of the target's tenant in all tables of the read model's generation.
pub async fn digest(
    _conn: &mut PgConnection,
    _projection: &dyn AnyProjection,
    _target: &Target<'_>,
) -> Result<String, sqlx::Error> {
    todo!()
}
