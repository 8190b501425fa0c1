//! `breakwater-agent`: parse, load, and hand over.

use std::io::{self, Write};
use std::process::ExitCode;

use agent::cli::{Cli, Command, Outbox};
use agent::config::{Config, ConfigError, Loaded, LogConfig};
use agent::folder::FolderError;
use agent::run::{RunError, run};
use agent::{commands, telemetry};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const BROKEN: u8 = 3;
const IN_USE: u8 = 4;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            let causes = error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
            // Nothing is left to say it to if this fails.
            let _ = writeln!(io::stderr(), "error: failed to {causes}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<ConfigError>() {
        return WRONG_USAGE;
    }
    match error.downcast_ref() {
        Some(RunError::Folder(FolderError::InUse { .. })) => IN_USE,
        _ => FAILED,
    }
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    // What is not UTF-8 cannot be a value of ours.
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let Loaded { config, warnings } = Config::load(&cli.settings.sources(env))?;
    start_log(&config.log)?;
    telemetry::configuration_warnings(&warnings);
    let mut out = io::stdout();
    match cli.command {
        Command::Run => sell(config)?,
        Command::CheckConfig => commands::check_config(&config, &warnings, &mut out)?,
        Command::Outbox(Outbox::List { all, after, limit, json }) => {
            commands::list(&commands::open(&config.data_dir)?, after, all, limit, json, &mut out)?;
        }
        Command::Outbox(Outbox::Show { place, json }) => {
            commands::show(&commands::open(&config.data_dir)?, place, json, &mut out)?;
        }
        Command::Verify { json } => {
            if !commands::verify(&commands::open(&config.data_dir)?, json, &mut out)? {
                return Ok(ExitCode::from(BROKEN));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn start_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if config.json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

fn sell(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let data_dir = config.data_dir.display().to_string();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let running = run(config, shutdown).await?;
        let epoch = running.opened.place.epoch.to_string();
        let url = format!("http://{}", running.address);
        let line = serde_json::json!({ "url": url, "epoch": epoch, "data_dir": data_dir });
        // Whoever started the agent may not listen.
        let _ = writeln!(io::stdout(), "{line}");
        running.finished().await?;
        Ok(())
    })
}
