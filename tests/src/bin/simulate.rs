//! Runs many seeds of the world simulation, or one of them step by step.
//!
//! `cargo run -p tests --bin simulate -- --seeds 10000 --from 1`; a seed that fails is printed with the command that
//! replays it. The exit code is 1 if any failed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tests::world::{Coverage, Report, Settings, run, run_many};

/// Runs seeds of the world simulation.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Run just this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print each step of it.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Delete rows at the centre, which have to come back; only with faults that take nothing from the stores.
    #[arg(long)]
    hand: bool,
    /// Print how often each thing worth seeing was seen.
    #[arg(long)]
    coverage: bool,
    /// Go on after so many failures.
    #[arg(long, default_value_t = 10)]
    failures_max: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failures = match arguments.seed {
        Some(seed) => one(seed, arguments.trace, arguments.hand),
        None => many(&arguments),
    };
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn one(seed: u64, print: bool, hand: bool) -> u64 {
    let report = run(seed, Settings { print, hand, ..Settings::default() });
    println!(
        "seed {seed}: {} events, {} steps, {} s of virtual time, drained {} s after the faults stopped, digest {}",
        report.events,
        report.steps,
        report.virtual_ms / 1000,
        report.drain_ms / 1000,
        report.digest,
    );
    tell(&report)
}

fn many(arguments: &Arguments) -> u64 {
    let began = Instant::now();
    let mut told_at = began;
    let (mut done, mut failures, mut events, mut virtual_ms, mut drain_ms) = (0, 0, 0, 0, 0);
    let mut coverage = Coverage::default();
    run_many(arguments.from, arguments.seeds, Settings { hand: arguments.hand, ..Settings::default() }, |report| {
        done += 1;
        events += report.events;
        virtual_ms += report.virtual_ms;
        drain_ms = report.drain_ms.max(drain_ms);
        coverage.merge(&report.coverage);
        failures += tell(&report);
        if told_at.elapsed() > Duration::from_secs(10) {
            told_at = Instant::now();
            println!("{done} of {} seeds, {failures} failed, {} s", arguments.seeds, began.elapsed().as_secs());
        }
        failures < arguments.failures_max
    });
    if arguments.coverage {
        print!("{coverage}");
    }
    println!(
        "{done} seeds, {failures} failed, {events} events, {} days of virtual time, the slowest drained in {} s, took {} s",
        virtual_ms / 86_400_000,
        drain_ms / 1000,
        began.elapsed().as_secs(),
    );
    failures
}

/// Tells of a failure; returns how many there were.
fn tell(report: &Report) -> u64 {
    let Some(violation) = &report.violation else { return 0 };
    println!("seed {} failed: {violation}", report.seed);
    println!("  replay: {}", tests::world::replay_command(report.seed));
    1
}
