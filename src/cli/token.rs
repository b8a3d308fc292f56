//! `daybook token`: a token on standard output, nothing else, so that a shell can keep it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use crate::app::data_dir;
use crate::auth::{Auth, Grant, Role};
use crate::config::Settings;
use crate::config::value::Setting;
use crate::ops::Clock;

/// Makes a token with the signing key, and prints it.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  TOKEN=$(daybook token)
  curl -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \\
       -d '{\"query\":\"{ vehicles { totalCount } }\"}' http://127.0.0.1:8080/graphql
  daybook token --subject ann --role viewer --ttl 7d
  daybook token --new-key /etc/daybook/key.pem    make a signing key for production")]
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
    /// viewer, editor, operator or admin; may be given more than once
    #[arg(long, default_value = "admin", value_parser = role)]
    role: Vec<Role>,
    /// A right beside the roles, such as backfill; may be given more than once
    #[arg(long)]
    scope: Vec<String>,
    /// Make a new signing key in this file instead, and no token
    #[arg(long, value_name = "FILE")]
    new_key: Option<PathBuf>,
}

/// A token that is over before it is used helps nobody.
const TTL_MIN: Duration = Duration::from_secs(10);

/// Prints a token, or makes a key.
pub async fn run(args: TokenArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    if let Some(path) = args.new_key {
        Auth::make_key(&path)?;
        eprintln!(
            "{} is a new signing key. Keep it secret, and give it to every process: \
             DAYBOOK_AUTH__SIGNING_KEY_FILE={0}",
            path.display()
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", mint(&settings, &args)?);
    Ok(ExitCode::SUCCESS)
}

fn mint(settings: &Settings, args: &TokenArgs) -> anyhow::Result<String> {
    let auth = Auth::open(&settings.auth, &data_dir(settings)?, Clock::system())?;
    if args.ttl < TTL_MIN {
        bail!("--ttl is under {} s", TTL_MIN.as_secs());
    }
    Ok(auth.mint(&Grant {
        subject: args.subject.clone(),
        tenant: args.tenant.clone(),
        roles: args.role.clone(),
        scopes: args.scope.clone(),
        ttl: Some(args.ttl),
    })?)
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::parse(text)
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| "is none of viewer, editor, operator, admin".to_owned())
}
