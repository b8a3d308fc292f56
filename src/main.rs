//! Entry.

use std::path::PathBuf;
use std::process::ExitCode;

use daybook::store::local::{self, LocalError, LocalSettings};

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(command), Some(dir)) = (args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    let pg_bin = std::env::var_os("DAYBOOK_PG_BIN").map(PathBuf::from);
    let done = match command.as_str() {
        "test-cluster" => local::supervise_test_cluster(dir.as_ref(), pg_bin).await,
        "hold-postgres" => {
            local::hold(&LocalSettings {
                pg_bin,
                ..LocalSettings::new(dir)
            })
            .await
        }
        _ => return ExitCode::from(2),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    ExitCode::from(if matches!(error, LocalError::NotFound { .. }) {
        3
    } else {
        1
    })
}
