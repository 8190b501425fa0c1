//! What a promotion would take off the basket as it is.

use pos_model::Money;

use super::output::WhyNot;
use super::rules::Chosen;
use super::share::share_capped;
use super::state::{State, Unit};
use crate::book::{Base, Benefit, Family, Part, Pick, Step, StepBy, StepOff};
use crate::round::div_half_away;

const PPM: i128 = 1_000_000;

/// How often and how much, at the most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) times: u32,
    pub(super) amount: i64,
    /// No unit falls below it.
    pub(super) floor: i64,
}

/// What a promotion would do.
#[derive(Debug, Default)]
pub(super) struct Proposal {
    /// Units, and what it takes off each; nothing twice.
    pub(super) off: Vec<(usize, i64)>,
    /// Units that it uses beside those.
    pub(super) used: Vec<usize>,
    /// How often it is applied.
    pub(super) times: u32,
    /// Units that could be got for less if they were there.
    pub(super) offered: u32,
}

impl Proposal {
    pub(super) fn total(&self) -> i64 {
        self.off.iter().map(|(_, off)| off).sum()
    }
}

/// Works a benefit out. `selects` are its selections, in their order in the benefit.
pub(super) fn propose(
    benefit: &Benefit,
    selects: &[Chosen],
    state: &State,
    bounds: Bounds,
) -> Result<Proposal, WhyNot> {
    if bounds.times == 0 {
        return Err(WhyNot::NoEffect);
    }
    let floor = bounds.floor;
    let proposal = match benefit {
        Benefit::Percent { off_ppm, base, .. } => {
            let units = state.free(&selects[0]);
            once(rated(state, &units, *off_ppm, *base, floor), &units)
        }
        Benefit::AmountOffEach { off_minor, .. } => {
            let units = state.free(&selects[0]);
            let off = |unit: usize| off_minor.minor().min(state.units[unit].now - floor);
            once(each(&units, off), &units)
        }
        Benefit::FixedPrice { price_minor, .. } => {
            let units = state.free(&selects[0]);
            let off = |unit: usize| state.units[unit].now - price_minor.minor().max(floor);
            once(each(&units, off), &units)
        }
        Benefit::AmountOff { off_minor, .. } => {
            let units = state.free(&selects[0]);
            once(state.share(off_minor.minor(), &units, floor), &units)
        }
        Benefit::Threshold { spend_minor, off_minor, repeat, .. } => {
            let units = state.free(&selects[0]);
            let sum = state.sum(&units);
            let reached = sum / spend_minor.minor().max(1);
            if reached < 1 {
                return Err(WhyNot::AmountMissing { missing_minor: Money::from_minor(spend_minor.minor() - sum) });
            }
            let times = if *repeat { u32::try_from(reached).unwrap_or(u32::MAX).min(bounds.times) } else { 1 };
            let off = off_minor.minor().saturating_mul(i64::from(times));
            Proposal { off: state.share(off, &units, floor), used: units, times, offered: 0 }
        }
        Benefit::Tiers { by, steps, .. } => {
            let units = state.free(&selects[0]);
            let off = tier(state, &units, *by, steps, floor)?;
            once(off, &units)
        }
        Benefit::NthUnit { every, off_ppm, pick, base, .. } => {
            let units = state.free(&selects[0]);
            let every = (*every).max(1);
            let there = u32::try_from(units.len()).unwrap_or(u32::MAX);
            if there < every {
                return Err(WhyNot::UnitsMissing { missing_units: every - there });
            }
            let times = (there / every).min(bounds.times);
            let ranked = ranked(state, &units, *pick);
            let (cheaper, rest) = ranked.split_at(times as usize);
            // Those that are paid for are the dearest of the rest.
            let paid = ranked_dearest(state, rest).into_iter().take((times * (every - 1)) as usize).collect();
            let off = rated(state, &in_order(cheaper.to_vec()), *off_ppm, *base, floor);
            Proposal { off, used: paid, times, offered: 0 }
        }
        Benefit::BuyGet { buy_units, get_units, off_ppm, pick, base, family, .. } => {
            let rates = (*off_ppm, *base, floor);
            buy_get(state, selects, (*buy_units, *get_units), *pick, rates, *family, bounds.times)?
        }
        Benefit::Bundle { parts, price_minor } => bundles(state, selects, parts, price_minor.minor(), bounds)?,
        Benefit::FreeItem { units: count, pick, .. } => {
            let free = ranked(state, &state.free(&selects[0]), *pick);
            let count = *count as usize;
            let got: Vec<usize> = free.into_iter().take(count).collect();
            let offered = u32::try_from(count - got.len()).unwrap_or(u32::MAX);
            Proposal { offered, ..once(each(&got, |unit| state.units[unit].now - floor), &got) }
        }
        Benefit::PointsMultiplier { .. } | Benefit::IssueCoupon { .. } => Proposal { times: 1, ..Proposal::default() },
    };
    Ok(capped(state, proposal, bounds))
}

