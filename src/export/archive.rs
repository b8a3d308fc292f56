//! The archive: old partitions of the log in files with their proofs. Events leave the log only once their
//! files are on the disk and were read back and found to be what was sealed.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::check::{Checked, check_export};
use super::events::{EventExport, export_events};
use super::leaves::LeafReader;
use super::target::sync_folder_of;
use super::{ExportError, Format};
use crate::seals::{Hash, RangeProof, public_keys, sealed_to};
use crate::store::{
    ArchiveTurn, Archived, MOVED_MAX, OldPartition, Store, StoredEvent, StoredRow, write_stored,
};

/// Where files of a folder are written before they are known to be right.
const UNFINISHED: &str = ".unfinished";

/// Locked by whoever writes to a folder.
const LOCK: &str = ".archive.lock";

/// Files of a folder that are looked at.
const FILES_MAX: usize = 100_000;

/// Rows are put back in pieces of this many bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Pieces read ahead of those that are being put back.
const CHUNKS_AHEAD_MAX: usize = 4;

/// Archived events handed over at once.
const EVENTS_AT_ONCE: usize = 256;

/// Why events are not archived, or not put back.
#[derive(Debug, thiserror::Error)]
pub enum Unarchived {
    /// They are not sealed yet.
    #[error(
        "the log of {tenant} is sealed up to position {sealed}, and the partition ends at {end}: wait for the sealer"
    )]
    Unsealed {
        /// Whose.
        tenant: String,
        /// Where its seals end.
        sealed: i64,
        /// Where the partition ends.
        end: i64,
    },
    /// A read model has yet to fold them.
    #[error(
        "the read model {projection} of {tenant} is at position {position} and still needs events up to {end}"
    )]
    Needed {
        /// Whose.
        tenant: String,
        /// Which.
        projection: String,
        /// Where it is.
        position: i64,
        /// Where the partition ends.
        end: i64,
    },
    /// Too many events of others would have to be moved while nobody may append.
    #[error(
        "{events} events of logs that end within positions {first} to {last} would have to be moved, \
         at most {MOVED_MAX} are: wait until these logs have gone on"
    )]
    TooManyStay {
        /// The partition's first position.
        first: i64,
        /// Its last.
        last: i64,
        /// How many.
        events: i64,
    },
    /// A file is not what was sealed.
    #[error("{file} does not hold what was sealed: {what}")]
    Differs {
        /// Which.
        file: PathBuf,
        /// In what.
        what: String,
    },
    /// Another process archives or restores events of this database.
    #[error("another `daybook archive` is at work on this database: wait for it to end")]
    Busy,
    /// Another process archives into this folder.
    #[error(
        "another `daybook archive` is writing to {0}: wait for it to end, or name another folder"
    )]
    FolderBusy(PathBuf),
    /// A file has the name of one that was to be written.
    #[error(
        "{0} is there already, and is not this database's archive of these events: it was left as it is; \
         name a folder of this database's own, or move it away"
    )]
    Foreign(PathBuf),
    /// What was written to files is not what the log holds any more.
    #[error(
        "the log does not hold all events from {first} to {last} any more that were written to files: \
         nothing was taken out of it; run it again"
    )]
    Moved {
        /// The partition's first position.
        first: i64,
        /// Its last.
        last: i64,
    },
    /// The files of a folder lack events.
    #[error("{0} has no archived events of {1} that the log lacks")]
    Nothing(PathBuf, String),
}

/// Archived events in a folder.
#[derive(Clone, Debug)]
pub struct ArchiveFile {
    /// What proves them.
    pub proof: RangeProof,
    /// Where that lies.
    pub proof_path: PathBuf,
    /// Where the events lie.
    pub data_path: PathBuf,
}

