//! The world simulation over many seeds. See `tests::world` for what a world is.
//!
//! `BREAKWATER_SEEDS` says how many seeds run instead of 500; `cargo run -p tests --bin simulate` runs any number too.

use tests::world::{Report, Settings, replay_command, run_many};

const SEEDS: u64 = 500;

fn failed(reports: &[Report]) -> String {
    let mut text = String::new();
    for report in reports {
        if let Some(violation) = &report.violation {
            text += &format!("seed {}: {violation}\n  replay: {}\n", report.seed, replay_command(report.seed));
        }
    }
    text
}

#[test]
fn no_sale_is_lost_or_doubled_whatever_happens() {
    let seeds =
        std::env::var("BREAKWATER_SEEDS").map_or(SEEDS, |text| text.parse().expect("BREAKWATER_SEEDS is a number"));
    let mut failures = Vec::new();
    run_many(1, seeds, Settings::default(), |report| {
        failures.extend(report.violation.is_some().then_some(report));
        failures.len() < 5
    });
    assert!(failures.is_empty(), "{}", failed(&failures));
}
