//! `breakwater-server`: parses the command line and hands over.

use std::process::ExitCode;

use clap::Parser;
use sync_server::cli::Cli;

fn main() -> ExitCode {
    sync_server::commands::execute(&Cli::parse())
}
