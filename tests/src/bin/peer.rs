//! The peer's server, to be measured beside ours. See `tests::peer`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Takes sales over HTTP into a table. For measurements only: whoever reaches it may write
#[derive(Debug, Parser)]
#[command(name = "peer", after_help = "Example: peer --data-dir /tmp/peer")]
struct Cli {
    /// The folder of its database, which must be new
    #[arg(long)]
    data_dir: PathBuf,
    /// An empty PostgreSQL database to be used instead
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let served = runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(tests::peer::serve(&cli.data_dir, cli.database.as_deref())));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the peer failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
