//! The projections that are installed: what was examined before, and what is kept of each.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Position;
use sqlx::PgConnection;

use super::header::Header;
use super::model::{self, SqlProjection};
use super::sql::{self, EVENTS, Purpose};
use super::{AnalystError, Analysts, Refused, functions, merge};
use crate::store::StoreError;
use projections::AnyProjection;

/// A file that was looked through and tried.
pub struct Examined {
    model: Arc<SqlProjection>,
    source: String,
}

/// An installed projection, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: i32,
    /// Who installed this version.
    pub installed_by: String,
    /// When.
    pub installed_at: DateTime<Utc>,
    /// The file.
    pub source: String,
}

/// What installing a file comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addition {
    /// It was not there: it needs a first generation.
    New,
    /// It takes the place of a lower version, and is rebuilt beside it.
    Raised,
    /// The very same is installed.
    Same,
}

impl Examined {
    /// The read model it is.
    pub fn model(&self) -> Arc<dyn AnyProjection> {
        self.model.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.model.header().name
    }
}

/// A projection as this process has read it.
pub(super) struct Known {
    name: String,
    installed_at: DateTime<Utc>,
    pub(super) model: Arc<SqlProjection>,
}

impl Analysts {
    /// Looks a file through and tries its SQL, on nothing and on events of late. Changes nothing.
    pub async fn examine(&self, tenant: &str, source: &str) -> Result<Examined, AnalystError> {
        let (header, checked) = read(source)?;
        let judged = functions::check(self.pool(), &checked, Purpose::Fold).await?;
        judged?;
        self.compare_columns(&header, &checked.text).await?;
        let model = self.model(tenant, header, &checked.text);
        model.reduce(&[]).await?;
        self.try_out(tenant, &model).await?;
        Ok(Examined {
            model: Arc::new(model),
            source: source.to_owned(),
        })
    }

    /// Does the SQL yield the columns that the header names, and no other?
    async fn compare_columns(&self, header: &Header, select: &str) -> Result<(), AnalystError> {
        let bounds = model::bounds(self.settings().fold_timeout);
        let mut session = self.login().begin(bounds).await?;
        let yields = session.columns(&merge::described(select), 0).await?;
        session.close().await;
        let mut wanted: Vec<&str> = header.columns().map(|c| &*c.name).collect();
        if header.by_position() {
            wanted.push("position");
        }
        let yields: Vec<&str> = yields.iter().map(|(name, _)| &**name).collect();
        let missing = wanted.iter().find(|name| !yields.contains(name));
        let strange = yields.iter().find(|name| !wanted.contains(name));
        match (missing, strange) {
            (Some(&"position"), _) => Err(Refused::new(
                "`first` and `last` go by position: the SQL must yield a column position",
            )
            .into()),
            (Some(name), _) => Err(Refused::new(format!(
                "the header names a column {name} that the SQL does not yield"
            ))
            .into()),
            (None, Some(name)) => Err(Refused::new(format!(
                "the SQL yields a column {name} that the header does not name"
            ))
            .into()),
            (None, None) => Ok(()),
        }
    }

    /// Keeps an examined file, inside the caller's transaction, which nobody else's installing runs beside.
    pub async fn record(
        &self,
        conn: &mut PgConnection,
        tenant: &str,
        examined: &Examined,
        by: &str,
    ) -> Result<Addition, AnalystError> {
        let (name, version) = (examined.name(), examined.model.version());
        if projections::all().iter().any(|p| p.name() == name) {
            return Err(Refused::new(format!(
                "{name} is the name of a read model of Daybook's own"
            ))
            .into());
        }
        let all: Vec<(String, i32, String)> =
            sqlx::query_as("select name, version, source from sql_projections where tenant = $1")
                .bind(tenant)
                .fetch_all(&mut *conn)
                .await?;
        let there = all.iter().find(|(installed, ..)| installed == name);
        let most = self.settings().projections_max;
        let addition = match there {
            Some((_, old, source)) if *old == version && *source == examined.source => {
                return Ok(Addition::Same);
            }
            Some((_, old, _)) if *old >= version => {
                return Err(Refused::new(format!(
                    "version {old} of {name} is installed; another text needs a higher version than that"
                ))
                .into());
            }
            Some(_) => Addition::Raised,
            None if all.len() >= most => {
                return Err(Refused::new(format!(
                    "{most} projections are installed, and no more are allowed"
                ))
                .into());
            }
            None => Addition::New,
        };
        let kept = sqlx::query(
            "insert into sql_projections (tenant, name, version, source, installed_by)
             select tenant, $2, $3, $4, $5 from logs where tenant = $1
             on conflict (tenant, name) do update set version = excluded.version,
                 source = excluded.source, installed_by = excluded.installed_by,
                 installed_at = clock_timestamp()",
        )
        .bind(tenant)
        .bind(name)
        .bind(version)
        .bind(&examined.source)
        .bind(by)
        .execute(conn)
        .await?;
        match kept.rows_affected() {
            0 => Err(AnalystError::Store(StoreError::UnknownTenant(
                tenant.to_owned(),
            ))),
            _ => Ok(addition),
        }
    }

