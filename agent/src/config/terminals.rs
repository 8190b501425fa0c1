//! The payment terminals of the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use pos_model::Tag;
use till::payment::Patience;
use toml::{Table, Value};

use super::parse;
use super::sources::Values;
use crate::payment::Script;

const KEY: &str = "terminal";

/// The shortest span that an answer or a customer is waited for: below it nothing ever comes.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// The longest span of all: above it a customer has gone.
const SPAN_MAX: Duration = Duration::from_secs(600);

/// A payment terminal.
#[derive(Debug, Clone)]
pub struct TerminalConfig {
    /// By which a till names it.
    pub name: Tag,
    /// What it is.
    pub kind: TerminalKind,
    /// How long the answer to "pay" is waited for.
    pub pay_timeout: Duration,
    /// How long every other answer is waited for.
    pub answer_timeout: Duration,
    /// How long a customer is waited for.
    pub patience: Patience,
}

/// What a terminal is.
#[derive(Debug, Clone)]
pub enum TerminalKind {
    /// It follows a script. No money moves.
    Simulator {
        /// What happens to one attempt after the other.
        script: Script,
    },
    /// It is behind a service on the network.
    Http {
        /// Where.
        url: reqwest::Url,
        /// A file with what the service knows the agent by.
        token_file: Option<PathBuf>,
    },
}

/// Reads every terminal, and notes what is wrong with any of them.
pub(super) fn terminals(
    values: &mut Values,
    unknown: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> Option<Vec<TerminalConfig>> {
    let mut names = BTreeSet::new();
    let mut all = Some(Vec::new());
    for (place, table) in values.tables(KEY)?.into_iter().enumerate() {
        let called = match table.get("name") {
            Some(Value::String(name)) => format!("terminal {name}"),
            _ => format!("terminal number {}", place + 1),
        };
        let mut keys = Keys { table, problems: Vec::new() };
        let terminal = terminal(&mut keys);
        if let Some(terminal) = &terminal
            && !names.insert(terminal.name.clone())
        {
            keys.problems.push("the name is there twice".to_owned());
        }
        unknown.extend(keys.table.keys().map(|key| format!("{called}: the key {key} is unknown and changes nothing")));
        if let Some(TerminalKind::Http { url, token_file: Some(_) }) = terminal.as_ref().map(|terminal| &terminal.kind)
            && url.scheme() == "http"
            && !parse::is_loopback(url.host_str().unwrap_or_default())
        {
            warnings.push(format!("{called}: url has no TLS and is not loopback: its token can be read on the way"));
        }
        for problem in &keys.problems {
            values.problem(KEY, &format!("{called}: {problem}"));
        }
        all = all.zip(terminal).map(|(mut all, terminal)| {
            all.push(terminal);
            all
        });
    }
    all
}

fn terminal(keys: &mut Keys) -> Option<TerminalConfig> {
    let name = keys.text("name", None, parse::tag);
    let kind = keys.text("kind", None, |text| Ok(text.to_owned()));
    let kind =
        match kind.as_deref() {
            Some("simulator") => {
                keys.text("script", Some(""), str::parse).map(|script| TerminalKind::Simulator { script })
            }
            Some("http") => {
                let url = keys.text("url", None, parse::http_url);
                let token_file = keys.text("token_file", Some(""), |text| {
                    if text.is_empty() { Ok(None) } else { parse::path(text).map(Some) }
                });
                url.zip(token_file).map(|(url, token_file)| TerminalKind::Http { url, token_file })
            }
            Some(other) => {
                keys.problems.push(format!("kind: {other:?} is neither \"simulator\" nor \"http\""));
                None
            }
            None => None,
        };
    let usual = Patience::USUAL;
    let pay_timeout = keys.span("pay_timeout", Duration::from_secs(90), WAIT_MIN);
    let answer_timeout = keys.span("answer_timeout", Duration::from_secs(10), WAIT_MIN);
    let unpaid = keys.span("unpaid_after", Duration::from_millis(usual.unpaid_ms), WAIT_MIN);
    let reverse = keys.span("reverse_not_before", Duration::from_millis(usual.reverse_not_before_ms), Duration::ZERO);
    let poll = keys.span("poll_every", Duration::from_millis(usual.poll_ms), WAIT_MIN);
    let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Some(TerminalConfig {
        name: name?,
        kind: kind?,
        pay_timeout: pay_timeout?,
        answer_timeout: answer_timeout?,
        patience: Patience { unpaid_ms: ms(unpaid?), reverse_not_before_ms: ms(reverse?), poll_ms: ms(poll?) },
    })
}

/// The keys of one table that nobody has asked for yet.
struct Keys {
    table: Table,
    problems: Vec<String>,
}

impl Keys {
    /// A text, or its default; without a default it has to be there.
    fn text<T>(
        &mut self,
        key: &str,
        default: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let parsed = match (self.table.remove(key), default) {
            (Some(Value::String(text)), _) => parse(&text),
            (Some(_), _) => Err("is not text in quotes".to_owned()),
            (None, Some(default)) => parse(default),
            (None, None) => Err("is missing".to_owned()),
        };
        parsed.map_err(|problem| self.problems.push(format!("{key}: {problem}"))).ok()
    }

    fn span(&mut self, key: &str, default: Duration, least: Duration) -> Option<Duration> {
        let parse = |text: &str| {
            let span = parse::duration(text)?;
            let fits = (least..=SPAN_MAX).contains(&span);
            if fits { Ok(span) } else { Err(format!("{text:?} is not between {least:?} and {SPAN_MAX:?}")) }
        };
        self.text(key, Some(&format!("{}ms", default.as_millis())), parse)
    }
}
