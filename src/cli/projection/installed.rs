//! Read models that files of SQL make: looked at, installed, shown.

use std::path::Path;

use anyhow::Context as _;

use crate::analysts::{Addition, Analysts, Examined};
use crate::consumers;
use crate::store::Store;

async fn examined(analysts: &Analysts, tenant: &str, file: &Path) -> anyhow::Result<Examined> {
    let source = std::fs::read_to_string(file);
    let source = source.with_context(|| format!("{} cannot be read", file.display()))?;
    let examined = analysts.examine(tenant, &source).await;
    examined.with_context(|| file.display().to_string())
}

/// Installs what a file describes.
pub(super) async fn add(
    store: &Store,
    analysts: &Analysts,
    tenant: &str,
    file: &Path,
    by: &str,
) -> anyhow::Result<()> {
    let examined = examined(analysts, tenant, file).await?;
    let addition = consumers::install(store, analysts, tenant, &examined, by).await;
    let name = examined.name();
    println!(
        "{}",
        match addition.with_context(|| file.display().to_string())? {
            Addition::New => format!("{name} is installed"),
            Addition::Raised => format!(
                "{name} is installed in its new version; the old one answers until it is rebuilt"
            ),
            Addition::Same => format!("{name} was installed already"),
        }
    );
    Ok(())
}

/// Says whether a file would be installed.
pub(super) async fn check(analysts: &Analysts, tenant: &str, file: &Path) -> anyhow::Result<()> {
    let name = examined(analysts, tenant, file).await?.name().to_owned();
    println!("{} can be installed as {name}", file.display());
    Ok(())
}

/// The file of an installed read model; who installed it is said on standard error.
pub(super) async fn source(
    analysts: &Analysts,
    tenant: &str,
    name: &str,
) -> anyhow::Result<String> {
    let all = analysts.installed(tenant).await?;
    let found = all.into_iter().find(|installed| installed.name == name);
    let found = found.with_context(|| format!("no projection {name:?} is installed"))?;
    eprintln!(
        "version {}, installed by {} at {}",
        found.version, found.installed_by, found.installed_at
    );
    Ok(found.source)
}
