//! The table of ratios: each line is one target, measured against its reference in the same run.
//!
//! `cargo bench --bench table` measures every line, `cargo bench --bench table -- P2 P10` some of them,
//! `--quick` all in a few seconds each, to see that they work; lines about sockets start this program
//! anew as their subscribers ([`table::sockets`]). A line is one file with a function and an entry in
//! [`LINES`].

mod table {
    pub mod report;
    pub mod measure;
    pub mod cpu;
    pub mod stand;
    pub mod served;
    pub mod wire;
    pub mod stock;
    pub mod references;
    pub mod sockets;
    pub mod drive;
    pub mod traffic;
    pub mod fleets;
    pub mod log;
    pub mod copy;
    pub mod ingest;
    pub mod records;
    pub mod logs;
    pub mod shops;
    pub mod searched;
    pub mod weighed;
    pub mod commands;
    pub mod beside;
    pub mod peers;
    pub mod peer_commands;
    pub mod peer_lists;
    pub mod mutations;
    pub mod history;
    pub mod lossless;
    pub mod identity;
    pub mod rebuilds;
    pub mod exports;
    pub mod programs;
    pub mod audited;
    pub mod lag;
    pub mod cached;
    pub mod feeds;
    pub mod publishers;
    pub mod deliveries;
    pub mod fold;
    pub mod releases;
    pub mod imports;
    pub mod delivered;
    pub mod boards;
    pub mod watched;
    pub mod limits;
    pub mod start;
    pub mod growth;
}

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Instant;

use table::references;
use table::report::{Report, Row};
use table::sockets;
use table::stand::Stand;

/// As the product: what is measured in this process allocates as it does in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many records the lines that say so have stored.
const RECORDS: &str = "--records=";

/// What a line returns.
type Measured<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Vec<Row>>> + 'a>>;

/// A line: its name, what it is about, and how it is measured.
struct Line {
    name: &'static str,
    about: &'static str,
    measure: for<'a> fn(&'a Stand) -> Measured<'a>,
}

/// Every line, in the order they are run.
const LINES: &[Line] = &[
    Line {
        name: "P1",
        about: "bulk ingest of vehicle fixes against raw COPY BINARY",
        measure: |stand| Box::pin(table::ingest::measure(stand)),
    },
    Line {
        name: "P1",
        about: "log records over HTTP against raw COPY BINARY",
        measure: |stand| Box::pin(table::logs::measure(stand)),
    },
    Line {
        name: "P1",
        about: "the read model of log records keeping up, against raw COPY BINARY",
        measure: |stand| Box::pin(table::searched::keeping_up(stand)),
    },
    Line {
        name: "P1",
        about: "log records on disk, against a plain table",
        measure: |stand| Box::pin(table::weighed::on_disk(stand)),
    },
    Line {
        name: "P2",
        about: "durable commands through the write door against stock postgres-es",
        measure: |stand| Box::pin(table::commands::measure(stand)),
    },
    Line {
        name: "P2",
        about: "the same commands beside bulk ingest",
        measure: |stand| Box::pin(table::beside::measure(stand)),
    },
    Line {
        name: "P2",
        about: "the same commands against esrs",
        measure: |stand| Box::pin(table::peer_commands::esrs(stand)),
    },
    Line {
        name: "P2",
        about: "the same commands against Emmett, where Node.js is",
        measure: |stand| Box::pin(table::peer_commands::emmett(stand)),
    },
    Line {
        name: "P3",
        about: "durable commands as GraphQL mutations over HTTP against postgres-es in process",
        measure: |stand| Box::pin(table::mutations::measure(stand)),
    },
    Line {
        name: "P4",
        about: "command latency with a long history against a short one",
        measure: |stand| Box::pin(table::history::measure(stand)),
    },
    Line {
        name: "P5",
        about: "what readers see of what was acknowledged, under a minute of full load",
        measure: |stand| Box::pin(table::lossless::measure(stand)),
    },
    Line {
        name: "P6",
        about: "rebuilds against COPY OUT, and what writers lose meanwhile",
        measure: |stand| Box::pin(table::rebuilds::measure(stand)),
    },
    Line {
        name: "P6",
        about: "events to Parquet a second, and the memory it takes",
        measure: |stand| Box::pin(table::exports::measure(stand)),
    },
    Line {
        name: "P6",
        about: "the memory of a rebuild",
        measure: |stand| Box::pin(table::programs::rebuilding(stand)),
    },
    Line {
        name: "P7",
        about: "commit to projection at 4,000 commits a second",
        measure: |stand| Box::pin(table::lag::measure(stand)),
    },
    Line {
        name: "P7",
        about: "commit to subscriber over sockets",
        measure: |stand| Box::pin(table::deliveries::lags(stand)),
    },
    Line {
        name: "P8",
        about: "a list over GraphQL, kept and made, against axum and stock async-graphql",
        measure: |stand| Box::pin(table::cached::measure(stand)),
    },
    Line {
        name: "P8",
        about: "the same list against graphql-yoga and PostGraphile, where Node.js is",
        measure: |stand| Box::pin(table::peer_lists::measure(stand)),
    },
    Line {
        name: "P9",
        about: "events handed to subscribers, without sockets, against stock executions",
        measure: |stand| Box::pin(table::feeds::measure(stand)),
    },
    Line {
        name: "P9",
        about: "deliveries over sockets, against stock async-graphql",
        measure: |stand| Box::pin(table::deliveries::deliveries(stand)),
    },
    Line {
        name: "P9",
        about: "memory of idle sockets",
        measure: |stand| Box::pin(table::deliveries::memory(stand)),
    },
    Line {
        name: "P10",
        about: "the heat map's fold on one core",
        measure: |stand| Box::pin(table::fold::measure(stand)),
    },
    Line {
        name: "Q1",
        about: "quotas checked on one core against windows counted in one locked map",
        measure: |stand| Box::pin(table::limits::measure(stand)),
    },
    Line {
        name: "Q2",
        about: "who asks and whether they may: tokens, and quotas on lists",
        measure: |stand| Box::pin(table::identity::measure(stand)),
    },
    Line {
        name: "Q3",
        about: "a year of deployments imported through the write door",
        measure: |stand| Box::pin(table::imports::measure(stand)),
    },
    Line {
        name: "Q3",
        about: "the memory of an import",
        measure: |stand| Box::pin(table::programs::importing(stand)),
    },
    Line {
        name: "Q4",
        about: "DORA's figures of a year, with a year and with ten years stored",
        measure: |stand| Box::pin(table::delivered::measure(stand)),
    },
    Line {
        name: "Q5",
        about: "log records filtered by time, type and user; how many are stored says --records=N",
        measure: |stand| Box::pin(table::searched::filters(stand)),
    },
    Line {
        name: "Q6",
        about: "a declared id among others, and among a tenth of them; how many says --records=N",
        measure: |stand| Box::pin(table::weighed::ids(stand)),
    },
    Line {
        name: "Q7",
        about: "scores handed in through the write door against stock postgres-es",
        measure: |stand| Box::pin(table::boards::scores(stand)),
    },
    Line {
        name: "Q8",
        about: "ranks among a million users, or as many as --records=N says, against sorted sets of Redis",
        measure: |stand| Box::pin(table::boards::ranks(stand)),
    },
    Line {
        name: "Q9",
        about: "ten thousand score changes a second, and the subscriber of their board",
        measure: |stand| Box::pin(table::watched::measure(stand)),
    },
    Line {
        name: "Q10",
        about: "verifying a sealed log against COPY OUT",
        measure: |stand| Box::pin(table::audited::verifying(stand)),
    },
    Line {
        name: "Q11",
        about: "a thing with a long past as it was",
        measure: |stand| Box::pin(table::audited::as_of(stand)),
    },
    Line {
        name: "Q12",
        about: "what sealing costs those who append",
        measure: |stand| Box::pin(table::audited::sealing(stand)),
    },
    Line {
        name: "P11",
        about: "start, size and idle memory of the binary",
        measure: |stand| Box::pin(table::start::measure(stand)),
    },
    Line {
        name: "P12",
        about: "what a unit costs with ten times as much stored; how much says --records=N",
        measure: |stand| Box::pin(table::growth::measure(stand)),
    },
];