fn once(off: Vec<(usize, i64)>, used: &[usize]) -> Proposal {
    Proposal { off, used: used.to_vec(), times: 1, offered: 0 }
}

/// So much off each unit, as far as it is something.
fn each(units: &[usize], off: impl Fn(usize) -> i64) -> Vec<(usize, i64)> {
    units.iter().map(|&unit| (unit, off(unit))).filter(|(_, off)| *off > 0).collect()
}

/// A part of the price off: rounded half away from zero for each line, then shared within it. `units` are in their order.
fn rated(state: &State, units: &[usize], off_ppm: u32, base: Base, floor: i64) -> Vec<(usize, i64)> {
    let of_unit = |unit: usize| match base {
        Base::WithOptions => state.units[unit].now,
        Base::WithoutOptions => (state.units[unit].now - state.units[unit].options).max(0),
    };
    let mut off = Vec::with_capacity(units.len());
    for units in state.by_line(units) {
        let sum: i128 = units.iter().map(|&unit| i128::from(of_unit(unit))).sum();
        let of_line = div_half_away(sum * i128::from(off_ppm).min(PPM), PPM);
        state.share_in_line(i64::try_from(of_line).unwrap_or(i64::MAX), units, floor, &mut off);
    }
    off
}

fn tier(state: &State, units: &[usize], by: StepBy, steps: &[Step], floor: i64) -> Result<Vec<(usize, i64)>, WhyNot> {
    let sum = state.sum(units);
    let counted = match by {
        StepBy::Units => i64::try_from(units.len()).unwrap_or(i64::MAX),
        StepBy::Amount => sum,
    };
    let Some(step) = steps.iter().filter(|step| step.from <= counted).max_by_key(|step| step.from) else {
        let Some(first) = steps.iter().map(|step| step.from).min() else { return Err(WhyNot::NoEffect) };
        return Err(match by {
            StepBy::Units => WhyNot::UnitsMissing { missing_units: u32::try_from(first - counted).unwrap_or(u32::MAX) },
            StepBy::Amount => WhyNot::AmountMissing { missing_minor: Money::from_minor(first - counted) },
        });
    };
    Ok(match step.off {
        StepOff::Ppm(ppm) => rated(state, units, ppm, Base::WithOptions, floor),
        StepOff::Minor(off) => state.share(off.minor(), units, floor),
    })
}

/// Units by what is left of them; of equal ones first that of which more is the drink itself and less its options, then
/// by article and options. So the order of the lines matters only between units that are alike in all this.
fn ranked(state: &State, units: &[usize], pick: Pick) -> Vec<usize> {
    let mut ranked = units.to_vec();
    let by_kind = |one: &Unit, other: &Unit| {
        one.options.cmp(&other.options).then_with(|| state.lines[one.line].cmp(&state.lines[other.line]))
    };
    ranked.sort_by(|&one, &other| {
        let (one, other) = (&state.units[one], &state.units[other]);
        let by_price = match pick {
            Pick::Cheapest => one.now.cmp(&other.now),
            Pick::Dearest => other.now.cmp(&one.now),
        };
        by_price.then_with(|| by_kind(one, other))
    });
    ranked
}

fn ranked_dearest(state: &State, units: &[usize]) -> Vec<usize> {
    ranked(state, &in_order(units.to_vec()), Pick::Dearest)
}

fn in_order(mut units: Vec<usize>) -> Vec<usize> {
    units.sort_unstable();
    units
}

