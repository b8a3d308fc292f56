//! Questions of analysts: one SELECT over the tables of their own projections, under their login, which is shown
//! the asking tenant's rows alone.

use domain::Position;
use projections::Target;
use serde_json::value::RawValue;
use sqlx::Arguments as _;
use sqlx::postgres::PgArguments;

use super::header::SAID_AT;
use super::login::{Bounds, Rows, Session};
use super::merge::{SHOWN, quoted, shown};
use super::sql::{self, Checked, Purpose};
use super::{AnalystError, Analysts, Refused, functions};
use projections::AnyProjection as _;

/// Longest question, in bytes.
const QUESTION_BYTES_MAX: usize = 16 << 10;

/// Most parameters of a question.
const PARAMETERS_MAX: usize = 32;

/// Longest parameter, in bytes.
const PARAMETER_BYTES_MAX: usize = 4 << 10;

/// Most columns of an answer.
const COLUMNS_MAX: usize = 100;

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    /// The columns: name and PostgreSQL's type.
    pub columns: Vec<(String, String)>,
    /// Each a JSON array, in the order of the columns.
    pub rows: Vec<Box<RawValue>>,
    /// There is more than the bounds on rows and bytes let through.
    pub cut: bool,
    /// How far the projections that were read were at least.
    pub read: Vec<(String, Position)>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// One SELECT.
    pub sql: String,
    /// What stands for $1, $2, ..., as text.
    pub parameters: Vec<Option<String>>,
    /// Rows wanted; as many as there may be if not said.
    pub first: Option<usize>,
    /// Of the generations that were built as of this position; of those that answer if not said.
    pub as_of: Option<Position>,
}

impl Analysts {
    /// Answers a question about a tenant's own projections.
    pub async fn ask(&self, tenant: &str, question: &Question) -> Result<Answered, AnalystError> {
        let checked = checked(question)?;
        let judged = functions::check(self.pool(), &checked, Purpose::Question).await?;
        judged?;
        let most = self.settings().rows_max;
        let rows_max = match question.first {
            Some(first) if (1..=most).contains(&first) => first,
            Some(first) => {
                return Err(Refused::new(format!(
                    "1 to {most} rows may be asked for, not {first}"
                ))
                .into());
            }
            None => most,
        };
        let (offered, read) = self.offered(tenant, &checked, question.as_of).await?;
        let bounds = Bounds {
            purpose: Purpose::Question,
            time: self.settings().query_timeout,
            rows: rows_max,
            bytes: self.settings().answer_bytes_max,
        };
        let mut session = self.login().begin(bounds).await?;
        self.bind(tenant, &session).await?;
        let answered = answer(&mut session, &offered, &checked.text, question, bounds).await;
        let unbound = self.unbind(tenant, &session).await;
        let (columns, found) = answered?;
        unbound?;
        session.close().await;
        let rows: Result<_, _> = found.rows.into_iter().map(RawValue::from_string).collect();
        Ok(Answered {
            columns,
            rows: rows.map_err(|e| sqlx::Error::Decode(e.into()))?,
            cut: found.cut,
            read,
        })
    }

    /// The relations a question names, as definitions before it, and how far they are.
    async fn offered(
        &self,
        tenant: &str,
        checked: &Checked,
        as_of: Option<Position>,
    ) -> Result<(String, Vec<(String, Position)>), AnalystError> {
        let models = self.known(tenant).await?;
        let answering = self.answering(tenant, as_of).await?;
        let (mut definitions, mut read) = (Vec::new(), Vec::new());
        for name in &checked.relations {
            let model = models.iter().find(|m| m.name() == name);
            let at = answering.iter().find(|(found, ..)| found == name);
            if let (Some(_), None, Some(position)) = (model, at, as_of) {
                let name = name.clone();
                return Err(AnalystError::NotBuiltAsOf { name, position });
            }
            let (Some(model), Some((_, storage, position))) = (model, at) else {
                let names: Vec<&str> = models.iter().map(|m| m.name()).collect();
                return Err(Refused::new(format!(
                    "there is no relation {name} here; there are: {}",
                    names.join(", ")
                ))
                .into());
            };
            let target = Target {
                tenant,
                generation: *storage,
            };
            let table = target.table(model.tables()[0]);
            let columns: Vec<String> = sqlx::query_scalar(SHOWN)
                .bind(&table)
                .bind(SAID_AT)
                .fetch_all(self.pool())
                .await?;
            let select = shown(&columns, &table);
            definitions.push(format!("{} as not materialized ({select})", quoted(name)));
            read.push((name.clone(), *position));
        }
        Ok(match definitions.is_empty() {
            true => (String::new(), read),
            false => (format!("with {} ", definitions.join(", ")), read),
        })
    }

