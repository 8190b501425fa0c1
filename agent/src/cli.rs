//! The command line.

mod people;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use pos_model::{Epoch, Place, Seq, StoreId};
use printing::Profile;
use printing::template::Kind;

use crate::config::Sources;
use crate::env_vars;
use crate::replay::ReplayArgs;

pub use people::{AuditCommand, OperatorCommand, RoleWord, TillCommand};

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed; standard error says why
  2  the command line or the configuration is wrong
  3  `verify` found a broken row, `stock check` a counter that differs; `replay` came to its end, and rows were refused
  4  another agent works on the data folder

Data goes to standard output, the log to standard error.";

const EXAMPLES: &str = "Examples:
  breakwater-agent run --data-dir ./store
  breakwater-agent enroll --data-dir ./store --centre http://127.0.0.1:8080 --store SH-0042 --code CODE
  breakwater-agent outbox list --data-dir ./store
  breakwater-agent verify --data-dir ./store";

/// How every command may end; `more` are the exit codes that it has beside these.
fn ending(example: &str, more: &str) -> String {
    format!(
        "Example: {example}\n\n\
         Exit codes: 0 done, 1 failed (standard error says why), 2 wrong command line or configuration{more}"
    )
}

/// Sells, keeps every sale, and sends it to the centre.
#[derive(Debug, Parser)]
#[command(name = "breakwater-agent", version, after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), disable_help_subcommand = true)]
pub struct Cli {
    /// What applies to every command.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes. Each beats its variable and the file.
#[derive(Debug, Args)]
pub struct Settings {
    /// The configuration file; without one the defaults hold
    #[arg(long, global = true, value_name = "FILE", env = env_vars::CONFIG)]
    pub config: Option<PathBuf>,
    /// The folder of the store's books (data_dir)
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Where tills reach the agent (http.listen)
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// What is logged (log.filter)
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Sell until SIGTERM or SIGINT
    ///
    /// When the agent answers tills, one line on stdout says where. The address also stands in agent.addr in the data
    /// folder while it runs.
    #[command(after_help = ending(
        "breakwater-agent run --config /etc/breakwater/agent.toml",
        ", 4 another agent works on the data folder",
    ))]
    Run {
        /// Make that line JSON: {"http": ADDRESS, "epoch": ..., "data_dir": ...}
        #[arg(long)]
        json: bool,
    },
    /// Make this data folder a store of the centre
    ///
    /// Takes the claim code that `breakwater-server store add` printed. A running agent is told by starting it again.
    /// Enrolling once more replaces the secret; what waits in the outbox stays.
    #[command(after_help = ending(
        "breakwater-agent enroll --centre https://centre.example:8080 --store SH-0042 --code K3F7-9QTX-M2WD-HN8P",
        "",
    ))]
    Enroll {
        /// The centre's HTTP address (centre.http_url)
        #[arg(long, value_name = "URL")]
        centre: Option<String>,
        /// The store's id
        #[arg(long, value_name = "ID")]
        store: StoreId,
        /// The claim code; "-" reads it from stdin
        #[arg(long, value_name = "CODE", default_value = "-")]
        code: String,
        /// The MQTT address to use instead of the one that the centre names
        #[arg(long, value_name = "URL")]
        mqtt: Option<String>,
        /// Let the store's secret travel without TLS, where the network itself is trusted
        #[arg(long)]
        plain_text: bool,
        /// Make a folder that holds another store's sales this store
        #[arg(long)]
        replace_store: bool,
    },
    /// Sell a file of receipts through a running agent
    Replay(ReplayArgs),
    /// Check the configuration, and say what it comes to
    #[command(after_help = ending("breakwater-agent check-config --config /etc/breakwater/agent.toml", ""))]
    CheckConfig {
        /// Only warn of keys, variables and roles that this version does not know, as an agent that runs does
        #[arg(long)]
        allow_unknown: bool,
    },
    /// Look at the events that the centre has not confirmed
    #[command(subcommand, after_help = ending("breakwater-agent outbox list --limit 20", ""))]
    Outbox(Outbox),
    /// The price book by which the store sells
    #[command(subcommand, after_help = ending("breakwater-agent price-book load tea.json", ""))]
    PriceBook(PriceBookCommand),
    /// What there is in stock
    #[command(subcommand, after_help = ending("breakwater-agent stock list --json", ", 3 `check` found a difference"))]
    Stock(StockCommand),
    /// The templates of what is printed
    #[command(subcommand, after_help = ending("breakwater-agent template preview receipt --out receipt.png", ""))]
    Template(TemplateCommand),
    /// Who works in the store, and their PINs
    #[command(subcommand, after_help = ending("breakwater-agent operator list", ""))]
    Operator(OperatorCommand),
    /// The tills that are the store's
    #[command(subcommand, after_help = ending("breakwater-agent till pair-code", ""))]
    Till(TillCommand),
    /// The audit trail
    #[command(subcommand, after_help = ending("breakwater-agent audit list", ""))]
    Audit(AuditCommand),
    /// Walk the hash chain over all that is held, and name the first broken row
    #[command(after_help = ending("breakwater-agent verify --data-dir /var/lib/breakwater-agent", ", 3 a row is broken"))]
    Verify {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// Stock.
#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// List what is on hand, and for how long it lasts
    ///
    /// On hand is the last count, and what was added less what was used since. It lasts for so many hours of trading
    /// (stock.trading_hours a day) by the use of the last seven business dates.
    #[command(after_help = ending("breakwater-agent stock list --data-dir ./store", ""))]
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Compute use and additions again from the events, and name what differs
    ///
    /// Only business dates of which all events are held can be compared; the others are named.
    #[command(after_help = ending("breakwater-agent stock check --json", ", 3 a counter differs"))]
    Check {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// The price book.
#[derive(Debug, Subcommand)]
pub enum PriceBookCommand {
    /// Check a price book, and hand it to the agent
    ///
    /// An agent that runs sells by it within seconds, one that does not from its next start on. A sale that was begun keeps
    /// the book with which it began. A book that the store cannot sell by is refused, and the last good one stays in force.
    #[command(after_help = ending("breakwater-agent price-book load tea.json --data-dir ./store", ""))]
    Load {
        /// The document (JSON)
        file: PathBuf,
    },
    /// Show which price books the store has sold by; the first one is in force
    #[command(after_help = ending("breakwater-agent price-book list --json", ""))]
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
}

/// Templates. KIND is receipt, refund, cup_label, kitchen_ticket, report, drawer or test.
#[derive(Debug, Subcommand)]
pub enum TemplateCommand {
    /// List the kinds of paper, and which of them the store has a template of its own for
    #[command(after_help = ending("breakwater-agent template list --data-dir ./store", ""))]
    List,
    /// Show the built-in template of a kind
    ///
    /// Put it in the folder templates of the data folder as KIND.txt and edit it there: the agent takes it up within seconds.
    #[command(after_help = ending("breakwater-agent template show receipt > ./store/templates/receipt.txt", ""))]
    Show {
        /// The kind of paper
        #[arg(value_parser = kind)]
        kind: Kind,
    },
    /// Try a template out with made-up data; without a file the store's own ones
    #[command(after_help = ending("breakwater-agent template check receipt --file ./receipt.txt", ""))]
    Check {
        /// The kind of paper; all if none is named
        #[arg(value_parser = kind)]
        kind: Option<Kind>,
        /// The template
        #[arg(long, value_name = "FILE", requires = "kind")]
        file: Option<PathBuf>,
    },
    /// Draw a template with made-up data, as a printer would print it
    #[command(after_help = ending("breakwater-agent template preview receipt --out receipt.png --profile 58mm", ""))]
    Preview {
        /// The kind of paper
        #[arg(value_parser = kind)]
        kind: Kind,
        /// Where the picture (PNG) goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The template; the store's own or the built-in one if none is named
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The data (JSON) instead of made-up ones
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// The printer's profile, such as 80mm or 58mm-gb18030
        #[arg(long, default_value = "80mm", value_parser = profile)]
        profile: Profile,
    },
}

/// Looking at events.
#[derive(Debug, Subcommand)]
pub enum Outbox {
    /// List events, the oldest first
    #[command(after_help = ending("breakwater-agent outbox list --all --limit 20 --json", ""))]
    List {
        /// Also those that the centre has confirmed
        #[arg(long)]
        all: bool,
        /// Only those after this place
        #[arg(long, value_name = "EPOCH/SEQ", value_parser = place)]
        after: Option<Place>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one event in full
    #[command(after_help = ending("breakwater-agent outbox show 9f2c61a0b3d4e5f6/42 --json", ""))]
    Show {
        /// Where it stands
        #[arg(value_name = "EPOCH/SEQ", value_parser = place)]
        place: Place,
        /// One line of JSON, with the bytes in hexadecimal digits
        #[arg(long)]
        json: bool,
    },
}

impl Settings {
    /// Where the configuration comes from. `env` is the process's environment.
    pub fn sources(&self, env: impl Iterator<Item = (String, String)>) -> Sources {
        let flag = |key, value: &Option<String>| value.clone().map(|value| (key, value));
        let flags =
            [flag("data_dir", &self.data_dir), flag("http.listen", &self.listen), flag("log.filter", &self.log)];
        let env: BTreeMap<_, _> = env.filter(|(name, _)| name.starts_with(env_vars::PREFIX)).collect();
        Sources { file: self.config.clone(), env, flags: flags.into_iter().flatten().collect() }
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::named(text).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.into_iter().map(Kind::name).collect();
        format!("is none of {}", names.join(", "))
    })
}

fn profile(text: &str) -> Result<Profile, String> {
    Profile::named(text).ok_or_else(|| {
        let names: Vec<&str> = Profile::names().map(|(name, _)| name).collect();
        format!("is none of {}", names.join(", "))
    })
}

fn place(text: &str) -> Result<Place, String> {
    let wrong = || "is not a place such as 9f2c61a0b3d4e5f6/42".to_owned();
    let (epoch, seq) = text.split_once('/').ok_or_else(wrong)?;
    let epoch = Epoch::from_hex(epoch).ok_or_else(wrong)?;
    let seq = seq.parse().map(Seq::new).map_err(|_| wrong())?;
    Ok(Place { epoch, seq })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example_and_its_exit_codes() {
        #[track_caller]
        fn check(command: &mut clap::Command, path: &str) {
            for help in [command.render_long_help(), command.render_help()].map(|help| help.to_string()) {
                let examples = help.split_once("Example").map(|(_, behind)| behind).unwrap_or_default();
                assert!(examples.contains(path), "{path} shows no example:\n{help}");
            }
            let help = command.render_long_help().to_string();
            assert!(help.contains("Exit codes:"), "{path} does not say how it ends:\n{help}");
            for below in command.get_subcommands_mut() {
                let path = format!("{path} {}", below.get_name());
                check(below, &path);
            }
        }
        check(&mut Cli::command(), "breakwater-agent");
    }

    #[test]
    fn places() {
        assert_eq!(place("00000000000000ff/42"), Ok(Place { epoch: Epoch::new(255), seq: Seq::new(42) }));
        for text in ["", "/", "ff/1", "00000000000000ff", "00000000000000ff/", "00000000000000ff/-1"] {
            assert!(place(text).is_err(), "{text:?}");
        }
    }
}