/// Takes all partitions to files that lie wholly before a position. `told` hears of each tenant's part of
/// each as it is done. What was done before stays done, whatever ends it.
pub async fn archive(
    store: &Store,
    (before, folder): (i64, &Path),
    by: &str,
    mut told: impl FnMut(&Archived),
) -> Result<(), ExportError> {
    let _turn = turn(store).await?;
    let folder = &Folder::open(folder)?;
    for old in store.old_partitions(before).await? {
        let mut files: Vec<Archived> = Vec::new();
        let partition = loop {
            // Logs go on while files are written: one that has passed the partition meanwhile goes too.
            let now = store.old_partitions(old.end).await?;
            let Some(partition) = now.into_iter().find(|now| now.first == old.first) else {
                return Err(ExportError::Cut);
            };
            may_go(store, &partition).await?;
            let is_written = |tenant: &&String| files.iter().any(|file| file.tenant == **tenant);
            let next = partition.whole.iter().find(|tenant| !is_written(tenant));
            let Some(next) = next.cloned() else {
                break partition;
            };
            files.push(write(store, &next, &partition, folder).await?);
        };
        if !files.is_empty() {
            if !store.take_away(&partition, &files, by).await? {
                let (first, last) = partition.positions().into_inner();
                return Err(Unarchived::Moved { first, last }.into());
            }
            files.iter().for_each(&mut told);
        }
    }
    Ok(())
}

async fn turn(store: &Store) -> Result<ArchiveTurn, ExportError> {
    let turn = store.archive_turn().await?;
    Ok(turn.ok_or(Unarchived::Busy)?)
}

/// A folder that nobody else archives into.
struct Folder {
    path: PathBuf,
    unfinished: PathBuf,
    _lock: File,
}

impl Folder {
    fn open(path: &Path) -> Result<Folder, ExportError> {
        create_folder(path)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Unarchived::FolderBusy(path.to_owned()).into());
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let unfinished = path.join(UNFINISHED);
        // Left behind by one that was killed.
        if unfinished.try_exists()? {
            std::fs::remove_dir_all(&unfinished)?;
        }
        std::fs::create_dir(&unfinished)?;
        Ok(Folder {
            path: path.to_owned(),
            unfinished,
            _lock: lock,
        })
    }

    /// Gives files their names that were written and found to be right; the proof's comes last. What has such
    /// a name already is replaced only by what is the same.
    async fn keep(
        &self,
        written: ArchiveFile,
        trusted: Vec<[u8; 32]>,
    ) -> Result<ArchiveFile, ExportError> {
        let name = |path: &Path| path.file_name().map(|name| self.path.join(name));
        let (Some(data), Some(proof)) = (name(&written.data_path), name(&written.proof_path))
        else {
            return Err(ExportError::Cut);
        };
        if proof.try_exists()? && !is_of(&proof, &written.proof, &trusted)? {
            return Err(Unarchived::Foreign(proof).into());
        }
        if data.try_exists()? {
            let there = ArchiveFile {
                data_path: data.clone(),
                ..written.clone()
            };
            match check(&there, trusted, |_| Ok(())).await {
                Ok(()) => {}
                Err(ExportError::Io(error)) => return Err(error.into()),
                Err(_) => return Err(Unarchived::Foreign(data).into()),
            }
        }
        for (from, to) in [(&written.data_path, &data), (&written.proof_path, &proof)] {
            std::fs::rename(from, to)?;
            sync_folder_of(to)?;
        }
        Ok(ArchiveFile {
            proof: written.proof,
            proof_path: proof,
            data_path: data,
        })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is of use to nobody, and the next one removes it.
        let _ = std::fs::remove_dir_all(&self.unfinished);
    }
}

/// Does a file prove the same range of the same log, signed by one of these keys?
fn is_of(proof_path: &Path, proof: &RangeProof, trusted: &[[u8; 32]]) -> Result<bool, ExportError> {
    let Some(there) = ArchiveFile::open(proof_path)? else {
        return Ok(false);
    };
    let range = |proof: &RangeProof| (proof.from(), proof.to());
    let is_same = there.proof.tenant() == proof.tenant() && range(&there.proof) == range(proof);
    Ok(is_same && there.proof.begin(Some(trusted)).is_ok())
}