    /// Has the session shown this tenant's rows and no other's: which tenant that is stands in a table that the
    /// login can neither write nor read, under the connection's process.
    async fn bind(&self, tenant: &str, session: &Session) -> Result<(), sqlx::Error> {
        sqlx::query(
            "with others as (delete from analyst_sessions where backend = $2 and tenant <> $1)
             insert into analyst_sessions (tenant, backend) values ($1, $2)
             on conflict (tenant, backend) do nothing",
        )
        .bind(tenant)
        .bind(session.backend)
        .execute(self.pool())
        .await?;
        Ok(())
    }

    async fn unbind(&self, tenant: &str, session: &Session) -> Result<(), sqlx::Error> {
        sqlx::query("delete from analyst_sessions where tenant = $1 and backend = $2")
            .bind(tenant)
            .bind(session.backend)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Learns the columns, then has the rows answered as JSON arrays.
async fn answer(
    session: &mut Session,
    offered: &str,
    select: &str,
    question: &Question,
    bounds: Bounds,
) -> Result<(Vec<(String, String)>, Rows), AnalystError> {
    let named = format!("{offered}select * from ({select}) answer");
    let columns = session.columns(&named, question.parameters.len()).await?;
    if columns.is_empty() || columns.len() > COLUMNS_MAX {
        let count = columns.len();
        return Err(Refused::new(format!(
            "an answer has 1 to {COLUMNS_MAX} columns, not {count}"
        ))
        .into());
    }
    let names: Vec<String> = (1..=columns.len()).map(|n| format!("c{n}")).collect();
    let names = names.join(", ");
    let sql = format!(
        "{offered}select left(json_build_array({names})::text, {}) \
         from ({select}) answer({names}) limit {}",
        bounds.bytes + 1,
        bounds.rows + 1
    );
    let rows = session.rows(&sql, arguments(question)?).await?;
    Ok((columns, rows))
}

fn checked(question: &Question) -> Result<Checked, Refused> {
    let Question {
        sql, parameters, ..
    } = question;
    if sql.len() > QUESTION_BYTES_MAX {
        return Err(Refused::new(format!(
            "the SQL has {} bytes; {QUESTION_BYTES_MAX} are allowed",
            sql.len()
        )));
    }
    if parameters.len() > PARAMETERS_MAX {
        return Err(Refused::new(format!(
            "at most {PARAMETERS_MAX} parameters are allowed"
        )));
    }
    let long = |p: &&Option<String>| p.as_ref().is_some_and(|p| p.len() > PARAMETER_BYTES_MAX);
    if parameters.iter().any(|p| long(&p)) {
        return Err(Refused::new(format!(
            "a parameter has at most {PARAMETER_BYTES_MAX} bytes"
        )));
    }
    let checked = sql::check(sql, Purpose::Question)?;
    match checked.parameters == parameters.len() {
        true => Ok(checked),
        false => Err(Refused::new(format!(
            "the SQL names {} parameters, and {} are given",
            checked.parameters,
            parameters.len()
        ))),
    }
}

fn arguments(question: &Question) -> Result<PgArguments, AnalystError> {
    let mut arguments = PgArguments::default();
    for parameter in &question.parameters {
        let added = arguments.add(parameter.as_deref());
        added.map_err(|error| AnalystError::Database(sqlx::Error::Encode(error)))?;
    }
    Ok(arguments)
}
