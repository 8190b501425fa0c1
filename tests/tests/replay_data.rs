//! The mappings of the project against the files that they describe, and sums by a script that shares nothing with them.
//!
//! The files are no part of the project: BREAKWATER_DATA names their folder, else `../shared/data` is looked for beside the
//! project, and without them these tests say so and pass.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent::replay::{Outcome, PlannedSale, ReplayArgs, Report, Speed, replay};
use protocol::latest::local_api::LineCommand;
use serde_json::Value;
use tokio::sync::watch;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the project's folder")
}

/// The folder of the files, or `None` after saying why not.
fn data() -> Option<PathBuf> {
    let named = std::env::var_os("BREAKWATER_DATA").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| workspace().join("../shared/data"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no folder {} (BREAKWATER_DATA names another)", folder.display());
    None
}

async fn dry_run(mapping: &str, file: &Path, picked: &[(&str, &str)]) -> (Report, Vec<PlannedSale>) {
    let args = ReplayArgs {
        file: file.to_owned(),
        mapping: workspace().join("packaging/mappings").join(mapping).with_extension("toml"),
        catalogue: None,
        agent: Some("http://127.0.0.1:1".to_owned()),
        store: Some("test".to_owned()),
        picked: picked.iter().map(|&(column, text)| (column.to_owned(), text.to_owned())).collect(),
        limit: None,
        speed: Speed::Max,
        gap_max: None,
        tills: NonZeroUsize::MIN,
        journal: None,
        give_up_after: Duration::from_secs(1),
        refused: None,
        dry_run: true,
        json: false,
        quiet: true,
        data_dir: None,
    };
    let (_, stop) = watch::channel(false);
    replay(&args, stop).await.expect("readable")
}

fn script(kind: &str, file: &Path) -> Value {
    let output = Command::new("/usr/bin/python3")
        .arg(workspace().join("tests/scripts/totals.py"))
        .arg(kind)
        .arg(file)
        .output()
        .expect("python3 is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Orders, lines, units and minor units.
type Sums = [i64; 4];

fn sums(value: &Value) -> Sums {
    ["orders", "lines", "units", "amount_minor"].map(|key| value[key].as_i64().expect("a number"))
}

fn total(sales: &[PlannedSale]) -> Sums {
    sales.iter().fold([0; 4], add)
}

fn add(sums: Sums, sale: &PlannedSale) -> Sums {
    let lines = i64::try_from(sale.command.lines.len()).expect("few");
    let units = sale.units.whole_units().expect("whole");
    let more = [1, lines, units, sale.total.minor()];
    std::array::from_fn(|place| sums[place] + more[place])
}

/// Each row has its place, and each sale obeys the rules of the counter.
#[track_caller]
fn assert_square(report: &Report, sales: &[PlannedSale]) {
    let left_out: u64 = report.rows_left_out.values().sum();
    assert_eq!(report.rows_read, report.rows_sold + report.rows_not_picked + left_out + report.rows_refused);
    for sale in sales {
        let (draft, _) = agent::http::from_wire::sale_of_lines(sale.command.clone()).expect("obeys the rules");
        assert_eq!(draft.gross, sale.total);
    }
}

#[tokio::test]
async fn coffee_adds_up_per_outlet_and_date() {
    let Some(data) = data() else { return };
    let file = data.join("coffee-3-stores/receipts.csv");
    let expected = script("coffee", &file);
    assert_eq!(sums(&expected["total"]), [39_271, 49_894, 71_758, 23_363_595]);

    let (report, sales) = dry_run("coffee-3-stores", &file, &[]).await;
    assert_eq!((report.outcome(), report.rows_read, report.rows_refused), (Outcome::Done, 49_894, 0));
    assert_square(&report, &sales);
    assert_eq!(total(&sales), sums(&expected["total"]));
    let adjusted =
        |line: &&LineCommand| line.adjustments.iter().any(|change| change.reason.as_str() == "imported_price");
    assert_eq!(sales.iter().flat_map(|sale| &sale.command.lines).filter(adjusted).count(), 230);

    for outlet in ["3", "5", "8"] {
        let (report, sales) = dry_run("coffee-3-stores", &file, &[("sales_outlet_id", outlet)]).await;
        assert_square(&report, &sales);
        let mut days: BTreeMap<String, Sums> = BTreeMap::new();
        for sale in &sales {
            let local = jiff::Timestamp::from_millisecond(sale.sold_at.local_ms()).expect("within the calendar");
            let date = local.strftime("%Y-%m-%d").to_string();
            let day = days.entry(date).or_default();
            *day = add(*day, sale);
        }
        let expected = expected["outlets"][outlet].as_object().expect("days");
        let expected: BTreeMap<String, Sums> = expected.iter().map(|(date, day)| (date.clone(), sums(day))).collect();
        assert_eq!(days, expected, "outlet {outlet}");
    }
}

#[tokio::test]
async fn the_other_sets_add_up_and_what_is_not_sold_is_explained() {
    let Some(data) = data() else { return };
    let check = async |mapping: &str, file: &str, left_out: u64, refused: &[&str]| {
        let file = data.join(mapping).join(file);
        let (report, sales) = dry_run(mapping, &file, &[]).await;
        assert_square(&report, &sales);
        assert_eq!(total(&sales), sums(&script(mapping, &file)["total"]), "{mapping}");
        assert_eq!(report.rows_left_out.values().sum::<u64>(), left_out, "{mapping}");
        let reasons: Vec<&str> = report.refused.iter().map(|note| note.reason.as_str()).collect();
        assert_eq!(reasons, refused, "{mapping}");
    };
    let adjustment = "the item is an adjustment without an amount, which is no goods";
    check("breadbasket", "BreadBasket_DMS.csv", 786, &[adjustment]).await;
    check("chipotle", "orders.tsv", 0, &[]).await;
    check("groceries", "groceries.csv", 0, &[]).await;
}
