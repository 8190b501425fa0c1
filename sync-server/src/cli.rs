//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pos_model::{BusinessDate, StoreId};

use crate::config::Flags;
use crate::env_vars;

/// What `--help` says about how a command ends.
const EXIT_CODES: &str = "Exit codes:
  0  done
  1  failed; standard error says why
  2  the command line or the configuration is wrong
  3  `verify` or `rollups check` found a difference; a price book must not be released, a basket not be sold, a parked
     event not count like this
  4  another server works on the data folder";

const EXAMPLES: &str = "Examples:
  breakwater-server run
  breakwater-server run --http 127.0.0.1:0 --mqtt 127.0.0.1:0 --json
  breakwater-server store add SH-0042 --name \"Nanjing Road\"
  breakwater-server totals --from 2026-03-01 --to 2026-03-31 --json
  breakwater-server verify";

/// How every command may end; `more` are the exit codes that it has beside these.
fn ending(example: &str, more: &str) -> String {
    format!(
        "Example: {example}\n\n\
         Exit codes: 0 done, 1 failed (standard error says why), 2 wrong command line or configuration{more}"
    )
}

/// The central service of Breakwater: takes the stores' sales in and applies each exactly once.
#[derive(Debug, Parser)]
#[command(name = "breakwater-server", version, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Where the settings come from.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the settings come from.
#[derive(Debug, Args)]
pub struct Settings {
    /// A configuration file; `check-config --defaults` prints one with all settings.
    #[arg(long, global = true, env = env_vars::CONFIG, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of the ledger [default: ./breakwater-data]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// What to log to standard error: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    ///
    /// Prints one line with the addresses on standard output when it is ready. SIGTERM ends it in order.
    #[command(after_help = ending(
        "breakwater-server run --http 127.0.0.1:8080 --mqtt 127.0.0.1:1883",
        ", 4 another server works on the data folder",
    ))]
    Run(RunArgs),
    /// Check the configuration, and say what is wrong with it.
    #[command(after_help = ending("breakwater-server check-config --config /etc/breakwater/server.toml", ""))]
    CheckConfig(CheckConfigArgs),
    /// Stores and their logins.
    #[command(subcommand, after_help = ending("breakwater-server store list", ""))]
    Store(StoreCommand),
    /// What a broker between the stores and the service must know.
    #[command(subcommand, after_help = ending("breakwater-server broker passwords", ""))]
    Broker(BrokerCommand),
    /// Events that could not be applied.
    #[command(subcommand, after_help = ending("breakwater-server parked list", ""))]
    Parked(ParkedCommand),
    /// The months of which a ledger in PostgreSQL keeps sales.
    #[command(subcommand, after_help = ending("breakwater-server months drop --before 2024-01", ""))]
    Months(MonthsCommand),
    /// What was sold by hour, article and promotion, summed up.
    #[command(subcommand, after_help = ending("breakwater-server rollups check", ""))]
    Rollups(RollupsCommand),
    /// Compute every counter and hash again from the events, and compare.
    ///
    /// May run beside the service.
    #[command(after_help = ending("breakwater-server verify --json", ", 3 something differs"))]
    Verify(Output),
    /// Compare a business date of a store with what the store holds, and put right what the ledger has lost.
    ///
    /// The running service does it, as soon as the store is connected; it compares the newest dates of every store by itself
    /// (reconcile.every). Waits for the outcome, and prints it.
    #[command(after_help = ending(
        "breakwater-server reconcile --store SH-0042 --date 2026-03-01",
        ", 3 they differ, or the store has not answered",
    ))]
    Reconcile(ReconcileArgs),
    /// Totals by store and business date.
    #[command(after_help = ending("breakwater-server totals --from 2026-03-01 --to 2026-03-31 --json", ""))]
    Totals(TotalsArgs),
    /// Price a basket by a price book, without a ledger.
    #[command(after_help = ending(
        "breakwater-server price --book tea.json --basket basket.json --explain",
        ", 3 the basket cannot be sold like this",
    ))]
    Price(PriceArgs),
    /// Say what a price book would have made of the sales in the ledger. Nothing is changed.
    ///
    /// Sales that their store priced by a book are priced under the same circumstances; of others the channel, the business
    /// date and the time are known. May run beside the service.
    #[command(after_help = ending("breakwater-server backtest --book new.json --from 2026-11-01", ""))]
    Backtest(BacktestArgs),
    /// Price books.
    #[command(subcommand, after_help = ending("breakwater-server price-book check tea.json", ""))]
    PriceBook(PriceBookCommand),
}

