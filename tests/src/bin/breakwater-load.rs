//! `breakwater-load`: plays a shape of load against a centre. See `tests::load`.

use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Parser, Subcommand};
use serde::Serialize;
use serde_json::json;
use tests::bench::{Machine, sales};
use tests::load::{
    self, Centre, Code, Crowd, Login, Page, Played, Settings, Shape, Site, Span, Told, Way, grouped, line, make_room,
    mib, micros, read_lines,
};
use tests::process::build_programs;
use tests::surroundings::{Home, Surroundings, Via};

const AFTER_HELP: &str = "Examples:
  breakwater-load run surge --stores 500 --report surge.html
  breakwater-load run steady --centre http://centre:8080 --mqtt centre:1883 --codes codes.jsonl --logins logins.jsonl
  breakwater-load ids --stores 10000 > ids.txt     (then, at the centre: breakwater-server store add --file ids.txt --json)

Exit codes:
  0    everything that was made is confirmed, and the centre holds exactly that
  1    it is not, or the run failed; standard error says why
  2    the command line is wrong
  130  interrupted";

/// Stores of a whole chain on one machine: the real protocol over real connections, in shapes that are data.
#[derive(Debug, Parser)]
#[command(name = "breakwater-load", after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a shape. Without --centre, against a server of its own on a fresh folder
    Run(Box<RunArgs>),
    /// Say what a shape is, or what is wrong with it
    Check {
        /// A shape's name, or a file
        shape: String,
    },
    /// List the shapes that are part of the program
    Shapes,
    /// Print ids of stores, one a line, for `breakwater-server store add --file`
    Ids {
        /// How many
        #[arg(long)]
        stores: u64,
        /// What they begin with
        #[arg(long, default_value = "LOAD")]
        prefix: String,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// A shape's name (see `shapes`), or a TOML file
    shape: String,
    /// Another number of stores; each sells as much as the shape says
    #[arg(long)]
    stores: Option<u64>,
    /// So many hundredths of the shape's rate
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    rate: u64,
    /// How long to sell, instead of what the shape says, such as 30s
    #[arg(long, value_name = "TIME")]
    lasts: Option<Span>,
    /// Seed of the sales
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads for the stores
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Events that a store puts into one batch at the most
    #[arg(long, default_value_t = 500)]
    batch: u32,
    /// First connections per second
    #[arg(long, value_name = "PER_SECOND")]
    connects: Option<u64>,
    /// The centre's HTTP address, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL", requires = "mqtt")]
    centre: Option<String>,
    /// Where stores connect: a listener's or a broker's address, such as mqtt://127.0.0.1:1883
    #[arg(long, value_name = "URL", requires = "centre")]
    mqtt: Option<String>,
    /// A file with the token of the centre's API
    #[arg(long, value_name = "FILE", requires = "centre")]
    api_token_file: Option<PathBuf>,
    /// The centre's data folder, if it is on this machine: stores are added to it
    #[arg(long, value_name = "FOLDER", requires = "centre")]
    data_dir: Option<PathBuf>,
    /// Claim codes, as `breakwater-server store add --file IDS --json` prints them
    #[arg(long, value_name = "FILE", requires = "centre", conflicts_with = "data_dir")]
    codes: Option<PathBuf>,
    /// Keep the logins of stores that enrolled in a file; if it is there, log in with what it holds. Each run with the same
    /// logins looks to the centre like boxes that were reinstalled
    #[arg(long, value_name = "FILE", requires = "centre")]
    logins: Option<PathBuf>,
    /// The server's process id, if it runs on this machine: its memory and processor time are drawn
    #[arg(long, value_name = "PID", requires = "centre")]
    server_pid: Option<u32>,
    /// An agent at which a till sells meanwhile, such as http://127.0.0.1:8090; may be named several times
    #[arg(long, value_name = "URL")]
    agent: Vec<String>,
    /// Real agents to start beside a server of its own, each with a till
    #[arg(long, value_name = "COUNT", default_value_t = 0, conflicts_with = "centre")]
    agents: usize,
    /// The way in to a server of its own
    #[arg(long, value_enum, default_value = "listener", conflicts_with = "centre")]
    via: Via,
    /// The home of the ledger of a server of its own
    #[arg(long, value_enum, default_value = "sqlite", conflicts_with = "centre")]
    into: Home,
    /// Log in and prove each message as stores do that send by a broker. Needed where --mqtt names one
    #[arg(long, requires = "centre")]
    proofs: bool,
    /// How long a till rests between two sales
    #[arg(long, value_name = "TIME", default_value = "200ms")]
    till_pause: Span,
    /// Do not ask the centre for what it holds at the end
    #[arg(long)]
    no_check: bool,
    /// Write a report with charts, as one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Print a JSON line for each second and one at the end
    #[arg(long)]
    json: bool,
    /// Take the programs as they lie beside this one, without building them first
    #[arg(long)]
    no_build: bool,
}

