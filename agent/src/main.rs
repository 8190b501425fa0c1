//! `breakwater-agent`: parse, load, and hand over.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use agent::cli::{AuditCommand, Cli, Command, Outbox, PriceBookCommand, StockCommand};
use agent::clock::{StoreClock, SystemClock};
use agent::config::{Config, ConfigError, LogConfig, MqttUrl};
use agent::enroll::{Allowed, Enrollment};
use agent::folder::{self, FolderError};
use agent::identity::Identity;
use agent::owner_client::OwnerClient;
use agent::people_commands::PeopleError;
use agent::replay::{Outcome, ReplayArgs};
use agent::run::{RunError, run};
use agent::{commands, people_commands, price_book, telemetry, template_command, trust};
use anyhow::Context;
use clap::Parser;
use pos_model::{BusinessDate, StoreId};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const BROKEN: u8 = 3;
const IN_USE: u8 = 4;
/// Of `replay`.
const ROWS_REFUSED: u8 = 3;

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
    let loaded = Config::load(&cli.settings.sources(env))?;
    start_log(&loaded.config.log)?;
    telemetry::configuration_warnings(&loaded.unknown);
    telemetry::configuration_warnings(&loaded.warnings);
    let mut out = io::stdout();
    let config = loaded.config.clone();
    match cli.command {
        Command::Run { json } => sell(config, json)?,
        Command::Enroll { centre, store, code, mqtt, plain_text, replace_store } => {
            let allowed = Allowed { plain_text, replace_store };
            enroll(&config, centre.as_deref(), &store, &code, mqtt.as_deref(), allowed, &mut out)?;
        }
        Command::Replay(args) => return replay(args, &config),
        Command::CheckConfig { allow_unknown } => {
            if !commands::check_config(&loaded, allow_unknown, &mut out)? {
                return Ok(ExitCode::from(WRONG_USAGE));
            }
        }
        Command::Outbox(Outbox::List { all, after, limit, json }) => {
            commands::list(&commands::open(&config.data_dir)?, after, all, limit, json, &mut out)?;
        }
        Command::Outbox(Outbox::Show { place, json }) => {
            commands::show(&commands::open(&config.data_dir)?, place, json, &mut out)?;
        }
        Command::PriceBook(PriceBookCommand::Load { file }) => load_price_book(&config, &file, &mut out)?,
        Command::PriceBook(PriceBookCommand::List { json }) => {
            commands::list_price_books(&commands::open(&config.data_dir)?, json, &mut out)?;
        }
        Command::Stock(StockCommand::List { json }) => {
            let now = StoreClock::new(Arc::new(SystemClock), config.store.time_zone.clone()).now();
            let today = BusinessDate::of(now, config.store.rules.cut_off);
            commands::stock::list(&commands::open(&config.data_dir)?, today, config.stock, json, &mut out)?;
        }
        Command::Stock(StockCommand::Check { json }) => {
            let identity = Identity::load(&config.data_dir)?;
            let store_id = identity.as_ref().map(|identity| &identity.store_id);
            if !commands::stock::check(&commands::open(&config.data_dir)?, store_id, json, &mut out)? {
                return Ok(ExitCode::from(BROKEN));
            }
        }
        Command::Template(command) => template_command::run(command, &config.data_dir, &mut out)?,
        Command::Operator(command) => {
            owner(&config, async |client| people_commands::operator(client, command, &mut out).await)?
        }
        Command::Till(command) => {
            owner(&config, async |client| people_commands::till(client, command, &mut out).await)?
        }
        Command::Audit(AuditCommand::List { limit, json }) => {
            people_commands::list_marks(&commands::open(&config.data_dir)?, limit, json, &mut out)?;
        }
        Command::Verify { json } => {
            if !commands::verify(&commands::open(&config.data_dir)?, json, &mut out)? {
                return Ok(ExitCode::from(BROKEN));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Speaks to the agent that runs on the folder, as its owner.
fn owner(config: &Config, ask: impl AsyncFnOnce(&OwnerClient) -> Result<(), PeopleError>) -> anyhow::Result<()> {
    let client = OwnerClient::find(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(ask(&client))?)
}

fn enroll(
    config: &Config,
    centre: Option<&str>,
    store_id: &StoreId,
    code: &str,
    mqtt_url: Option<&str>,
    allowed: Allowed,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let configured = config.centre.http_url.as_ref().map(ToString::to_string);
    let Some(centre_url) = centre.or(configured.as_deref()) else {
        return Err(
            ConfigError::Values(vec!["centre.http_url is not set; name the centre with --centre".to_owned()]).into()
        );
    };
    if let Err(problem) = agent::config::http_url(centre_url) {
        return Err(ConfigError::Values(vec![format!("--centre: {problem}")]).into());
    }
    if let Some(url) = mqtt_url
        && let Err(problem) = url.parse::<MqttUrl>()
    {
        return Err(ConfigError::Values(vec![format!("--mqtt: {problem}")]).into());
    }
    let claim_code = if code == "-" {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("read the claim code from stdin")?;
        line
    } else {
        code.to_owned()
    };
    folder::prepare(&config.data_dir)?;
    let client = trust::http_client(config.centre.ca_file.as_deref())?;
    let data_dir = &config.data_dir;
    let enrollment = Enrollment { centre_url, store_id, claim_code: &claim_code, mqtt_url, data_dir, allowed };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let identity = runtime.block_on(agent::enroll::enroll(&client, enrollment))?;
    writeln!(out, "store {} is enrolled; it sends to {}", identity.store_id, identity.mqtt_url)?;
    if folder::is_in_use(&config.data_dir) {
        writeln!(out, "an agent is running on this folder: start it again, so that it knows")?;
    }
    Ok(())
}

fn load_price_book(config: &Config, file: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    // A book in another currency is refused here, by whoever can do something about it, and not later in the store.
    let of_folder = || commands::open(&config.data_dir).ok().and_then(|reader| reader.view().currency().ok());
    let book = price_book::read(file, config.store.rules.currency.or_else(of_folder))?;
    folder::prepare(&config.data_dir)?;
    price_book::deliver(&book, &config.data_dir)?;
    let when = if folder::is_in_use(&config.data_dir) { "within seconds" } else { "from its next start on" };
    writeln!(out, "price book {} is handed over: the agent sells by it {when}", book.version)?;
    Ok(())
}

fn replay(mut args: ReplayArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let address = folder::announced(&config.data_dir).unwrap_or(config.listen);
    args.agent.get_or_insert_with(|| format!("http://{address}"));
    args.data_dir = Some(config.data_dir.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(match runtime.block_on(agent::replay::run(args))? {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::NotFinished => ExitCode::from(FAILED),
        Outcome::RowsRefused => ExitCode::from(ROWS_REFUSED),
    })
}

fn start_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let stderr = io::stderr();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr.is_terminal()).with_writer(io::stderr);
    if config.json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

fn sell(config: Config, as_json: bool) -> anyhow::Result<()> {
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
        let running = match run(config, shutdown).await {
            // It was told to end, and had nothing to end yet.
            Err(RunError::ToldToEnd) => return Ok(()),
            running => running?,
        };
        let (address, epoch) = (running.address.to_string(), running.opened.place.epoch.to_string());
        let line = if as_json {
            serde_json::json!({ "http": address, "epoch": epoch, "data_dir": data_dir }).to_string()
        } else {
            let alone = if running.is_enrolled { "" } else { "; not enrolled yet, sales stay here until it is" };
            format!("selling at http://{address} on {data_dir}{alone}")
        };
        // Whoever started the agent may not listen.
        let _ = writeln!(io::stdout(), "{line}");
        running.finished().await?;
        Ok(())
    })
}