fn main() -> ExitCode {
    // `cargo bench` adds --bench; `cargo test --benches` adds nothing and wants a smoke run at most.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == sockets::COMMAND) {
        return sockets::main(&arguments);
    }
    let quick = arguments.iter().any(|a| a == "--quick");
    if arguments.iter().any(|a| a == "--list") {
        LINES
            .iter()
            .for_each(|line| println!("{}: {}", line.name, line.about));
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    if let Some(at) = arguments.iter().position(|a| a == references::FLAG) {
        let [kind, argument] = [1, 2].map(|n| arguments.get(at + n).map_or("", String::as_str));
        return match runtime.block_on(references::serve(kind, argument)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:?}");
                ExitCode::FAILURE
            }
        };
    }
    let records = arguments.iter().find_map(|a| a.strip_prefix(RECORDS));
    let Ok(records) = records.map(str::parse).transpose() else {
        eprintln!("{RECORDS}N takes a number");
        return ExitCode::from(2);
    };
    let named: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    if let Some(unknown) = named.iter().find(|n| LINES.iter().all(|l| l.name != **n)) {
        eprintln!("no line is called {unknown}; --list tells them");
        return ExitCode::from(2);
    }
    let wanted = |line: &&Line| named.is_empty() || named.iter().any(|n| *n == line.name);
    match runtime.block_on(run(LINES.iter().filter(wanted), quick, records)) {
        Ok(report) => {
            println!("\n{}", report.markdown());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    lines: impl Iterator<Item = &Line>,
    quick: bool,
    records: Option<usize>,
) -> anyhow::Result<Report> {
    let stand = Stand::start(quick, records).await?;
    let mut report = Report::new(quick);
    for line in lines {
        eprintln!("{}: {}", line.name, line.about);
        let began = Instant::now();
        let rows = (line.measure)(&stand).await;
        match rows {
            Ok(rows) => report.add(line.name, rows),
            // The others are measured all the same; the table shows the gap.
            Err(error) => {
                eprintln!("{} failed: {error:?}", line.name);
                report.add(line.name, vec![Row::failed(line.about)]);
            }
        }
        eprintln!("{}: {:.0} s", line.name, began.elapsed().as_secs_f64());
        report.save()?;
    }
    stand.stop().await;
    Ok(report)
}