/// What a shell reports of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// First connections per second at a server of our own, which is told to take them.
const OWN_CONNECTS_PER_S: u64 = 500;

/// At another one, which takes a hundred a second from one address unless it was told otherwise.
const CONNECTS_PER_S: u64 = 90;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => play(&args),
        Command::Check { shape } => Shape::find(&shape).map(|shape| {
            print!("{}", shape.describe());
            ExitCode::SUCCESS
        }),
        Command::Shapes => shapes(),
        Command::Ids { stores, prefix } => ids(&prefix, stores),
    };
    done.unwrap_or_else(|error| {
        eprintln!("failed: {error:#}");
        ExitCode::FAILURE
    })
}

fn shapes() -> anyhow::Result<ExitCode> {
    for name in Shape::names() {
        println!("{name:<12} {}", Shape::find(name)?.about);
    }
    Ok(ExitCode::SUCCESS)
}

fn ids(prefix: &str, stores: u64) -> anyhow::Result<ExitCode> {
    for id in load::store_ids(prefix, stores)? {
        println!("{id}");
    }
    Ok(ExitCode::SUCCESS)
}

fn play(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let shape = Shape::find(&args.shape)?.scaled(args.stores, args.rate).lasting(args.lasts.map(Span::ms));
    make_room(shape.stores)?;
    eprint!("{}", shape.describe());
    if args.centre.is_none() && !args.no_build {
        eprintln!("building the programs");
        build_programs()?;
    }
    eprintln!("making sales to choose from");
    let templates = sales::templates(args.seed)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("start the runtime")?;
    let began = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %Z").to_string();
    let (settings, played) = runtime.block_on(async {
        let folder = tests::bench::folder()?;
        let site = match &args.centre {
            Some(_) => None,
            None => Some(own_site(folder.path(), &shape, args).await?),
        };
        let settings = match &site {
            Some(site) => at_own(site, args, shape)?,
            None => at_centre(args, shape).await?,
        };
        let played = load::run(&settings, &templates, |told| tell(&told, args.json)).await?;
        if let Some(mut site) = site {
            site.stop()?;
        }
        anyhow::Ok((settings, played))
    })?;
    finish(args, &settings, &played, began)
}

fn tell(told: &Told<'_>, as_json: bool) {
    eprintln!("{}", line(told));
    if let (Told::Second(row), true) = (told, as_json) {
        println!("{}", serde_json::to_string(row).expect("a row has only text keys"));
    }
}

async fn own_site(folder: &Path, shape: &Shape, args: &RunArgs) -> anyhow::Result<Site> {
    let stores = shape.stores;
    eprintln!("starting a server and enrolling {} stores", grouped(stores));
    let mut told = 0;
    let tell = |enrolled: usize| {
        if enrolled >= told + 1000 {
            told = enrolled;
            eprintln!("  {enrolled} of {stores} stores enrolled");
        }
    };
    let surroundings = Surroundings::prepare(folder, args.into, args.via)?;
    Site::start(folder, surroundings, Crowd { prefix: "LOAD", stores, agents: args.agents }, tell).await
}

fn at_own(site: &Site, args: &RunArgs, shape: Shape) -> anyhow::Result<Settings> {
    let mut agents = site.agent_urls();
    agents.extend(args.agent.iter().cloned());
    Ok(Settings {
        shape,
        seed: args.seed,
        threads: args.threads,
        connects_per_s: args.connects.unwrap_or(OWN_CONNECTS_PER_S),
        batch: args.batch,
        way: Way::Uplink(site.mqtt()),
        proofs: site.surroundings.asks_for_proofs(),
        logins: site.logins.clone(),
        centre: Some(site.centre.clone()),
        check: !args.no_check,
        server_pid: site.server.pid(),
        agents,
        till_pause: args.till_pause.0,
    })
}

async fn at_centre(args: &RunArgs, shape: Shape) -> anyhow::Result<Settings> {
    let (Some(url), Some(mqtt)) = (&args.centre, &args.mqtt) else { bail!("name --centre and --mqtt") };
    let token = args.api_token_file.as_deref().map(fs::read_to_string).transpose().context("read the API's token")?;
    let centre = Centre::new(url, token.map(|token| token.trim().to_owned()))?;
    let logins = logins(args, &centre, &shape).await?;
    Ok(Settings {
        shape,
        seed: args.seed,
        threads: args.threads,
        connects_per_s: args.connects.unwrap_or(CONNECTS_PER_S),
        batch: args.batch,
        way: Way::Uplink(address(mqtt)?),
        proofs: args.proofs,
        logins,
        centre: Some(centre),
        check: !args.no_check,
        server_pid: args.server_pid,
        agents: args.agent.clone(),
        till_pause: args.till_pause.0,
    })
}

