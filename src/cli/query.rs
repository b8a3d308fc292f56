//! `daybook query`: one SELECT over the tables of a tenant's own projections.

use std::io::Write as _;
use std::process::ExitCode;

use domain::Position;

use crate::analysts::{Answered, Question};
use crate::app::{self, Log};
use crate::config::Settings;

/// Asks the tables of a tenant's own projections one SELECT.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook query 'select * from signups_by_day order by day'
  daybook query 'select * from signups_by_day' --as-of 48211
  daybook query 'select sum(users) from signups_by_day where day >= $1::date' --param 2026-01-01

It runs with no right but to read those tables, and for `analyst.query_timeout` at most. Rows are written as \
NDJSON, one object each.")]
pub struct QueryArgs {
    /// One SELECT
    sql: String,
    /// What stands for $1, $2, ... in turn; cast it in the SQL
    #[arg(long = "param", value_name = "TEXT")]
    params: Vec<String>,
    /// At most this many rows
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// As of this position, of what `daybook rebuild NAME --mode scratch --up-to POSITION` has built
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    as_of: Option<i64>,
    /// Whose projections
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// Asks, and writes the rows out. What was cut off is told on standard error.
pub async fn run(args: QueryArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let log = Log::open(&settings).await?;
    let question = Question {
        sql: args.sql,
        parameters: args.params.into_iter().map(Some).collect(),
        first: args.rows,
        as_of: args.as_of.map(Position),
    };
    let answered = match app::analysts(&settings, log.store()) {
        Ok(analysts) => analysts
            .ask(&args.tenant, &question)
            .await
            .map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    log.close().await;
    let answered = answered?;
    write(&answered)?;
    if answered.cut {
        eprintln!("There are more rows; ask for fewer, or sum them up.");
    }
    Ok(ExitCode::SUCCESS)
}

fn write(answered: &Answered) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for row in &answered.rows {
        let values: Vec<&serde_json::value::RawValue> = serde_json::from_str(row.get())?;
        let members = answered.columns.iter().zip(values);
        let members = members.map(|((name, _), value)| {
            Ok(format!("{}:{}", serde_json::to_string(name)?, value.get()))
        });
        let members: Result<Vec<String>, serde_json::Error> = members.collect();
        writeln!(out, "{{{}}}", members?.join(","))?;
    }
    out.flush()?;
    Ok(())
}
