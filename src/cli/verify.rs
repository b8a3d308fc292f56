//! `daybook verify`: checks that the log is as it was sealed, and names the first event that is not.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use domain::tenant::INSTALLATION_LOG;
use projections::AnyProjection;
use tokio::sync::Semaphore;

use super::import::summary::thousands;
use super::progress::Progress;
use crate::app::{self, Log};
use crate::config::Settings;
use crate::consumers::{self, Mode, RebuildError, RebuildOptions};
use crate::export::{Checked, check_export};
use crate::seals::{Proof, Signed, Verified, Verify, verify};
use crate::vault::{hex, unhex};

/// The longest file of a proof: an event of the largest size, escaped, and its path.
const PROOF_BYTES_MAX: u64 = 32 << 20;

/// So much of a file of published seals is read: more than a hundred years of them, one an hour.
const PUBLISHED_BYTES_MAX: u64 = 1 << 30;

/// A root that somebody noted, and of how many events.
type NotedRoot = (u64, [u8; 32]);

/// Checks that the log is as it was sealed.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  daybook verify
  daybook verify --from 1000 --to 2000
  daybook verify --public-key 5f0c… --root 1204:8f1c… --workers 4
  daybook verify --all-read-models
  daybook verify --published seals.ndjson --public-key 5f0c…
  daybook verify --proof proof.json --public-key 5f0c…
  daybook verify --export events.parquet --proof events.proof --public-key 5f0c…

With --proof nothing but the files are read: no database is needed. Exit codes: 0 the log is as it was sealed; 1 it is not, or could not be read. Events that were appended \
a moment ago are not sealed yet; it is said how many. Name the public key and the root that you noted elsewhere: \
whoever owns the database may have put another key there, or had another history sealed.")]
pub struct VerifyArgs {
    /// The first position whose event is compared
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i64).range(1..))]
    from: i64,
    /// The last one; the last sealed one if not given
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    /// How many ranges of the log are read at once
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Check a proof that `daybook proof` wrote, without a database
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "workers", "tenant"])]
    proof: Option<PathBuf>,
    /// Check that these exported events are what --proof says, without a database
    #[arg(long, value_name = "FILE", requires = "proof")]
    export: Option<PathBuf>,
    /// The only key that may have signed, 64 hexadecimal digits; may be given again
    #[arg(long = "public-key", value_name = "HEX")]
    public_keys: Vec<String>,
    /// A root that was noted elsewhere, and of how many events: `1204:8f1c…`; may be given again
    #[arg(long = "root", value_name = "EVENTS:HEX", conflicts_with = "proof")]
    roots: Vec<String>,
    /// A file of seals that were published (`seals.publish_file`): each must be a seal of this log
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    published: Option<PathBuf>,
    /// Also fold this read model anew and compare it with the one that answers; may be given again
    #[arg(long = "read-model", value_name = "NAME", conflicts_with = "proof")]
    read_models: Vec<String>,
    /// The same of every read model, one after the other
    #[arg(long, conflicts_with_all = ["proof", "read_models"])]
    all_read_models: bool,
    /// Whose log
    #[arg(long, default_value = "default")]
    tenant: String,
}