/// The logins of a file, or those of stores that enrol.
async fn logins(args: &RunArgs, centre: &Centre, shape: &Shape) -> anyhow::Result<Vec<Login>> {
    let stores = usize::try_from(shape.stores).context("so many stores")?;
    if let Some(path) = args.logins.as_deref().filter(|path| path.exists()) {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let mut logins: Vec<Login> = read_lines(&text).with_context(|| format!("read {}", path.display()))?;
        ensure!(logins.len() >= stores, "{} has {} logins, {stores} are needed", path.display(), logins.len());
        logins.truncate(stores);
        return Ok(logins);
    }
    let mut codes: Vec<Code> = match (&args.data_dir, &args.codes) {
        (Some(folder), _) => {
            // Stores of their own for each run, so that none looks like a box that was reinstalled.
            let utc = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let prefix = format!("L{}", utc.as_secs());
            load::add(folder, &load::store_ids(&prefix, shape.stores)?)?
        }
        (None, Some(path)) => {
            let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            read_lines(&text).with_context(|| format!("read {}", path.display()))?
        }
        (None, None) => bail!("name --data-dir, --codes or --logins: the centre has to know the stores"),
    };
    ensure!(codes.len() >= stores, "there are {} claim codes, {stores} are needed", codes.len());
    codes.truncate(stores);
    eprintln!("enrolling {} stores", grouped(shape.stores));
    let logins = load::enrol(centre, codes, |_| {}).await?;
    if let Some(path) = &args.logins {
        keep(path, &logins).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(logins)
}

/// Writes logins so that only the owner can read them: they are passwords.
fn keep(path: &Path, logins: &[Login]) -> anyhow::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    for login in logins {
        writeln!(file, "{}", serde_json::to_string(login)?)?;
    }
    Ok(())
}

fn address(url: &str) -> anyhow::Result<SocketAddr> {
    ensure!(!url.starts_with("mqtts://"), "stores of a load speak no TLS: name a listener or broker without it");
    let host = url.strip_prefix("mqtt://").unwrap_or(url).trim_end_matches('/');
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:1883") };
    let mut found = with_port.to_socket_addrs().with_context(|| format!("find {host}"))?;
    found.next().with_context(|| format!("{host} has no address"))
}

fn finish(args: &RunArgs, settings: &Settings, played: &Played, began: String) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Closing<'a> {
        shape: &'a str,
        stores: u64,
        played: &'a Played,
        machine: &'a Machine,
    }
    let machine = Machine::here(Path::new("."));
    eprintln!("{}", summary(played));
    for difference in played.balance.behind.iter().chain(&played.balance.differs) {
        eprintln!("  {difference}");
    }
    if played.connected_at_start < settings.shape.stores && settings.shape.cuts.is_empty() {
        let (connected, stores) = (grouped(played.connected_at_start), grouped(settings.shape.stores));
        eprintln!(
            "only {connected} of {stores} stores were connected at the beginning: a centre takes so many connections a second \
             from one address (mqtt.connects_per_second), and so many at all (mqtt.connections_max)"
        );
    }
    if args.json {
        let closing =
            Closing { shape: &settings.shape.title, stores: settings.shape.stores, played, machine: &machine };
        println!("{}", json!(closing));
    }
    if let Some(path) = &args.report {
        let page = Page {
            title: &settings.shape.title,
            about: &settings.shape.about,
            settings: settings.in_words(),
            happenings: settings.shape.happenings(),
            played,
            machine: &machine,
            began,
        };
        fs::write(path, page.to_html()).with_context(|| format!("write {}", path.display()))?;
        eprintln!("the report is in {}", path.display());
    }
    if played.interrupted {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if !args.json {
        println!("{}", played.balance);
    }
    Ok(if played.balance.is_exact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(played: &Played) -> String {
    let mut parts = Vec::new();
    if let Some(fresh) = played.fresh {
        parts.push(format!(
            "fresh sales: p50 {}, p99 {}, worst {}",
            micros(fresh.p50_us),
            micros(fresh.p99_us),
            micros(fresh.max_us)
        ));
    }
    if let Some(odd) = played.odd {
        parts.push(format!("odd stores: p50 {}, p99 {}", micros(odd.p50_us), micros(odd.p99_us)));
    }
    if let Some(till) = played.till {
        parts.push(format!("tills: p50 {}, p99 {}", micros(till.p50_us), micros(till.p99_us)));
    }
    if let Some(square_ms) = played.square_ms {
        parts.push(format!("what had waited was there after {}", micros(square_ms * 1000)));
    }
    if let Some(rss) = played.server_rss_kb {
        parts.push(format!("server at most {}", mib(rss)));
    }
    if let Some(cpu) = played.cpu_ms_per_1000() {
        parts.push(format!("server {cpu} ms of processor for 1,000 sales"));
    }
    parts.push(format!("load generator at most {}", mib(played.own_rss_kb)));
    parts.join("; ")
}
