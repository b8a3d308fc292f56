//! Settings of the keys that personal values are sealed with.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::knob::section;

section! {
    /// Keys of personal values.
    Vault in "vault" {
        /// 64 hexadecimal digits that only its owner may read; the same file for all processes, and kept
        /// apart from the database's backups. Not set: `development-vault.key` in `data_dir`, made on the
        /// first start.
        master_key_file: Option<PathBuf> = "";
        /// Keys of subjects remembered.
        keys_max: usize = "10000", "0" ..= "1000000";
        /// How long one is remembered: how long another process can still read what was erased.
        key_ttl: Duration = "2s", "0s" ..= "5s";
    }
}