    /// What is installed.
    pub async fn installed(&self, tenant: &str) -> Result<Vec<Installed>, sqlx::Error> {
        let rows: Vec<(String, i32, String, DateTime<Utc>, String)> = sqlx::query_as(
            "select name, version, installed_by, installed_at, source
             from sql_projections where tenant = $1 order by name",
        )
        .bind(tenant)
        .fetch_all(self.pool())
        .await?;
        let installed = |(name, version, installed_by, installed_at, source)| Installed {
            name,
            version,
            installed_by,
            installed_at,
            source,
        };
        Ok(rows.into_iter().map(installed).collect())
    }

    /// The tenant's own read models. One whose file cannot be read any more is left out, and said so.
    pub async fn models(&self, tenant: &str) -> Result<Vec<Arc<dyn AnyProjection>>, sqlx::Error> {
        let known = self.known(tenant).await?;
        Ok(known
            .into_iter()
            .map(|model| model as Arc<dyn AnyProjection>)
            .collect())
    }

    /// The same, as they are. Files are read again only if they have changed.
    pub(super) async fn known(&self, tenant: &str) -> Result<Vec<Arc<SqlProjection>>, sqlx::Error> {
        let now: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
            "select name, installed_at from sql_projections where tenant = $1 order by name",
        )
        .bind(tenant)
        .fetch_all(self.pool())
        .await?;
        let is_fresh = |known: &[Known]| {
            let known = known.iter().map(|k| (&k.name, &k.installed_at));
            known.eq(now.iter().map(|(name, at)| (name, at)))
        };
        let taken = |known: &[Known]| known.iter().map(|k| k.model.clone()).collect();
        if let Some(known) = self
            .remembered()
            .get(tenant)
            .filter(|known| is_fresh(known))
        {
            return Ok(taken(known));
        }
        let read = self.installed(tenant).await?;
        let known: Vec<Known> = read
            .into_iter()
            .filter_map(|row| self.read_again(tenant, row))
            .collect();
        let models = taken(&known);
        self.remembered().insert(tenant.into(), known);
        Ok(models)
    }

    fn read_again(&self, tenant: &str, row: Installed) -> Option<Known> {
        match read(&row.source) {
            Ok((header, checked)) => Some(Known {
                name: row.name,
                installed_at: row.installed_at,
                model: Arc::new(self.model(tenant, header, &checked.text)),
            }),
            Err(error) => {
                let name = row.name;
                tracing::error!(tenant, %error, "the file of projection {name} cannot be read: {error}");
                None
            }
        }
    }

    fn model(&self, tenant: &str, header: Header, select: &str) -> SqlProjection {
        let time_max = self.settings().fold_timeout;
        SqlProjection::new(tenant, header, select, self.login().clone(), time_max)
    }

    /// How far the generations of the tenant's own read models are that answer, or those that were built as of a
    /// position by the version that is installed: name, the number in their tables' names, position.
    pub(super) async fn answering(
        &self,
        tenant: &str,
        as_of: Option<Position>,
    ) -> Result<Vec<(String, i32, Position)>, sqlx::Error> {
        let rows: Vec<(String, i32, i64)> = sqlx::query_as(
            "select distinct on (g.projection) g.projection, coalesce(g.storage, g.generation), g.position
             from generations g join sql_projections s on s.tenant = g.tenant and s.name = g.projection
             where g.tenant = $1 and case when $2::bigint is null then g.state = 'live'
                   else g.state = 'scratch' and g.position = $2 and g.version = s.version end
             order by g.projection, g.generation desc",
        )
        .bind(tenant)
        .bind(as_of.map(|position| position.0))
        .fetch_all(self.pool())
        .await?;
        let found = |(name, storage, position)| (name, storage, Position(position));
        Ok(rows.into_iter().map(found).collect())
    }
}

/// Takes an installed projection off the list, inside the caller's transaction. False if it is not on it.
pub async fn forget(
    conn: &mut PgConnection,
    tenant: &str,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query("delete from sql_projections where tenant = $1 and name = $2")
        .bind(tenant)
        .bind(name)
        .execute(conn)
        .await?;
    Ok(gone.rows_affected() > 0)
}

fn read(source: &str) -> Result<(Header, sql::Checked), Refused> {
    let header = Header::read(source)?;
    let checked = sql::check(source, Purpose::Fold)?;
    match checked.relations.iter().find(|name| *name != EVENTS) {
        Some(name) => Err(Refused::new(format!(
            "there is no relation {name} here; a projection selects from {EVENTS}"
        ))),
        None => Ok((header, checked)),
    }
}