/// `price`
#[derive(Debug, Args)]
pub struct PriceArgs {
    /// The price book.
    #[arg(long, value_name = "FILE")]
    pub book: PathBuf,
    /// The basket and its circumstances; "-" is standard input. Its least: `{"business_date": "2026-11-22", "time":
    /// "12:00", "lines": [{"sku": "latte-m", "options": ["ice-full"], "quantity": 2}]}`.
    #[arg(long, value_name = "FILE")]
    pub basket: PathBuf,
    /// Say why, as a cashier would.
    #[arg(long, conflicts_with = "json")]
    pub explain: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `backtest`
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// The price book to try.
    #[arg(long, value_name = "FILE")]
    pub book: PathBuf,
    /// Compare with what this book makes of the sales, and not with what was sold.
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Which sales.
    #[command(flatten)]
    pub sales: TotalsArgs,
}

/// `price-book`
#[derive(Debug, Subcommand)]
pub enum PriceBookCommand {
    /// Say everything that is wrong with a price book, each with its place.
    #[command(after_help = ending("breakwater-server price-book check tea.json --json", ", 3 it must not be released"))]
    Check(CheckBookArgs),
    /// Print the JSON Schema of a price book, for editors and other programs.
    #[command(after_help = ending("breakwater-server price-book schema > price-book.schema.json", ""))]
    Schema,
    /// Add a price book to the ledger, so that what stores sell by it is priced again here and compared.
    ///
    /// The service finds it within seconds. Sales that came in before stay unchecked.
    #[command(after_help = ending("breakwater-server price-book add tea.json", ", 3 it must not be released"))]
    Add(CheckBookArgs),
    /// List the price books of the ledger.
    #[command(after_help = ending("breakwater-server price-book list --json", ""))]
    List(Output),
}

