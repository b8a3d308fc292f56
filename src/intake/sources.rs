//! Those who may send webhooks, with their secrets; replaced as a whole when the settings change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use base64ct::{Base64, Encoding as _};
use chrono::{DateTime, Utc};
use domain::{Actor, ActorKind};

use crate::config::{self, HookKind, HookSource, SecretFile, SecretFileError};

/// What begins a secret as Standard Webhooks write it: base 64 follows.
const ENCODED: &str = "whsec_";

/// All sources. Cheap to clone.
#[derive(Clone, Default)]
pub struct Sources(Arc<RwLock<Known>>);

type Known = HashMap<(HookKind, String), Arc<Source>>;

/// One who may send webhooks.
pub struct Source {
    /// What it is and what it may tell of.
    settings: HookSource,
    /// Whose log.
    pub tenant: Arc<str>,
    /// Whom events name that it leads to.
    pub actor: Actor,
    secrets: Vec<Secret>,
}

struct Secret {
    bytes: Vec<u8>,
    until: Option<DateTime<Utc>>,
}

/// Why the sources are not known.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// A secret cannot be read.
    #[error("the secret {path} of a webhook's source cannot be used: {source}")]
    Unreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: SecretFileError,
    },
    /// There is nothing in it, or no base 64 behind `whsec_`.
    #[error("{0} holds no secret")]
    NoSecret(PathBuf),
}

impl Sources {
    /// Reads the secrets of all sources.
    pub fn open(settings: &config::Intake) -> Result<Sources, SourcesError> {
        Ok(Sources(Arc::new(RwLock::new(read(settings)?))))
    }

    /// Knows these from now on, or goes on with those it knew if one of them cannot be read.
    pub fn adopt(&self, settings: &config::Intake) -> Result<(), SourcesError> {
        let known = read(settings)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// The source of this name.
    pub fn find(&self, kind: HookKind, name: &str) -> Option<Arc<Source>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&(kind, name.to_owned())).cloned()
    }
}

impl Source {
    /// What it may sign with at this time.
    pub fn secrets(&self, now: DateTime<Utc>) -> Vec<&[u8]> {
        let good = |secret: &&Secret| secret.until.is_none_or(|until| now < until);
        let secrets = self.secrets.iter().filter(good);
        secrets.map(|secret| secret.bytes.as_slice()).collect()
    }

    /// May it tell of this project?
    pub fn tells_of(&self, project: &str) -> bool {
        self.settings.tells_of(project)
    }

    fn read(settings: &HookSource) -> Result<Source, SourcesError> {
        let secrets = settings.secrets.iter().map(|secret| {
            Ok(Secret {
                bytes: secret_of(&secret.file)?,
                until: secret.until,
            })
        });
        Ok(Source {
            tenant: settings.tenant.as_str().into(),
            actor: Actor {
                kind: ActorKind::Feed,
                id: format!("{}/{}", settings.kind.as_str(), settings.name).into(),
            },
            secrets: secrets.collect::<Result<_, _>>()?,
            settings: settings.clone(),
        })
    }
}

fn read(settings: &config::Intake) -> Result<Known, SourcesError> {
    let sources = settings.sources.iter().map(|source| {
        let key = (source.kind, source.name.clone());
        Ok((key, Arc::new(Source::read(source)?)))
    });
    sources.collect()
}

fn secret_of(path: &Path) -> Result<Vec<u8>, SourcesError> {
    let text = SecretFile::WEBHOOK.read(path);
    let text = text.map_err(|source| SourcesError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let bytes = match text.strip_prefix(ENCODED) {
        Some(encoded) => Base64::decode_vec(encoded).unwrap_or_default(),
        None => text.into_bytes(),
    };
    match bytes.is_empty() {
        true => Err(SourcesError::NoSecret(path.to_owned())),
        false => Ok(bytes),
    }
}