/// Makes a folder, and those that it is in, and waits until their names are on the disk.
fn create_folder(folder: &Path) -> io::Result<()> {
    let is_missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let made: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    std::fs::create_dir_all(folder)?;
    made.into_iter().rev().try_for_each(sync_folder_of)
}

async fn may_go(store: &Store, partition: &OldPartition) -> Result<(), ExportError> {
    let (first, end) = partition.positions().into_inner();
    if partition.whole.is_empty() {
        return Ok(());
    }
    for tenant in &partition.whole {
        let sealed = sealed_to(store, tenant).await?;
        if sealed < end {
            let tenant = tenant.clone();
            return Err(Unarchived::Unsealed {
                tenant,
                sealed,
                end,
            }
            .into());
        }
    }
    if let Some(behind) = store.read_model_behind(&partition.whole, end).await? {
        return Err(Unarchived::Needed {
            tenant: behind.tenant,
            projection: behind.projection,
            position: behind.position,
            end,
        }
        .into());
    }
    if partition.staying > MOVED_MAX {
        return Err(Unarchived::TooManyStay {
            first,
            last: end,
            events: partition.staying,
        }
        .into());
    }
    Ok(())
}

/// Writes a tenant's part of a partition, and reads it back from the disk.
async fn write(
    store: &Store,
    tenant: &str,
    partition: &OldPartition,
    folder: &Folder,
) -> Result<Archived, ExportError> {
    let (from, to) = partition.positions().into_inner();
    let file = format!("{tenant}-{from}-{to}.parquet");
    let proof_file = format!("{tenant}-{from}-{to}.proof");
    let proof = folder.unfinished.join(&proof_file);
    let what = EventExport {
        tenant: tenant.into(),
        positions: from..=to,
        only: None,
        format: Format::Parquet,
        out: folder.unfinished.join(&file),
        proof: Some(proof.clone()),
    };
    export_events(store, &what, |_, _| ()).await?;
    let written = ArchiveFile::open(&proof)?.ok_or(ExportError::Cut)?;
    let seal_size = i64::try_from(written.proof.size()).unwrap_or(i64::MAX);
    check(&written, trusted(store).await?, |_| Ok(())).await?;
    let kept = folder.keep(written, trusted(store).await?).await?;
    let digests = tokio::task::spawn_blocking(move || {
        Ok([digest(&kept.data_path)?, digest(&kept.proof_path)?])
    });
    let digests: Result<[Hash; 2], ExportError> = joined(digests.await);
    let [sha256, proof_sha256] = digests?.map(Vec::from);
    Ok(Archived {
        tenant: tenant.to_owned(),
        from_position: from,
        to_position: to,
        file,
        sha256,
        proof_file,
        proof_sha256,
        seal_size,
    })
}

/// The keys that sign the seals of this database.
async fn trusted(store: &Store) -> Result<Vec<[u8; 32]>, ExportError> {
    let keys = public_keys(store.pool()).await?;
    Ok(keys.into_values().collect())
}

/// Makes sure that a file is what was sealed; each event is handed over before that is known.
async fn check(
    file: &ArchiveFile,
    trusted: Vec<[u8; 32]>,
    each: impl FnMut(&StoredRow<'_>) -> Result<(), ExportError> + Send + 'static,
) -> Result<(), ExportError> {
    let (data, proof) = (file.data_path.clone(), file.proof_path.clone());
    let checking = {
        let data = data.clone();
        tokio::task::spawn_blocking(move || check_export(&data, &proof, Some(&trusted), each))
    };
    let what = match joined(checking.await)? {
        Checked::Holds { .. } => return Ok(()),
        Checked::Differs {
            position, doubt, ..
        } => format!("position {position}: {doubt}"),
        Checked::Worthless(why) => why,
    };
    Err(Unarchived::Differs { file: data, what }.into())
}

/// What a task came to. The library of the format gives up on a file by a panic.
fn joined<T>(
    ended: Result<Result<T, ExportError>, tokio::task::JoinError>,
) -> Result<T, ExportError> {
    ended.unwrap_or_else(|_| Err(ExportError::Parquet("the file cannot be read".to_owned())))
}

fn digest(path: &Path) -> Result<Hash, ExportError> {
    let mut file = File::open(path)?;
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&bytes[..read]),
        }
    }
}

