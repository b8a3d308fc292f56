//! Where an export goes: a file that has its name only once it is whole and on the disk, or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Stdout, Write};
use std::path::{Path, PathBuf};

/// What is written is told to the kernel in pieces of this many bytes.
pub(super) const WRITE_BYTES: usize = 256 << 10;

/// Where an export is written.
#[derive(Debug)]
pub(super) enum Target {
    /// To a file.
    File(Unnamed),
    /// To standard output.
    Standard(Stdout),
}

/// A file that has not its name yet; taken away if it is given up.
#[derive(Debug)]
pub(super) struct Unnamed {
    file: File,
    beside: PathBuf,
    path: PathBuf,
    named: bool,
}

impl Target {
    /// The file of this name, or standard output for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Target> {
        if path.as_os_str() == "-" {
            return Ok(Target::Standard(io::stdout()));
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&beside)?;
        Ok(Target::File(Unnamed {
            file,
            beside,
            path: path.to_owned(),
            named: false,
        }))
    }

    /// It is whole: it gets its name, once its bytes and then the name are on the disk.
    pub(super) fn finish(self) -> io::Result<()> {
        match self {
            Target::Standard(mut out) => out.flush(),
            Target::File(mut file) => {
                file.file.sync_all()?;
                std::fs::rename(&file.beside, &file.path)?;
                file.named = true;
                sync_folder_of(&file.path)
            }
        }
    }
}

/// Waits until the names in a file's folder are on the disk.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::File(file) => file.file.write(bytes),
            Target::Standard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::File(file) => file.file.flush(),
            Target::Standard(out) => out.flush(),
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if !self.named {
            // What a full disk holds of it is of use to nobody.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}