/// `price-book check`
#[derive(Debug, Args)]
pub struct CheckBookArgs {
    /// The price book; "-" is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, Args)]
pub struct Output {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Where to serve console and API [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Where to listen for stores [default: 127.0.0.1:1883]; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    pub mqtt: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `check-config`
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print all settings with their defaults instead.
    #[arg(long)]
    pub defaults: bool,
    /// Only warn of what names no setting, as for a file that a newer version has written.
    #[arg(long)]
    pub allow_unknown: bool,
}

/// `store ...`
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Add a store, and print the claim code with which it enrols. For a store that is there, print a new code; when it
    /// enrols again, its old secret ends.
    ///
    /// The code holds for one enrolment and 24 hours (enrolment.claim_code_lifetime). Works while the service runs.
    /// With `--file` a whole chain is added at once.
    #[command(after_help = ending("breakwater-server store add SH-0042 --name \"Nanjing Road\"", ""))]
    Add(StoreAddArgs),
    /// List the stores.
    #[command(after_help = ending("breakwater-server store list --json", ""))]
    List(Output),
    /// Take a store's login away. What it sold stays.
    #[command(after_help = ending("breakwater-server store revoke SH-0042", ""))]
    Revoke(StoreRevokeArgs),
}

/// `store add`
#[derive(Debug, Args)]
pub struct StoreAddArgs {
    /// The store's id: up to 24 letters, digits, `-` and `_`.
    #[arg(required_unless_present = "file")]
    pub store_id: Option<StoreId>,
    /// A name for people.
    #[arg(long, requires = "store_id")]
    pub name: Option<String>,
    /// A file of stores, one a line: the id, and behind a comma the name, if it has one. "-" is standard input. Prints one
    /// code for each; a line that is wrong is named, and then nothing is added.
    #[arg(long, value_name = "FILE", conflicts_with = "store_id")]
    pub file: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `store revoke`
#[derive(Debug, Args)]
pub struct StoreRevokeArgs {
    /// The store's id.
    pub store_id: StoreId,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `rollups ...`
#[derive(Debug, Subcommand)]
pub enum RollupsCommand {
    /// Sum up anew from the events: the dates that are named, or all of which the events are kept.
    ///
    /// The service may run; while it does, it does the work. May be stopped at any time: what is left is done by the service,
    /// or when this is started again.
    #[command(after_help = ending("breakwater-server rollups rebuild --from 2026-03-01 --to 2026-03-31", ""))]
    Rebuild(RollupsArgs),
    /// Compare with sums straight from sales, refunds and messages.
    ///
    /// May run beside the service.
    #[command(after_help = ending("breakwater-server rollups check --json", ", 3 something differs"))]
    Check(RollupsArgs),
}

/// `rollups rebuild`, `rollups check`
#[derive(Debug, Args)]
pub struct RollupsArgs {
    /// From this business date on (YYYY-MM-DD).
    #[arg(long, value_name = "DATE")]
    pub from: Option<BusinessDate>,
    /// Up to this business date.
    #[arg(long, value_name = "DATE")]
    pub to: Option<BusinessDate>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `months`.
#[derive(Debug, Subcommand)]
pub enum MonthsCommand {
    /// List the months with their size on disk.
    #[command(after_help = ending("breakwater-server months list", ""))]
    List(Output),
    /// Drop all months before one: their sales, lines, daily use of stock, and messages. It cannot be undone. Roll-ups stay, and so
    /// does the present month.
    #[command(after_help = ending("breakwater-server months drop --before 2024-01", ""))]
    Drop(DropArgs),
}

/// `months drop`.
#[derive(Debug, Args)]
pub struct DropArgs {
    /// The first month that is kept, such as 2024-01.
    #[arg(long, value_name = "YYYY-MM", value_parser = month)]
    pub before: String,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// A month as text, if it is one.
fn month(text: &str) -> Result<String, String> {
    match format!("{text}-01").parse::<BusinessDate>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is not a month such as 2024-01".to_owned()),
    }
}

/// `broker ...`
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Print Mosquitto's password file: the logins of all stores that have enrolled and are not revoked, and the server's own
    /// (broker.username, broker.password_file).
    ///
    /// A store's password there is derived from its secret and tells nothing about it. A running service keeps such a file
    /// up to date by itself (broker.store_passwords_file).
    #[command(after_help = ending("breakwater-server broker passwords --out /etc/mosquitto/breakwater.passwords", ""))]
    Passwords(BrokerPasswordsArgs),
}

/// `broker passwords`
#[derive(Debug, Args)]
pub struct BrokerPasswordsArgs {
    /// Write the file instead, if it is not the same already.
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub out: Option<PathBuf>,
    /// Print `store:password` as it is, for brokers that hash it themselves.
    #[arg(long)]
    pub plain: bool,
}

/// `parked ...`
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// List parked events: the open ones, or those of another state.
    #[command(after_help = ending("breakwater-server parked list --store SH-0042 --limit 20", ""))]
    List(ParkedListArgs),
    /// Show one event that is parked, or was, with its bytes and with what people did about it.
    #[command(after_help = ending("breakwater-server parked show 7 --json", ""))]
    Show(ParkedShowArgs),
    /// Put corrected content in the place of a parked event. It counts under the event's place and id, once; the bytes as they
    /// came stay for ever.
    ///
    /// The content is JSON as `parked show --json` prints it, with what is wrong put right under `event`. Works while the
    /// service runs.
    #[command(after_help = ending(
        "breakwater-server parked show 7 --json > 7.json; edit 7.json; breakwater-server parked fix 7 --content 7.json \
         --by \"Li Na\" --why \"the sale id was given twice, ticket 88\"",
        ", 3 the event cannot count like this, or something else was done about it; 4 another server works on the data folder",
    ))]
    Fix(ParkedFixArgs),
    /// Say that a parked event is never to count. Nothing is thrown away, and `parked replay NO` opens it again.
    ///
    /// Works while the service runs.
    #[command(after_help = ending(
        "breakwater-server parked waive 7 --by \"Li Na\" --why \"the same sale is there from the restored till\"",
        ", 3 something else was done about it; 4 another server works on the data folder",
    ))]
    Waive(ParkedWaiveArgs),
    /// Try parked events again: those that are named, or all open ones that the filters pick. What cannot be applied stays
    /// parked, with the reason that it has at this time.
    ///
    /// May be stopped at any time and started again. Works while the service runs.
    #[command(after_help = ending(
        "breakwater-server parked replay --store SH-0042 --reason does_not_fit --by \"Li Na\" --why \"after the update\"",
        ", 4 another server works on the data folder",
    ))]
    Replay(ParkedReplayArgs),
    /// Apply the events that an older program parked because it did not know their kind, as far as this one does.
    ///
    /// `run` does the same when it starts. May be stopped at any time and started again; the service must not run.
    #[command(after_help = ending(
        "breakwater-server parked apply",
        ", 4 another server works on the data folder",
    ))]
    Apply(Output),
}

/// Which parked events.
#[derive(Debug, Clone, Args)]
pub struct PickArgs {
    /// Only those of this store.
    #[arg(long)]
    pub store: Option<StoreId>,
    /// Only those that are parked for this reason, such as does_not_fit.
    #[arg(long)]
    pub reason: Option<String>,
    /// Only those of this kind, such as sale_completed.
    #[arg(long)]
    pub kind: Option<String>,
    /// Only those parked on this day or later (YYYY-MM-DD, UTC).
    #[arg(long, value_name = "DATE")]
    pub parked_from: Option<BusinessDate>,
    /// Only those parked before this day (YYYY-MM-DD, UTC).
    #[arg(long, value_name = "DATE")]
    pub parked_before: Option<BusinessDate>,
}

