//! Time zones, as the database knows them.

use sqlx::Connection;

use crate::{ReadError, Snapshot};

/// SQLSTATE of `time zone "..." not recognized`.
const INVALID_PARAMETER_VALUE: &str = "22023";

/// Asks the database whether it knows the zone. A zone it does not know leaves the snapshot usable.
pub(crate) async fn check_zone(snap: &mut Snapshot, zone: &str) -> Result<(), ReadError> {
    if zone == "UTC" {
        return Ok(());
    }
    let mut savepoint = snap.connection().begin().await?;
    let asked = sqlx::query("select now() at time zone $1").bind(zone);
    let answer = asked.execute(&mut *savepoint).await;
    savepoint.rollback().await?;
    match answer {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some(INVALID_PARAMETER_VALUE) => {
            Err(ReadError::UnknownZone)
        }
        Err(error) => Err(error.into()),
    }
}
