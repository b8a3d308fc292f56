//! `daybook token`: a token on standard output, nothing else, so that a shell can keep it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use crate::app::Back;
use crate::auth::{Grant, Role};
use crate::config::Settings;
use crate::config::value::Setting;

/// Makes a token with the key that signs, and prints it.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  TOKEN=$(daybook token)
  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
       -d '{\"query\":\"{ vehicles { totalCount } }\"}' http://127.0.0.1:8080/graphql
  daybook token --subject ann --role viewer --ttl 7d")]
pub struct TokenArgs {
    /// How long it is good for: 30m, 12h, 7d
    #[arg(long, default_value = "12h", value_parser = duration)]
    ttl: Duration,
    /// Whom it stands for
    #[arg(long, default_value = "dev", value_name = "NAME")]
    subject: String,
    /// Whose data
    #[arg(long, default_value = "default")]
    tenant: String,
    /// viewer, operator, approver, analyst, auditor, ingest or admin; may be given more than once
    #[arg(long, default_value = "admin", value_parser = role)]
    role: Vec<Role>,
    /// A right beside the roles, such as backfill; may be given more than once
    #[arg(long)]
    scope: Vec<String>,
}

/// A token that is over before it is used helps nobody.
const TTL_MIN: Duration = Duration::from_secs(10);

/// Prints a token.
pub async fn run(args: TokenArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    if args.ttl < TTL_MIN {
        bail!("--ttl is under {} s", TTL_MIN.as_secs());
    }
    let back = Back::open(&settings).await?;
    let token = back.auth.mint(&Grant {
        subject: args.subject,
        tenant: args.tenant,
        roles: args.role,
        scopes: args.scope,
        ttl: Some(args.ttl),
        session: None,
    });
    back.log.close().await;
    println!("{}", token?);
    Ok(ExitCode::SUCCESS)
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text)
}

fn role(word: &str) -> Result<Role, String> {
    Role::of_word(word).ok_or_else(|| {
        let words: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        format!("is none of {}", words.join(", "))
    })
}
