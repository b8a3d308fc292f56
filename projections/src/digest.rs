//! A digest of a read model's rows: equal for equal contents, however they came to be.

use sqlx::{PgConnection, Row};

use crate::{AnyProjection, Target};

/// A digest of all rows of the target's tenant in all tables of the read model's generation:
/// `table=rows:digest`, joined by blanks.
///
/// It covers every column by its text, in no order of rows: two sums of 64-bit hashes a table. It
/// says nothing of where rows lie, of indexes, or of the generation. It is comparable between
/// connections with the same settings and one major version of PostgreSQL.
pub async fn digest(
    conn: &mut PgConnection,
    projection: &dyn AnyProjection,
    target: &Target<'_>,
) -> Result<String, sqlx::Error> {
    let mut parts = Vec::new();
    for base in projection.tables() {
        let table = target.table(base);
        let statement = format!(
            "select count(*) || ':' ||
                    to_hex(mod(coalesce(sum(hashtextextended(t::text, 1)), 0), 2::numeric ^ 63)::bigint)
                    || to_hex(mod(coalesce(sum(hashtextextended(t::text, 2)), 0), 2::numeric ^ 63)::bigint)
             from {table} t where tenant = $1"
        );
        let row = sqlx::query(&statement)
            .bind(target.tenant)
            .fetch_one(&mut *conn)
            .await?;
        parts.push(format!("{base}={}", row.try_get::<String, _>(0)?));
    }
    Ok(parts.join(" "))
}