/// Who does something about parked events, why, and by whom it is carried out.
#[derive(Debug, Clone, Args)]
pub struct NoteArgs {
    /// Who does this. It is kept with the event.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why. It is kept with the event.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Where the running service's API is reached, such as https://centre.example:8080. Without it the service that works on
    /// the data folder is found by itself.
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
}

/// The states that `parked list` can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ParkedState {
    /// Those that wait for a person.
    Open,
    /// Those that are never to count.
    Waived,
    /// Those beside the followed history that were fixed.
    Fixed,
    /// All of them.
    All,
}

/// `parked list`
#[derive(Debug, Args)]
pub struct ParkedListArgs {
    /// Which of them.
    #[command(flatten)]
    pub pick: PickArgs,
    /// In which state.
    #[arg(long, value_enum, default_value = "open")]
    pub state: ParkedState,
    /// Only those behind this number.
    #[arg(long, default_value_t = 0)]
    pub after: i64,
    /// At most so many.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `parked show`
#[derive(Debug, Args)]
pub struct ParkedShowArgs {
    /// Its number in the list.
    pub parked_no: i64,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `reconcile`
#[derive(Debug, Args)]
pub struct ReconcileArgs {
    /// The store.
    #[arg(long)]
    pub store: StoreId,
    /// The business date (YYYY-MM-DD).
    #[arg(long)]
    pub date: BusinessDate,
    /// How long to wait for the outcome, in seconds; 0 only asks.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `parked fix`
#[derive(Debug, Args)]
pub struct ParkedFixArgs {
    /// Its number in the list.
    pub parked_no: i64,
    /// The corrected content; "-" is standard input.
    #[arg(long, value_name = "FILE")]
    pub content: PathBuf,
    /// Who and why.
    #[command(flatten)]
    pub note: NoteArgs,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `parked waive`
#[derive(Debug, Args)]
pub struct ParkedWaiveArgs {
    /// Its number in the list.
    pub parked_no: i64,
    /// Who and why.
    #[command(flatten)]
    pub note: NoteArgs,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `parked replay`
#[derive(Debug, Args)]
pub struct ParkedReplayArgs {
    /// Only these numbers, waived ones too; at most 1,000.
    #[arg(value_name = "NO", num_args = 0..=crate::ledger::NUMBERS_MAX)]
    pub numbers: Vec<i64>,
    /// Which of them.
    #[command(flatten)]
    pub pick: PickArgs,
    /// Who and why.
    #[command(flatten)]
    pub note: NoteArgs,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `totals`
#[derive(Debug, Args)]
pub struct TotalsArgs {
    /// Only this store.
    #[arg(long)]
    pub store: Option<StoreId>,
    /// From this business date on (YYYY-MM-DD).
    #[arg(long, value_name = "DATE")]
    pub from: Option<BusinessDate>,
    /// Up to this business date.
    #[arg(long, value_name = "DATE")]
    pub to: Option<BusinessDate>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

impl Cli {
    /// What the flags say about settings.
    pub fn flags(&self) -> Flags {
        let (http, mqtt) = match &self.command {
            Command::Run(run) => (run.http.clone(), run.mqtt.clone()),
            _ => (None, None),
        };
        Flags { data_dir: self.settings.data_dir.clone(), http, mqtt, log: self.settings.log.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
            for below in command.get_subcommands_mut().filter(|below| below.get_name() != "help") {
                let path = format!("{path} {}", below.get_name());
                check(below, &path);
            }
        }
        check(&mut Cli::command(), "breakwater-server");
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["x", "store", "add", "S-1", "--json", "--data-dir", "/d"]).expect("valid");
        assert_eq!(cli.flags().data_dir, Some("/d".into()));
        let cli = Cli::try_parse_from(["x", "store", "add", "--file", "-"]).expect("valid");
        assert_eq!(cli.flags().data_dir, None);
        let cli = Cli::try_parse_from(["x", "run", "--json", "--http", "a:1", "--mqtt", "b:2"]).expect("valid");
        assert_eq!((cli.flags().http.as_deref(), cli.flags().mqtt.as_deref()), (Some("a:1"), Some("b:2")));
        assert!(Cli::try_parse_from(["x", "store", "add", "no such id"]).is_err());
        assert!(Cli::try_parse_from(["x", "store", "add"]).is_err());
        assert!(Cli::try_parse_from(["x", "store", "add", "S-1", "--file", "f"]).is_err());
        assert!(Cli::try_parse_from(["x", "totals", "--from", "2026-3-1"]).is_err());
    }
}