/// Round by round: what is got is picked first, then the dearest of what else can be bought pays for it.
fn buy_get(
    state: &State,
    selects: &[Chosen],
    (buy_units, get_units): (u32, u32),
    pick: Pick,
    (off_ppm, base, floor): (u32, Base, i64),
    family: Family,
    times_max: u32,
) -> Result<Proposal, WhyNot> {
    let mut gets = ranked(state, &state.free(&selects[1]), pick);
    let mut buys = ranked(state, &state.free(&selects[0]), Pick::Dearest);
    let (buy_count, get_count) = (buy_units.max(1) as usize, get_units.max(1) as usize);
    let mut proposal = Proposal::default();
    let mut got = Vec::new();
    while proposal.times < times_max {
        let round: Vec<usize> = gets.iter().copied().take(get_count).collect();
        let paid: Vec<usize> = buys.iter().copied().filter(|unit| !round.contains(unit)).take(buy_count).collect();
        if paid.len() < buy_count {
            break;
        }
        if round.len() < get_count {
            if family == Family::ExtraUnit {
                proposal.offered = u32::try_from(get_count - round.len()).unwrap_or(u32::MAX);
            }
            break;
        }
        let is_taken = |unit: &usize| round.contains(unit) || paid.contains(unit);
        gets.retain(|unit| !is_taken(unit));
        buys.retain(|unit| !is_taken(unit));
        got.extend(round);
        proposal.used.extend(paid);
        proposal.times += 1;
    }
    // What comes on top may be all that is missing: whoever has bought enough is offered it.
    if family == Family::ExtraUnit && proposal.offered == 0 && proposal.times < times_max && buys.len() >= buy_count {
        proposal.offered = get_units;
    }
    if proposal.times == 0 && proposal.offered == 0 {
        let missing = (buy_count + get_count).saturating_sub(buys.len().max(gets.len())).max(1);
        return Err(WhyNot::UnitsMissing { missing_units: u32::try_from(missing).unwrap_or(u32::MAX) });
    }
    proposal.off = rated(state, &in_order(got), off_ppm, base, floor);
    Ok(proposal)
}

/// Bundles, one after the other, each of the dearest units that fit: the part with the fewest units that fit chooses
/// first. A bundle that saves nothing ends it.
fn bundles(state: &State, selects: &[Chosen], parts: &[Part], price: i64, bounds: Bounds) -> Result<Proposal, WhyNot> {
    let mut free: Vec<Vec<usize>> =
        selects.iter().map(|chosen| ranked(state, &state.free(chosen), Pick::Dearest)).collect();
    let mut proposal = Proposal::default();
    while proposal.times < bounds.times {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&part| free[part].len());
        let mut bundle: Vec<usize> = Vec::new();
        let mut missing = 0;
        for part in order {
            let wanted = parts[part].units as usize;
            let taken: Vec<usize> =
                free[part].iter().copied().filter(|unit| !bundle.contains(unit)).take(wanted).collect();
            missing += wanted - taken.len();
            bundle.extend(taken);
        }
        if missing > 0 || bundle.is_empty() {
            if proposal.times == 0 {
                return Err(WhyNot::UnitsMissing { missing_units: u32::try_from(missing).unwrap_or(u32::MAX) });
            }
            break;
        }
        let saved = state.sum(&bundle) - price;
        if saved <= 0 {
            break;
        }
        bundle.sort_unstable();
        proposal.off.extend(state.share(saved, &bundle, bounds.floor));
        proposal.used.extend(&bundle);
        proposal.times += 1;
        free.iter_mut().for_each(|free| free.retain(|unit| !bundle.contains(unit)));
    }
    Ok(proposal)
}

/// Keeps to the amount that may be taken off: what is too much is shared anew, by what each unit was to lose.
fn capped(state: &State, mut proposal: Proposal, bounds: Bounds) -> Proposal {
    if proposal.total() <= bounds.amount {
        return proposal;
    }
    let units = in_order(proposal.off.iter().map(|(unit, _)| *unit).collect());
    let off_of = |unit: &usize| proposal.off.iter().find(|(other, _)| other == unit).map_or(0, |(_, off)| *off);
    let of_lines: Vec<i64> = state.by_line(&units).map(|units| units.iter().map(off_of).sum()).collect();
    let shares = share_capped(bounds.amount, &of_lines, &of_lines);
    let mut off = Vec::with_capacity(units.len());
    for (units, of_line) in state.by_line(&units).zip(shares) {
        let weights: Vec<i64> = units.iter().map(off_of).collect();
        let of_units = share_capped(of_line, &weights, &weights);
        off.extend(units.iter().copied().zip(of_units).filter(|(_, off)| *off > 0));
    }
    proposal.off = off;
    proposal
}
