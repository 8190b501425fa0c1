//! `make demo`: a server and three stores sell through a minute of trouble. See `tests::demo`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tests::demo::{Balance, Settings, run};
use tests::process::build_programs;

/// Starts a server and three agents on free ports, sells for a minute while one store loses its network and an agent
/// and the server are killed, and ends with the balance.
#[derive(Debug, Parser)]
#[command(
    name = "demo",
    after_help = "Example: make demo KEEP=1\nExit code: 0 if the balance is square, 1 if not, 130 if it was interrupted before."
)]
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
        Ok(None) => {
            eprintln!("interrupted; nothing is left behind");
            ExitCode::from(INTERRUPTED)
        }
        Ok(Some(balance)) => {
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

/// What a shell reports of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn demo(cli: &Cli) -> anyhow::Result<Option<Balance>> {
    if !cli.no_build {
        eprintln!("building the programs");
        build_programs()?;
    }
    let folder = tempfile::Builder::new().prefix("breakwater-demo-").tempdir()?;
    let settings = Settings { selling: Duration::from_secs(cli.seconds), keep: cli.keep, seed: cli.seed };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let balance = runtime.block_on(run(folder.path(), &settings));
    let is_fine = |balance: &Option<Balance>| balance.is_none_or(|balance| balance.is_square());
    if !balance.as_ref().is_ok_and(is_fine) {
        eprintln!("the programs' folders are kept in {}", folder.keep().display());
    }
    balance
}
