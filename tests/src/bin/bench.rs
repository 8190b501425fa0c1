//! The measurements of Breakwater. Every case prints progress on standard error and one JSON line on standard output.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tests::bench::{Report, counter, drain, edge, footprint, price, sales, shapes};
use tests::process::build_programs;
use tests::surroundings::{Home, Via};

/// Measures Breakwater against the bare limit of the same machine, in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = "Example: cargo run --release -p tests --bin bench -- edge --seconds 10")]
struct Cli {
    #[command(subcommand)]
    case: Case,
}

#[derive(Debug, Subcommand)]
enum Case {
    /// Durable sale commits through the agent's writer, beside bare SQLite with the same rows and syncs
    Edge {
        /// Seconds of selling in each round
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Tills that sell at once
        #[arg(long, default_value_t = 1)]
        tills: usize,
        /// Rounds; the figures are medians
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Read, seal and confirm a backlog at the same time
        #[arg(long)]
        syncing: bool,
    },
    /// Sales over HTTP at several tills, while a backlog drains and a Z report is made, beside HTTP alone
    Counter {
        /// Seconds of selling in each round
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Tills that sell at once
        #[arg(long, default_value_t = 8)]
        tills: usize,
        /// Rounds; the figures are medians
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Sales that wait for the centre when a round begins
        #[arg(long, default_value_t = 200_000)]
        backlog: u64,
        /// Sales of the shift that is closed in the middle of a round
        #[arg(long, default_value_t = 5_000)]
        z_sales: u64,
    },
    /// A backlog drained into the central ledger, beside the bare writing of the same rows
    Drain {
        /// The way in
        #[arg(long, value_enum, default_value = "listener")]
        via: Via,
        /// The home of the ledger
        #[arg(long, value_enum, default_value = "sqlite")]
        into: Home,
        /// Stores, each with its own connection
        #[arg(long, default_value_t = 200)]
        stores: u64,
        /// Events in a batch at the most
        #[arg(long, default_value_t = 500)]
        batch: u32,
        /// Sales of all stores together
        #[arg(long, default_value_t = 1_000_000)]
        sales: u64,
        /// Scales the number of sales to about this many seconds, at 150,000 a second
        #[arg(long, conflicts_with = "sales")]
        seconds: Option<u64>,
        /// Rounds; the figures are medians
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Seed of the backlog
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Thousands of connected stores that sell at a steady rate
    Steady(ShapeArgs),
    /// Ten times as many sales within ten seconds
    Surge(ShapeArgs),
    /// Thousands of stores come back within a minute, each with a day of sales, beside the bare writing of the rows
    Return(ShapeArgs),
    /// Baskets priced by a price book, beside adding the same lines up without one
    Price {
        /// Lines of a basket in the closing figures; a table has 1, 5 and 20
        #[arg(long, default_value_t = 5)]
        lines: usize,
        /// Promotions of the book in the closing figures; a table has 10, 50 and 200
        #[arg(long, default_value_t = 50)]
        promotions: usize,
        /// Seconds for each cell of the table, and for each round
        #[arg(long, default_value_t = 1)]
        seconds: u64,
        /// Rounds; the figures are medians
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// The agent's memory and start time with many sales on disk
    Footprint {
        /// Sales on disk
        #[arg(long, default_value_t = 1_000_000)]
        sales: u64,
        /// Starts; the time is the median
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Not used by this case; every case takes it
        #[arg(long, hide = true)]
        seconds: Option<u64>,
    },
}

/// What the cases have in common that play a shape of `packaging/load-shapes/`.
#[derive(Debug, Args)]
struct ShapeArgs {
    /// The way in
    #[arg(long, value_enum, default_value = "listener")]
    via: Via,
    /// The home of the ledger
    #[arg(long, value_enum, default_value = "sqlite")]
    into: Home,
    /// Stores [default: what the shape says]; each sells as much as the shape says
    #[arg(long)]
    stores: Option<u64>,
    /// So many hundredths of the shape's rate
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    rate: u64,
    /// Seconds of selling [default: what the shape says]
    #[arg(long)]
    seconds: Option<u64>,
    /// The operator's limit on the events that the server commits a second
    #[arg(long, value_name = "EVENTS")]
    limit: Option<u64>,
    /// Rounds; the figures are medians
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Threads for the stores
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Seed of the sales
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Measure the peer too: a plain outbox over HTTP, on the same load
    #[arg(long)]
    peer: bool,
    /// Write the last round's charts, as one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().case) {
        Ok(report) => {
            println!("{}", serde_json::to_string(&report).expect("a report has only text keys"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(case: Case) -> anyhow::Result<Report> {
    match case {
        Case::Edge { seconds, tills, rounds, syncing } => {
            edge::run(&edge::Settings { tills, seconds, rounds, syncing }, &sales::command)
        }
        Case::Counter { seconds, tills, rounds, backlog, z_sales } => {
            build_programs()?;
            counter::run(&counter::Settings { tills, seconds, rounds, backlog, z_sales }, &sales::command)
        }
        Case::Drain { via, into, stores, batch, sales, seconds, rounds, seed } => {
            build_programs()?;
            let sales = seconds.map_or(sales, |seconds| seconds * 150_000);
            let sales_per_store = sales.div_ceil(stores.max(1));
            let settings = drain::Settings { via, home: into, stores, sales_per_store, batch, rounds, seed };
            drain::run(&settings, &sales::templates(seed)?)
        }
        Case::Steady(args) => play(shapes::Case::Steady, args),
        Case::Surge(args) => play(shapes::Case::Surge, args),
        Case::Return(args) => play(shapes::Case::Return, args),
        Case::Price { lines, promotions, seconds, rounds } => {
            price::run(&price::Settings { lines, promotions, seconds, rounds })
        }
        Case::Footprint { sales, rounds, .. } => {
            build_programs()?;
            footprint::run(&footprint::Settings { sales, rounds }, &sales::command)
        }
    }
}

fn play(case: shapes::Case, args: ShapeArgs) -> anyhow::Result<Report> {
    build_programs()?;
    let ShapeArgs { via, into, stores, rate, seconds, limit, rounds, threads, peer, seed, report } = args;
    let (home, rate_percent) = (into, rate);
    let settings =
        shapes::Settings { via, home, stores, rate_percent, seconds, limit, rounds, threads, peer, seed, report };
    shapes::run(case, &settings, &sales::templates(seed)?)
}
