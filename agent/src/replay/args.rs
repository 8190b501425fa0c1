//! The command line of `replay`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::mapping::parse_duration;
use super::pace::Speed;

/// Sell a file of receipts through a running agent, as a till would.
///
/// Any delimited file will do: a mapping says what its columns mean (packaging/mappings has examples, with every key
/// explained in coffee-3-stores.toml). Sales keep the file's prices and times and are marked as imported. A sale's id
/// follows from store, source and order key, so a replay may be stopped and repeated at will: nothing is sold twice.
/// The agent takes imported sales from the owner of its folder only: name the folder with --data-dir.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Example: breakwater-agent replay --mapping chipotle.toml --speed max orders.tsv",
    after_long_help = "\
Examples:
  breakwater-agent replay --data-dir ./store --mapping coffee-3-stores.toml --where sales_outlet_id=3 --speed 60 receipts.csv
  breakwater-agent replay --mapping chipotle.toml --speed max --tills 8 --journal chipotle.journal orders.tsv
  breakwater-agent replay --mapping breadbasket.toml --dry-run BreadBasket_DMS.csv | head

Exit codes:
  0  every row was sold, not picked, or left out by a rule of the mapping
  1  not finished: a file cannot be read, the agent stayed away, or the replay was interrupted
  2  the command line is wrong
  3  finished, but some rows were refused; the report says which and why"
)]
pub struct ReplayArgs {
    /// The file of receipts
    pub file: PathBuf,

    /// What its columns mean (TOML)
    #[arg(long, value_name = "FILE")]
    pub mapping: PathBuf,

    /// The file of names and prices, if it is not where the mapping says
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,

    /// Address of the agent [default: the one that works on the data folder, or else that of http.listen]
    #[arg(long, value_name = "URL")]
    pub agent: Option<String>,

    /// The store to sell for, which is part of each sale's id [default: the one that the agent is enrolled as]
    #[arg(long, value_name = "ID")]
    pub store: Option<String>,

    /// Pick rows by the text of a column; given again for the same column, either text will do
    #[arg(long = "where", value_name = "COLUMN=TEXT", value_parser = parse_where)]
    pub picked: Vec<(String, String)>,

    /// Sell only the first so many orders of those picked
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,

    /// So many times faster than recorded (1, 60, 0.5), or `max`: as fast as the agent answers
    #[arg(long, value_name = "N|max", default_value = "max")]
    pub speed: Speed,

    /// Never wait longer than this for the next sale, so that nights pass quickly
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub gap_max: Option<Duration>,

    /// How many tills may sell at the same time; the sales of one till stay in order
    #[arg(long, value_name = "N", default_value = "4")]
    pub tills: NonZeroUsize,

    /// Keep the ids of confirmed sales here, and skip those in it
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Give up when the agent has not answered for so long
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub give_up_after: Duration,

    /// Write every refused and left-out row with its reason here, as CSV
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,

    /// Print the sales that would be made, one JSON object a line, and send nothing; the report goes to stderr
    #[arg(long)]
    pub dry_run: bool,

    /// Print the closing report as one JSON object (with --dry-run: instead of the sales)
    #[arg(long)]
    pub json: bool,

    /// No progress on stderr
    #[arg(long)]
    pub quiet: bool,

    /// The folder of the agent: what is imported takes its owner, who is known by the token in it
    #[arg(skip)]
    pub data_dir: Option<PathBuf>,
}

impl ReplayArgs {
    /// Where the agent is, if nobody has said.
    const AGENT: &str = "http://127.0.0.1:8090";

    /// The address of the agent.
    pub fn agent_url(&self) -> &str {
        self.agent.as_deref().unwrap_or(Self::AGENT)
    }
}

fn parse_where(text: &str) -> Result<(String, String), String> {
    let (column, wanted) = text.split_once('=').ok_or("is not of the form COLUMN=TEXT")?;
    Ok((column.trim().to_owned(), wanted.trim().to_owned()))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "is not a duration such as 30s or 500ms".to_owned())
}
