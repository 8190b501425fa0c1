//! `store add`: one store, or a file of them.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::Context;
use pos_model::StoreId;
use serde_json::json;

use super::{print, registry};
use crate::cli::StoreAddArgs;
use crate::config::Config;
use crate::ingest::utc_ms;
use crate::ledger::{Claim, CodeHash, Reader};
use crate::{claim, price_books};

/// Wrong lines of a file that are named at once; the others are counted.
const PROBLEMS_MAX: usize = 20;

/// A store that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    store_id: StoreId,
    name: Option<String>,
}

/// A store that was added, with the code that only its installer may see.
struct Added {
    store_id: StoreId,
    code: String,
    expires_at_ms: i64,
    new: bool,
}

/// Does what the command line says.
pub(super) fn run(config: &Config, args: &StoreAddArgs) -> anyhow::Result<()> {
    let ledger = &config.ledger;
    // Nobody expects another folder's service to know what is in a database.
    let is_first = ledger.file().is_some_and(|file| !file.exists());
    let (wanted, many) = match (&args.store_id, &args.file) {
        (Some(store_id), _) => (vec![Wanted { store_id: store_id.clone(), name: args.name.clone() }], false),
        (None, Some(path)) => {
            let bytes = price_books::read_file(path)?;
            let text = String::from_utf8(bytes).with_context(|| format!("{} is not text", path.display()))?;
            (parse(&text).map_err(|problems| anyhow::anyhow!("nothing was added: {problems}"))?, true)
        }
        (None, None) => anyhow::bail!("name a store, or a file of them"),
    };
    let lifetime_ms = i64::try_from(config.claim_code_lifetime.as_millis()).unwrap_or(i64::MAX);
    let registry = registry(config)?;
    for wanted in wanted {
        let added = add(&*registry, wanted, lifetime_ms)?;
        if args.output.json {
            let line = json!({
                "store_id": added.store_id.as_str(), "claim_code": added.code,
                "expires_at_ms": added.expires_at_ms, "new": added.new, "ledger": ledger.to_string(),
            });
            print(&line.to_string())?;
        } else if many {
            print(&format!("{}  {}", added.store_id, added.code))?;
        } else {
            let hours = lifetime_ms / 3_600_000;
            let what = if added.new { "added" } else { "has a new claim code" };
            print(&format!("store {} {what}\nclaim code: {}   (once, within {hours} h)", added.store_id, added.code))?;
        }
    }
    if is_first && !args.output.json {
        let _ = writeln!(
            std::io::stderr(),
            "note: there was no ledger yet, {ledger} is new. A service in another folder knows nothing of these stores."
        );
    }
    Ok(())
}

fn add(registry: &dyn Reader, wanted: Wanted, lifetime_ms: i64) -> anyhow::Result<Added> {
    let Wanted { store_id, name } = wanted;
    let code = claim::new_code().context("get random numbers from the system")?;
    let now_ms = utc_ms();
    let expires_at_ms = now_ms.saturating_add(lifetime_ms);
    let claim = Claim { code: CodeHash::of(claim::normalize(&code).as_bytes()), expires_at_ms };
    let new = registry.add_store(&store_id, name.as_deref(), claim, now_ms)?;
    Ok(Added { store_id, code, expires_at_ms, new })
}

/// Reads a file of stores. Empty lines and those that begin with `#` say nothing. The error names all that is wrong.
fn parse(text: &str) -> Result<Vec<Wanted>, String> {
    let (mut wanted, mut problems, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (id, name) = line.split_once(',').map_or((line, ""), |(id, name)| (id.trim_end(), name.trim()));
        match StoreId::new(id) {
            Ok(store_id) if seen.insert(store_id.clone()) => {
                wanted.push(Wanted { store_id, name: (!name.is_empty()).then(|| name.to_owned()) });
            }
            Ok(store_id) => problems.push(format!("line {number}: {store_id} stands there twice")),
            Err(error) => problems.push(format!("line {number}: {error}")),
        }
    }
    if wanted.is_empty() && problems.is_empty() {
        problems.push("the file names no store".to_owned());
    }
    if problems.is_empty() {
        return Ok(wanted);
    }
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_stores_is_taken_whole_or_not_at_all() {
        #[track_caller]
        fn check(text: &str, expected: Result<&[(&str, Option<&str>)], &str>) {
            let found = parse(text);
            let expected = expected.map(|stores| {
                let wanted = |(id, name): &(&str, Option<&str>)| Wanted {
                    store_id: StoreId::new(id).expect("valid"),
                    name: name.map(str::to_owned),
                };
                stores.iter().map(wanted).collect::<Vec<_>>()
            });
            match (&found, &expected) {
                (Err(found), Err(part)) => assert!(found.contains(part), "{found:?} does not say {part:?}"),
                _ => assert_eq!(found, expected.map_err(str::to_owned)),
            }
        }
        check("A-1\nA-2, Nanjing Road, east\n", Ok(&[("A-1", None), ("A-2", Some("Nanjing Road, east"))]));
        check("# stores\n\n  A-1 ,  x \r\n", Ok(&[("A-1", Some("x"))]));
        check("", Err("names no store"));
        check("A-1\nA 2\n", Err("line 2: "));
        check("A-1\nA-1\n", Err("line 2: A-1 stands there twice"));
        check(&"no good\n".repeat(PROBLEMS_MAX + 3), Err("and 3 more"));
    }
}