impl ArchiveFile {
    /// Archived events by the file that proves them; `None`: it proves no range.
    fn open(proof_path: &Path) -> Result<Option<ArchiveFile>, ExportError> {
        let opened = LeafReader::open(proof_path)?;
        Ok(opened.map(|(proof, _)| ArchiveFile {
            proof,
            data_path: proof_path.with_extension("parquet"),
            proof_path: proof_path.to_owned(),
        }))
    }
}

/// Archived events of a tenant in a folder, in order.
pub fn archive_files(folder: &Path, tenant: &str) -> Result<Vec<ArchiveFile>, ExportError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)?.take(FILES_MAX) {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "proof")
            && let Some(file) = ArchiveFile::open(&path)?
            && file.proof.tenant() == tenant
            && file.data_path.is_file()
        {
            files.push(file);
        }
    }
    files.sort_by_key(|file| (file.proof.from(), file.proof.to()));
    Ok(files)
}

/// Puts all events of a tenant that the log lacks and a folder has back into the log. `told` hears of each
/// file as it is done.
pub async fn restore(
    store: &Store,
    tenant: &str,
    folder: &Path,
    by: &str,
    mut told: impl FnMut(&Archived),
) -> Result<(), ExportError> {
    let _turn = turn(store).await?;
    let files = archive_files(folder, tenant)?;
    let mut done = 0;
    for archived in store.archived(tenant).await? {
        let (from, to) = (archived.from_position, archived.to_position);
        let file = files
            .iter()
            .find(|file| (file.proof.from(), file.proof.to()) == (from, to));
        let Some(file) = file else { continue };
        let mut back = store.put_back(&archived).await?;
        let (send, rows) = mpsc::channel(CHUNKS_AHEAD_MAX);
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let last = to;
        let of = tenant.to_owned();
        let each = move |row: &StoredRow<'_>| {
            write_stored(&mut chunk, &of, row);
            if chunk.len() >= CHUNK_BYTES || row.position == last {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_BYTES));
                send.blocking_send(full).map_err(|_| ExportError::Cut)?;
            }
            Ok(())
        };
        let (checked, put) = tokio::join!(check(file, trusted(store).await?, each), back.put(rows));
        match (checked, put) {
            (Err(ExportError::Cut), Err(put)) => return Err(put.into()),
            (checked, put) => {
                checked?;
                put?;
            }
        }
        back.keep(by).await?;
        done += 1;
        told(&archived);
    }
    match done {
        0 => Err(Unarchived::Nothing(folder.to_owned(), tenant.to_owned()).into()),
        _ => Ok(()),
    }
}

/// Hands over the archived events of a file in order, from behind a position on, once the whole file was
/// found to be what was sealed by this database's keys.
pub async fn read_archived(
    store: &Store,
    file: &ArchiveFile,
    (after, up_to): (i64, i64),
    events: mpsc::Sender<Vec<StoredEvent>>,
) -> Result<(), ExportError> {
    check(file, trusted(store).await?, |_| Ok(())).await?;
    let tenant: Arc<str> = file.proof.tenant().into();
    let mut batch = Vec::with_capacity(EVENTS_AT_ONCE);
    let last = file.proof.to().min(up_to);
    check(file, trusted(store).await?, move |row| {
        if row.position > after && row.position <= last {
            let stored = StoredEvent::of_row(&tenant, row);
            batch.push(stored.ok_or(ExportError::NoDate(row.position))?);
        }
        if batch.len() == EVENTS_AT_ONCE || (row.position == last && !batch.is_empty()) {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(EVENTS_AT_ONCE));
            events.blocking_send(full).map_err(|_| ExportError::Cut)?;
        }
        Ok(())
    })
    .await
}
