//! What the commands do about parked events.
//!
//! Whoever changes the ledger's facts must be the only one who does. So where a service works on a ledger in a file, it is
//! asked over its API; else the command takes the data folder, as a service would. A ledger in PostgreSQL takes several
//! writers, and a command is one of them.

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::{BOOKS_DIFFER, PROGRESS_EVERY, Table, books, complain, known_store, print};
use crate::cli::{
    NoteArgs, Output, ParkedCommand, ParkedListArgs, ParkedReplayArgs, ParkedState as StateArg, PickArgs,
};
use crate::config::Config;
use crate::data_dir::{self, DataDirError, DataDirLock};
use crate::http;
use crate::ingest::utc_ms;
use crate::ledger::{
    Correction, Ledger, Note, ParkedFilter, ParkedProgress, ParkedRefused, ParkedState, apply_all_parked, replay_all,
};
use crate::run::RunError;

/// How long an answer of the service is waited for: longer than it waits itself.
const PATIENCE: Duration = Duration::from_secs(40);

/// Milliseconds of a day.
const MS_PER_DAY: i64 = 86_400_000;

pub(super) fn execute(config: &Config, command: &ParkedCommand) -> anyhow::Result<ExitCode> {
    match command {
        ParkedCommand::List(args) => list(config, args)?,
        ParkedCommand::Show(args) => show(config, args.parked_no, args.output)?,
        ParkedCommand::Apply(output) => apply(config, *output)?,
        ParkedCommand::Replay(args) => return replay(config, args),
        ParkedCommand::Fix(args) => {
            let content = content(&args.content)?;
            let path = format!("/api/v1/parked/{}/fix", args.parked_no);
            return act(config, &args.note, (args.parked_no, "fixed"), args.output, &path, &content, |ledger, note| {
                let correction: Correction = serde_json::from_value(content.clone())?;
                Ok(ledger.fix(args.parked_no, &correction, note, utc_ms())?)
            });
        }
        ParkedCommand::Waive(args) => {
            let path = format!("/api/v1/parked/{}/waive", args.parked_no);
            return act(
                config,
                &args.note,
                (args.parked_no, "waived"),
                args.output,
                &path,
                &Value::Null,
                |ledger, note| Ok(ledger.waive(args.parked_no, note, utc_ms())?),
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn filter_of(pick: &PickArgs, state: Option<ParkedState>, after: i64, limit: u32) -> ParkedFilter {
    let midnight_ms = |date: &pos_model::BusinessDate| i64::from(date.days()).saturating_mul(MS_PER_DAY);
    ParkedFilter {
        store: pick.store.clone(),
        reason: pick.reason.clone(),
        kind: pick.kind.clone(),
        state,
        parked_from_ms: pick.parked_from.as_ref().map(midnight_ms),
        parked_before_ms: pick.parked_before.as_ref().map(midnight_ms),
        numbers: Vec::new(),
        after,
        limit,
    }
}

fn list(config: &Config, args: &ParkedListArgs) -> anyhow::Result<()> {
    let state = match args.state {
        StateArg::Open => Some(ParkedState::Open),
        StateArg::Waived => Some(ParkedState::Waived),
        StateArg::Fixed => Some(ParkedState::Fixed),
        StateArg::All => None,
    };
    let books = books(config)?;
    known_store(&*books, args.pick.store.as_ref())?;
    let events = books.parked(&filter_of(&args.pick, state, args.after, args.limit))?;
    if args.output.json {
        let events: Vec<_> = events.iter().map(http::parked_to_wire).collect();
        return print(&json!({ "parked": events }).to_string());
    }
    let mut table = Table::new(["NO", "STORE", "PLACE", "STATE", "KIND", "REASON", "BYTES", "DETAIL"]);
    for event in events {
        let (no, size) = (event.parked_no.to_string(), event.bytes.len().to_string());
        let place = format!("{}/{}", event.epoch, event.seq);
        let (state, kind) = (event.state.as_str().to_owned(), event.kind.unwrap_or_else(|| "-".to_owned()));
        table.row([no, event.store, place, state, kind, event.reason, size, event.detail]);
    }
    table.print()
}

fn show(config: &Config, parked_no: i64, output: Output) -> anyhow::Result<()> {
    let books = books(config)?;
    let event = books.parked_event(parked_no)?.with_context(|| format!("no event {parked_no} is parked"))?;
    let wire = http::parked_in_full(&event, books.parked_actions(parked_no)?);
    if output.json {
        return print(&serde_json::to_string(&wire).context("write JSON")?);
    }
    let said = |event: &Option<Value>| match event {
        Some(said) => serde_json::to_string_pretty(said).context("write JSON"),
        None => Ok("cannot be read by this program".to_owned()),
    };
    print(&format!(
        "parked event {}\nstate:   {}\nstore:   {}\nplace:   {}/{}\nhash:    {}\nkind:    {}\nreason:  {}\ndetail:  {}\nbytes:   {}\nsays:    {}",
        wire.parked_no,
        wire.state,
        wire.store_id,
        wire.epoch,
        wire.seq,
        wire.hash,
        wire.kind.as_deref().unwrap_or("-"),
        wire.reason,
        wire.detail,
        wire.bytes_hex,
        said(&wire.event)?
    ))?;
    if wire.fixed_event.is_some() {
        print(&format!("counts:  {}", said(&wire.fixed_event)?))?;
    }
    for action in wire.history.unwrap_or_default() {
        let at = utc_text(action.at_ms);
        print(&format!("{at}  {} by {}: {} ({})", action.what, action.by, action.why, action.reason))?;
    }
    Ok(())
}

/// A moment as a date and a time of UTC.
fn utc_text(at_ms: i64) -> String {
    let seconds = at_ms.div_euclid(1_000);
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = pos_model::BusinessDate::from_days(day);
    format!("{date} {:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

fn apply(config: &Config, output: Output) -> anyhow::Result<()> {
    let _lock = data_dir::lock(&config.data_dir).map_err(RunError::from)?;
    let mut ledger = config.ledger.open()?;
    let done = apply_all_parked(&mut *ledger, utc_ms, said_now_and_then())?;
    ledger.end()?;
    say_replayed(done, output)
}

/// Says how far long work is.
fn said_now_and_then() -> impl FnMut(ParkedProgress) {
    let mut said = Instant::now();
    move |ParkedProgress { looked_at, applied }| {
        if said.elapsed() >= PROGRESS_EVERY {
            said = Instant::now();
            // Progress is a courtesy.
            let _ = writeln!(std::io::stderr(), "{looked_at} events looked at, {applied} applied");
        }
    }
}

fn say_replayed(done: ParkedProgress, output: Output) -> anyhow::Result<()> {
    let still_parked = done.looked_at - done.applied;
    if output.json {
        return print(&json!({ "applied": done.applied, "still_parked": still_parked }).to_string());
    }
    print(&format!("{} events applied, {still_parked} stay parked", done.applied))
}

fn replay(config: &Config, args: &ParkedReplayArgs) -> anyhow::Result<ExitCode> {
    let note = Note::new(&args.note.by, &args.note.why)?;
    known_store(&*books(config)?, args.pick.store.as_ref())?;
    let filter = ParkedFilter { numbers: args.numbers.clone(), ..filter_of(&args.pick, None, 0, 0) }.to_try();
    let mut say = said_now_and_then();
    let done = match hand(config, args.note.server.as_deref())? {
        Hand::Ledger(mut ledger, _lock) => {
            let done = replay_all(&mut *ledger, &filter, Some(&note), utc_ms, say)?;
            ledger.end()?;
            done
        }
        Hand::Service(service) => {
            let mut request = json!({
                "by": note.who(), "why": note.why(), "numbers": filter.numbers,
                "store": filter.store.as_ref().map(|store| store.as_str()), "reason": filter.reason, "kind": filter.kind,
                "parked_from_ms": filter.parked_from_ms, "parked_before_ms": filter.parked_before_ms, "after": 0,
            });
            let mut done = ParkedProgress::default();
            loop {
                let answer = service.post("/api/v1/parked/replay", &request)??;
                let number = |name: &str| answer[name].as_u64().with_context(|| format!("{name} in the answer"));
                done.looked_at += number("looked_at")?;
                done.applied += number("applied")?;
                say(done);
                match answer["next_after"].as_i64() {
                    Some(after) => request["after"] = after.into(),
                    None => break done,
                }
            }
        }
    };
    say_replayed(done, args.output)?;
    let unknown = (args.numbers.len() as u64).saturating_sub(done.looked_at);
    if unknown > 0 {
        complain(&anyhow::anyhow!("{unknown} of the numbers are not those of events that are parked"));
        return Ok(ExitCode::from(BOOKS_DIFFER));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the corrected content.
fn content(path: &Path) -> anyhow::Result<Value> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
    };
    let content: Value = serde_json::from_str(&text).context("read the corrected content as JSON")?;
    // What is wrong with it as a whole is said here, whoever carries it out.
    let _: Correction = serde_json::from_value(content.clone()).context("read the corrected content")?;
    Ok(content)
}

/// Does something about one event, by whoever may.
fn act(
    config: &Config,
    args: &NoteArgs,
    (parked_no, what): (i64, &str),
    output: Output,
    path: &str,
    content: &Value,
    on_ledger: impl FnOnce(&mut dyn Ledger, &Note) -> anyhow::Result<Result<(), ParkedRefused>>,
) -> anyhow::Result<ExitCode> {
    let note = Note::new(&args.by, &args.why)?;
    let refused = match hand(config, args.server.as_deref())? {
        Hand::Ledger(mut ledger, _lock) => {
            let done = on_ledger(&mut *ledger, &note)?;
            ledger.end()?;
            done.err().map(|refused| refused.to_string())
        }
        Hand::Service(service) => {
            let mut request = json!({ "by": note.who(), "why": note.why() });
            if !content.is_null() {
                request["content"] = content.clone();
            }
            service.post(path, &request)?.err().map(|refused| refused.0)
        }
    };
    if let Some(refused) = refused {
        complain(&anyhow::anyhow!("{refused}"));
        return Ok(ExitCode::from(BOOKS_DIFFER));
    }
    if output.json {
        print(&json!({ "parked_no": parked_no, "state": what }).to_string())?;
    } else {
        print(&format!("event {parked_no} is {what}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who changes the ledger.
enum Hand {
    /// This command, which nobody disturbs as long as it holds the folder.
    Ledger(Box<dyn Ledger>, Option<DataDirLock>),
    /// The service that runs.
    Service(Service),
}

fn hand(config: &Config, server: Option<&str>) -> anyhow::Result<Hand> {
    if let Some(url) = server {
        return Service::at(config, url.trim_end_matches('/').to_owned()).map(Hand::Service);
    }
    if config.ledger.file().is_none() {
        return Ok(Hand::Ledger(config.ledger.open()?, None));
    }
    // A mistyped folder must not become a new ledger.
    books(config)?;
    match data_dir::lock(&config.data_dir) {
        Ok(lock) => Ok(Hand::Ledger(config.ledger.open()?, Some(lock))),
        Err(in_use @ DataDirError::InUse { .. }) => match data_dir::address_left(&config.data_dir) {
            Some(url) => Service::at(config, url).map(Hand::Service),
            None => Err(RunError::from(in_use).into()),
        },
        Err(error) => Err(RunError::from(error).into()),
    }
}

/// The API of the service that runs.
struct Service {
    url: String,
    token: Option<String>,
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// The service says no, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refused(String);

impl Service {
    fn at(config: &Config, url: String) -> anyhow::Result<Self> {
        // Another part of the program may have chosen a provider before; either serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let token = config.http.api_token_file.as_ref().map(|path| {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("read the API's token from {}", path.display()))?;
            anyhow::Ok(text.lines().next().unwrap_or_default().trim().to_owned())
        });
        let mut client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        if let Some(tls) = &config.http.tls {
            let pem = std::fs::read(&tls.certificate).context("read the service's certificate")?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).context("read the service's certificate")? {
                client = client.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            url,
            token: token.transpose()?,
            client: client.build().context("make an HTTP client")?,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?,
        })
    }

    /// Asks for something; the inner error is a refusal.
    fn post(&self, path: &str, body: &Value) -> anyhow::Result<Result<Value, Refused>> {
        let Self { url, client, .. } = self;
        let mut request = client.post(format!("{url}{path}")).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = self.runtime.block_on(async {
            let answer = request.send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.text().await?))
        });
        let (status, text) = answer.with_context(|| {
            format!(
                "a service works on the data folder, so the change must go by its API, and {url} does not answer: name where it \
                 is reached with --server, or stop it"
            )
        })?;
        let said: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let detail = || said["detail"].as_str().unwrap_or(&text).to_owned();
        match status.as_u16() {
            200 => Ok(Ok(said)),
            404 | 409 | 422 => Ok(Err(Refused(detail()))),
            401 => anyhow::bail!(
                "the service at {url} asks for its API token: set http.api_token_file as the service has it ({})",
                detail()
            ),
            status => anyhow::bail!("the service at {url} answered {status}: {}", detail()),
        }
    }
}
