//! `make demo`: a server and three stores sell through a minute of trouble. See `tests::demo`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::demo::{Balance, Settings, run};
use tests::process::build_programs;

/// Starts a server and three agents on free ports, sells for a minute while one store loses its network and an agent
/// and the server are killed, and ends with the balance.
#[derive(Debug, Parser)]
#[command(name = "demo", after_help = "Example: make demo KEEP=1\nExit code: 0 if the balance is square, 1 if not.")]
struct Cli {
    /// How long to sell, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Stay up afterwards, selling slowly, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Take the programs as they lie beside this one, without building them first
    #[arg(long)]
    no_build: bool,
    /// Seed of the sales
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match demo(&cli) {
        Ok(balance) => {
            println!("{balance}");
            if balance.is_square() {
                ExitCode::SUCCESS
            } else {
                eprintln!("the books do not agree: {balance:?}");
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("the demonstration failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn demo(cli: &Cli) -> anyhow::Result<Balance> {
    if !cli.no_build {
        eprintln!("building the programs");
        build_programs()?;
    }
    let folder = tempfile::Builder::new().prefix("breakwater-demo-").tempdir()?;
    let settings = Settings { selling: Duration::from_secs(cli.seconds), keep: cli.keep, seed: cli.seed };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let balance = runtime.block_on(run(folder.path(), &settings));
    if balance.as_ref().map_or(true, |balance| !balance.is_square()) {
        eprintln!("the programs' folders are kept in {}", folder.keep().display());
    }
    balance
}
