//! Entry: everything is in the library.

use std::process::ExitCode;

use clap::Parser as _;
use daybook_load::{Options, report, run_until_told};

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.into())
        .enable_all()
        .build()
        .expect("a runtime can be made");
    match runtime.block_on(run_until_told(&options)) {
        Ok(summary) => {
            print!("{}", report::text(&summary));
            for path in &options.report {
                eprintln!("the report is in {}", path.display());
            }
            match summary.passed {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