/// Verifies what `args` name, and says what came of it.
pub async fn run(args: VerifyArgs, settings: Settings) -> anyhow::Result<ExitCode> {
    let to = args.to.unwrap_or(i64::MAX);
    ensure!(args.from <= to, "--from {} is behind --to {to}", args.from);
    let trusted = args.public_keys.iter().map(|text| public_key(text));
    let trusted: Vec<[u8; 32]> = trusted.collect::<Result<_, _>>()?;
    if let Some(path) = &args.proof {
        return match args.export {
            None => check_proof(path, &trusted),
            Some(data) => check_exported(data, path.clone(), trusted).await,
        };
    }
    let noted = args.roots.iter().map(|text| noted_root(text));
    let mut noted: Vec<NotedRoot> = noted.collect::<Result<_, _>>()?;
    if let Some(path) = &args.published {
        noted.extend(published(path, &args.tenant, &trusted)?);
    }
    let log = Log::open(&settings).await?;
    let right = verify_all(&log, &args, &settings, (trusted, noted)).await;
    log.close().await;
    Ok(match right? {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// The log, then the read models that are asked for: true if all is as it should be.
async fn verify_all(
    log: &Log,
    args: &VerifyArgs,
    settings: &Settings,
    (trusted, noted): (Vec<[u8; 32]>, Vec<NotedRoot>),
) -> anyhow::Result<bool> {
    let wanted = read_models(log, args, settings).await?;
    let verified = verify_log(log, args, trusted, noted).await?;
    println!("{}", describe(&verified));
    let mut right = verified.difference.is_none();
    for model in wanted {
        right &= check_model(log, args, settings, &model).await?;
    }
    Ok(right)
}

/// The read models that are asked for.
async fn read_models(
    log: &Log,
    args: &VerifyArgs,
    settings: &Settings,
) -> anyhow::Result<Vec<Arc<dyn AnyProjection>>> {
    if args.read_models.is_empty() && !args.all_read_models {
        return Ok(Vec::new());
    }
    let analysts = app::analysts(settings, log.store())?;
    let all = consumers::models(&analysts, &args.tenant).await?;
    if args.all_read_models {
        return Ok(all);
    }
    let named = args.read_models.iter().map(|name| {
        let found = all.iter().find(|model| model.name() == name);
        found
            .cloned()
            .with_context(|| format!("no read model is called {name:?}"))
    });
    named.collect()
}

/// Folds a read model anew and compares. Says what came of it.
async fn check_model(
    log: &Log,
    args: &VerifyArgs,
    settings: &Settings,
    model: &Arc<dyn AnyProjection>,
) -> anyhow::Result<bool> {
    let (name, options) = (
        model.name(),
        RebuildOptions {
            mode: Mode::Check,
            workers: args.workers.into(),
            places: Arc::new(Semaphore::new(settings.consumers.rebuild_workers_max)),
            ..RebuildOptions::default()
        },
    );
    let bar = Progress::new("folding", "events", Some(0));
    let tenant = args.tenant.as_str().into();
    let checked = consumers::rebuild(log.store(), model, &tenant, options, |at| {
        bar.set_total(at.total_events);
        bar.at(at.done_events, at.done_events);
    })
    .await;
    bar.finish();
    match checked {
        Ok(rebuilt) => {
            let position = rebuilt.position;
            println!("read model {name} is what its events fold to, at position {position}");
            Ok(true)
        }
        Err(
            error @ (RebuildError::DigestsDiffer { .. }
            | RebuildError::Poison { .. }
            | RebuildError::Parked(_)
            | RebuildError::NotComparable(_)),
        ) => {
            println!("read model {name}: {error}");
            if let RebuildError::DigestsDiffer {
                difference: Some(first),
                ..
            } = error
            {
                println!("the first difference: {first}");
            }
            Ok(false)
        }
        Err(error) => Err(error).with_context(|| format!("read model {name} was not compared")),
    }
}

/// Checks a proof's file.
fn check_proof(path: &Path, trusted: &[[u8; 32]]) -> anyhow::Result<ExitCode> {
    let name = path.display();
    let mut text = Vec::new();
    let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
    let read = file.take(PROOF_BYTES_MAX + 1).read_to_end(&mut text);
    read.with_context(|| format!("{name} cannot be read"))?;
    ensure!(
        text.len() as u64 <= PROOF_BYTES_MAX,
        "{name} is longer than any proof ({PROOF_BYTES_MAX} bytes)"
    );
    let proof: Proof = serde_json::from_slice(&text).map_err(|_| anyhow!("{name} is no proof"))?;
    let held = match proof.check((!trusted.is_empty()).then_some(trusted)) {
        Ok(held) => held,
        Err(error) => {
            println!("{name} proves nothing: {error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("{}", held.shows);
    say_who_signed(trusted, &held.public_keys);
    Ok(ExitCode::SUCCESS)
}

/// Checks exported events against their proof.
async fn check_exported(
    data: PathBuf,
    proof: PathBuf,
    trusted: Vec<[u8; 32]>,
) -> anyhow::Result<ExitCode> {
    let (name, of) = (data.display().to_string(), proof.display().to_string());
    let keys = trusted.clone();
    let checking = tokio::task::spawn_blocking(move || {
        let keys = (!keys.is_empty()).then_some(&keys[..]);
        check_export(&data, &proof, keys, |_| Ok(()))
    });
    let checked = match checking.await {
        Ok(checked) => checked.with_context(|| format!("{name} or {of} cannot be read"))?,
        // The library of the format gives up on a file by a panic.
        Err(_) => anyhow::bail!("{name} cannot be read as an export"),
    };
    match checked {
        Checked::Holds {
            shows,
            events,
            public_key,
        } => {
            println!("{shows}\n{} events in {name}", thousands(events));
            say_who_signed(&trusted, &[public_key]);
            return Ok(ExitCode::SUCCESS);
        }
        Checked::Differs {
            position,
            doubt,
            certain: true,
        } => println!("position {position}: {doubt}"),
        Checked::Differs {
            position, doubt, ..
        } => println!(
            "{name} is not what was sealed, and {of} is damaged too: it cannot say which event it is; \
             the two part at position {position}: {doubt}"
        ),
        Checked::Worthless(why) => println!("{of} proves nothing: {why}"),
    }
    Ok(ExitCode::FAILURE)
}

fn say_who_signed(trusted: &[[u8; 32]], keys: &[String]) {
    if trusted.is_empty() {
        println!(
            "signed by {}; --public-key says which key to believe",
            keys.join(" and ")
        );
    }
}

async fn verify_log(
    log: &Log,
    args: &VerifyArgs,
    trusted: Vec<[u8; 32]>,
    noted: Vec<NotedRoot>,
) -> anyhow::Result<Verified> {
    let store = log.store();
    let tenants = store.tenants().await?;
    ensure!(
        args.tenant == INSTALLATION_LOG || tenants.iter().any(|tenant| **tenant == *args.tenant),
        "no tenant {:?}; there are {}",
        args.tenant,
        tenants.join(", ")
    );
    let head = store.head(&args.tenant).await?.0;
    let total = args.to.unwrap_or(head).min(head) - args.from + 1;
    let what = Verify {
        tenant: args.tenant.as_str().into(),
        positions: args.from..=args.to.unwrap_or(i64::MAX),
        workers: args.workers.into(),
        trusted: (!trusted.is_empty()).then_some(trusted),
        noted,
    };
    let bar = Progress::new("verifying", "events", Some(total.max(0).unsigned_abs()));
    let verified = verify(store, &what, |events| bar.at(events, events)).await;
    bar.finish();
    Ok(verified?)
}

/// The roots of a log that were published.
fn published(path: &Path, tenant: &str, trusted: &[[u8; 32]]) -> anyhow::Result<Vec<NotedRoot>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
    let trusted = (!trusted.is_empty()).then_some(trusted);
    let mut noted = Vec::new();
    for (at, line) in BufReader::new(file.take(PUBLISHED_BYTES_MAX))
        .lines()
        .enumerate()
    {
        let (line, at) = (
            line.with_context(|| format!("{name} cannot be read"))?,
            at + 1,
        );
        let Ok(seal) = serde_json::from_str::<Signed>(&line) else {
            // A line may have been torn off when a disk was full.
            eprintln!("line {at} of {name} is no published seal; it is left out");
            continue;
        };
        let root = seal.noted(tenant, trusted);
        noted.extend(root.with_context(|| format!("line {at} of {name}"))?);
    }
    noted.sort_unstable();
    noted.dedup();
    ensure!(
        !noted.is_empty(),
        "{name} has no seal of the log of {tenant:?}"
    );
    Ok(noted)
}

fn public_key(text: &str) -> anyhow::Result<[u8; 32]> {
    let key = unhex(text).and_then(|bytes| bytes.try_into().ok());
    key.with_context(|| format!("--public-key {text:?} is not 64 hexadecimal digits"))
}

fn noted_root(text: &str) -> anyhow::Result<NotedRoot> {
    let parts = text.split_once(':').and_then(|(size, root)| {
        let size = size.parse().ok().filter(|size| *size > 0)?;
        Some((size, unhex(root)?.try_into().ok()?))
    });
    parts.with_context(|| {
        format!("--root {text:?} is not a number of events, a colon and 64 hexadecimal digits")
    })
}

fn describe(verified: &Verified) -> String {
    let Verified {
        events,
        archived,
        seals,
        sealed,
        head,
        last,
        difference,
    } = verified;
    if let Some(difference) = difference {
        return format!("position {}: {}", difference.position, difference.what);
    }
    let number = |n: i64| thousands(n.max(0).unsigned_abs());
    let elsewhere = match archived {
        0 => String::new(),
        _ => format!(
            "{} events are archived: `daybook verify --export FILE --proof FILE` checks the files that have them\n",
            thousands(*archived)
        ),
    };
    let looked = format!(
        "{elsewhere}{} events are as they were sealed, under {} seals; {} of the log's {} events are not sealed yet",
        thousands(*events),
        thousands(*seals),
        number(head - sealed),
        number(*head)
    );
    match last {
        None => looked,
        Some((statement, key)) => {
            let root = hex(&statement.root);
            format!(
                "{looked}\nroot of the first {}: {root}, signed by key {key}",
                number(*sealed)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::public_key;

    #[test]
    fn a_public_key_is_64_hexadecimal_digits() {
        assert_eq!(public_key(&"0a".repeat(32)).ok(), Some([10; 32]));
        for bad in [
            "",
            "0a",
            &"0a".repeat(33),
            &"zz".repeat(32),
            &"+1".repeat(32),
            &"é".repeat(32),
        ] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
    }
}
