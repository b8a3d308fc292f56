//! `daybook tenant`: whose logs there are, and which of them may be written.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Subcommand;
use domain::tenant::{DEFAULT_TENANT, TenantCommand, new_tenant_id, tenant_id};
use domain::{Actor, ActorKind, Code, values};

use super::{columns, operator};
use crate::app::Back;
use crate::auth::AuthError;
use crate::commands::{CommandContext, CommandError};
use crate::config::Settings;

/// Creates, lists, renames, suspends and resumes tenants.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook tenant create north --name 'Northern depot' --admin-email ann@north.example
  daybook tenant list
  daybook tenant rename north 'Northern depots'
  daybook tenant suspend north --reason 'contract ended'
  daybook tenant resume north

A tenant has a log of its own, and nobody of another sees any of it. One that is suspended is read and not \
written; a serving process knows of it after `auth.recheck` at most, without being started again.")]
pub struct TenantArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Make one, with a log of its own
    Create {
        /// Its id from then on: 1 to 63 of a-z, 0-9 and -
        id: String,
        /// Its name, for people; its id if not said
        #[arg(long)]
        name: Option<String>,
        /// Make its first administrator too, who signs in with this address; the password is printed once
        #[arg(long, value_name = "ADDRESS")]
        admin_email: Option<String>,
    },
    /// Show every tenant
    List,
    /// Give one another name
    Rename {
        /// Which tenant
        id: String,
        /// Its name from then on
        name: String,
    },
    /// Have one read, not written
    Suspend {
        /// Which tenant
        id: String,
        /// Why; kept
        #[arg(long)]
        reason: Option<String>,
    },
    /// Have one written again
    Resume {
        /// Which tenant
        id: String,
    },
}

/// Carries out one action.
pub async fn run(args: TenantArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let back = Back::open(&settings).await?;
    let done = act(&back, args.action).await;
    back.log.close().await;
    done?.iter().for_each(|line| println!("{line}"));
    Ok(ExitCode::SUCCESS)
}

/// Carries out one action; what is to be said of it.
async fn act(back: &Back, action: Action) -> anyhow::Result<Vec<String>> {
    match action {
        Action::Create {
            id,
            name,
            admin_email,
        } => create(back, &id, name, admin_email).await,
        Action::List => list(back).await,
        Action::Rename { id, name } => {
            let renamed = TenantCommand::Rename { name };
            tell(back, &id, renamed).await?;
            Ok(vec![format!("{id} has another name.")])
        }
        Action::Suspend { id, reason } => {
            tell(back, &id, TenantCommand::Suspend { reason }).await?;
            Ok(vec![format!(
                "{id} is suspended: read, not written, until `daybook tenant resume {id}`."
            )])
        }
        Action::Resume { id } => {
            tell(back, &id, TenantCommand::Resume).await?;
            Ok(vec![format!("{id} can be written.")])
        }
    }
}

async fn create(
    back: &Back,
    id: &str,
    name: Option<String>,
    admin_email: Option<String>,
) -> anyhow::Result<Vec<String>> {
    new_tenant_id(id, "the id")?;
    if let Some(email) = &admin_email {
        // Before there is a tenant without the administrator it was to have.
        values::email(email, "--admin-email")?;
    }
    let name = name.unwrap_or_else(|| id.to_owned());
    match on_tenant(back, id, TenantCommand::Create { name }).await {
        Err(error) if is_refused(&error, Code::AlreadyExists) => bail!(
            "{id} exists already. `daybook tenant rename` gives it another name; \
             `daybook token --tenant {id}` makes a token to register its users with"
        ),
        created => created?,
    }
    let mut lines = vec![format!("{id} is created.")];
    if let Some(email) = admin_email {
        let made = back.auth.first_admin(id, &email).await.with_context(|| {
            format!(
                "{id} is created, its administrator is not. Register one with a token of \
                 `daybook token --tenant {id}`"
            )
        })?;
        lines.extend(made.map(|password| {
            format!(
                "Its administrator is {email}, password {password} (told this once; change it)."
            )
        }));
    }
    Ok(lines)
}

async fn list(back: &Back) -> anyhow::Result<Vec<String>> {
    let store = back.log.store();
    let as_of = store.head(DEFAULT_TENANT).await?;
    let mut rows = vec![["TENANT", "STATE", "EVENTS", "NAME"].map(str::to_owned)];
    for id in store.tenants().await? {
        let tenant = back.auth.tenant(&id).await?;
        let state = if tenant.suspended {
            "suspended"
        } else {
            "active"
        };
        let events = store.head(&id).await?.to_string();
        rows.push([id.to_string(), state.to_owned(), events, tenant.name]);
    }
    let mut lines = columns(&rows);
    lines.push(format!(
        "As of position {as_of} of the log of {DEFAULT_TENANT}."
    ));
    Ok(lines)
}

/// Carries out a command on a tenant that is there.
async fn tell(back: &Back, id: &str, command: TenantCommand) -> anyhow::Result<()> {
    tenant_id(id, "the id")?;
    if id == DEFAULT_TENANT {
        bail!(
            "{DEFAULT_TENANT} is always there, as it is: it is the tenant of whoever runs the server"
        );
    }
    match on_tenant(back, id, command).await {
        Err(error) if is_refused(&error, Code::NotFound) => {
            bail!("there is no tenant {id}. `daybook tenant list` names those there are")
        }
        done => Ok(done?),
    }
}

async fn on_tenant(back: &Back, id: &str, command: TenantCommand) -> Result<(), AuthError> {
    let actor = Actor {
        kind: ActorKind::System,
        id: operator().into(),
    };
    let context = CommandContext::new(DEFAULT_TENANT.into(), actor, back.clock.now());
    back.auth.on_tenant(&context, id, command).await?;
    Ok(())
}

fn is_refused(error: &AuthError, code: Code) -> bool {
    matches!(error, AuthError::Command(CommandError::Refused(refusal)) if refusal.code == code)
}
