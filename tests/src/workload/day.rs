//! A day of a chain: which customer comes to which store, and when.
//!
//! Arrivals are a Poisson process for each store, whose rate is the store's size (log-normal), times the hour (two
//! humps), times noise that is drawn anew every five minutes (gamma: real queues bunch more than Poisson), times the
//! promotion. All stores advance together minute by minute, so that a chain of any size needs the memory of a minute.
//!
//! Where the numbers come from: cups a day are those of a listed chain's half-year report; lines an order and the noise are
//! measured on shops' receipts; the rest are choices, and all are data, to be changed by who asks another question.

#![expect(clippy::float_arithmetic, reason = "rates of arrival are real-valued; money is in `order`, in integers")]

use std::collections::VecDeque;

use pos_model::{Money, Stamp, StoreId};
use protocol::latest::local_api::CompleteSale;
use sync_core::Random;

use super::draw::{gamma, log_normal, poisson};
use super::order::{Offer, order};

const MINUTE_MS: i64 = 60_000;

/// Minutes that share one draw of the noise.
const NOISE_MINUTES: u32 = 5;

/// How a day's customers are spread.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadModel {
    /// Cups that a store sells in a day, on average over the stores.
    pub cups_per_store: f64,
    /// The deviation of the logarithm of that, from store to store.
    pub store_sigma: f64,
    /// Cups of one order.
    pub cups_per_order: f64,
    /// The first minute after midnight in which customers come.
    pub open_minute: u32,
    /// The first in which they do not any more.
    pub close_minute: u32,
    /// Over a steady rate of one: minute of the top, deviation in minutes, height.
    pub humps: Vec<(f64, f64, f64)>,
    /// The shape of the noise; its variance is one part in so many.
    pub noise_shape: f64,
}

impl Default for LoadModel {
    fn default() -> Self {
        Self {
            cups_per_store: 439.0,
            store_sigma: 0.5,
            cups_per_order: 1.36,
            open_minute: 9 * 60,
            close_minute: 22 * 60,
            // A high noon whose top is at 14:00, and the evening.
            humps: vec![(840.0, 55.0, 1.9), (780.0, 50.0, 0.5), (1_140.0, 50.0, 1.2)],
            noise_shape: 8.0,
        }
    }
}

/// A promotion that brings people in.
#[derive(Debug, Clone, PartialEq)]
pub struct Promo {
    /// How many times the usual rate.
    pub multiplier: f64,
    /// The same for the largest store, which everybody has heard of.
    pub top_store_multiplier: f64,
    /// The minute after midnight at which it starts.
    pub start_minute: u32,
    /// How many minutes until the rate is there.
    pub ramp_minutes: u32,
    /// The minute after midnight at which it ends.
    pub end_minute: u32,
    /// In the first minute after the ramp the rate is so many times higher still.
    pub burst: f64,
    /// What it takes off.
    pub offer: Offer,
}

impl Promo {
    /// The kind of day that made the news: 4.4 times the usual from 14:00, ten times in the top store.
    pub fn first_cup() -> Self {
        Self {
            multiplier: 4.4,
            top_store_multiplier: 10.0,
            start_minute: 14 * 60,
            ramp_minutes: 3,
            end_minute: 20 * 60,
            burst: 2.0,
            offer: Offer { promotion_id: "first-cup".to_owned(), off: Money::from_minor(900), percent: 70 },
        }
    }

    fn factor(&self, minute: u32, multiplier: f64) -> f64 {
        if !(self.start_minute..self.end_minute).contains(&minute) {
            return 1.0;
        }
        let since = minute - self.start_minute;
        if since < self.ramp_minutes {
            return 1.0 + (multiplier - 1.0) * f64::from(since + 1) / f64::from(self.ramp_minutes + 1);
        }
        if since == self.ramp_minutes { multiplier * self.burst } else { multiplier }
    }
}

/// Which day to generate.
#[derive(Debug, Clone, PartialEq)]
pub struct DayPlan {
    /// Stores of the chain.
    pub stores: u32,
    /// Local midnight at which the day begins.
    pub midnight: Stamp,
    /// How customers are spread.
    pub load: LoadModel,
    /// A promotion, if there is one.
    pub promo: Option<Promo>,
}

impl DayPlan {
    /// An ordinary day: the first of May 2024 in Shanghai.
    pub fn ordinary(stores: u32) -> Self {
        let midnight = Stamp { utc_ms: 1_714_492_800_000, offset_s: 28_800 };
        Self { stores, midnight, load: LoadModel::default(), promo: None }
    }
}

/// A customer at a counter.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// Which store, from zero.
    pub store: u32,
    /// When.
    pub at: Stamp,
    /// What the till sends.
    pub sale: CompleteSale,
}

/// The name of a store of the generated chain: `tea-0001` and so on.
pub fn store_id(store: u32) -> StoreId {
    StoreId::new(format!("tea-{:04}", u64::from(store) + 1)).expect("letters, digits and a dash")
}

#[derive(Debug)]
struct Store {
    orders_per_day: f64,
    promo_multiplier: f64,
    noise: f64,
    random: Random,
}

/// The arrivals of a day, in order of time. The same plan and seed give the same day.
#[derive(Debug)]
pub struct Day {
    plan: DayPlan,
    stores: Vec<Store>,
    /// The share of a day's orders that fall in each minute from the opening on.
    shares: Vec<f64>,
    minute: u32,
    ready: VecDeque<Arrival>,
}

impl Day {
    /// Starts the day.
    pub fn new(plan: DayPlan, seed: u64) -> Self {
        let load = &plan.load;
        let mut seeds = Random::new(seed);
        let mut stores: Vec<Store> = (0..plan.stores)
            .map(|_| {
                let mut random = Random::new(seeds.next_u64());
                let cups = log_normal(&mut random, load.cups_per_store, load.store_sigma);
                let promo_multiplier = plan.promo.as_ref().map_or(1.0, |promo| promo.multiplier);
                Store { orders_per_day: cups / load.cups_per_order, promo_multiplier, noise: 1.0, random }
            })
            .collect();
        let top = stores.iter_mut().max_by(|a, b| a.orders_per_day.total_cmp(&b.orders_per_day));
        if let (Some(top), Some(promo)) = (top, &plan.promo) {
            top.promo_multiplier = promo.top_store_multiplier;
        }
        let weights: Vec<f64> = (load.open_minute..load.close_minute).map(|minute| load.weight(minute)).collect();
        let all: f64 = weights.iter().sum();
        let shares = weights.into_iter().map(|weight| weight / all).collect();
        let minute = plan.load.open_minute;
        Self { plan, stores, shares, minute, ready: VecDeque::new() }
    }

    fn next_minute(&mut self) -> bool {
        let since_open = self.minute - self.plan.load.open_minute;
        let Some(&share) = self.shares.get(usize::try_from(since_open).expect("minutes of a day")) else {
            return false;
        };
        let minute_ms = self.plan.midnight.utc_ms + i64::from(self.minute) * MINUTE_MS;
        let promo = self.plan.promo.as_ref();
        let running = promo.filter(|promo| (promo.start_minute..promo.end_minute).contains(&self.minute));
        let offer = running.map_or_else(Offer::ordinary, |promo| promo.offer.clone());
        let mut arrivals = Vec::new();
        for (number, store) in (0..).zip(&mut self.stores) {
            let random = &mut store.random;
            if since_open.is_multiple_of(NOISE_MINUTES) {
                store.noise = gamma(random, self.plan.load.noise_shape);
            }
            let factor = promo.map_or(1.0, |promo| promo.factor(self.minute, store.promo_multiplier));
            for _ in 0..poisson(random, store.orders_per_day * share * store.noise * factor) {
                let at_ms = minute_ms + i64::try_from(random.below(60_000)).expect("within a minute");
                let at = Stamp { utc_ms: at_ms, ..self.plan.midnight };
                let sale = order(random, u64::try_from(at_ms).unwrap_or(0), &offer);
                arrivals.push(Arrival { store: number, at, sale });
            }
        }
        arrivals.sort_by_key(|arrival| (arrival.at.utc_ms, arrival.store));
        self.ready.extend(arrivals);
        self.minute += 1;
        true
    }
}

impl LoadModel {
    fn weight(&self, minute: u32) -> f64 {
        let hump = |&(top, deviation, height): &(f64, f64, f64)| {
            let distance = (f64::from(minute) - top) / deviation;
            height * (-distance * distance / 2.0).exp()
        };
        1.0 + self.humps.iter().map(hump).sum::<f64>()
    }
}

impl Iterator for Day {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        while self.ready.is_empty() {
            if !self.next_minute() {
                return None;
            }
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::latest::local_api::QuantityJson;

    fn minute_of(arrival: &Arrival, plan: &DayPlan) -> u32 {
        u32::try_from((arrival.at.utc_ms - plan.midnight.utc_ms) / MINUTE_MS).expect("within the day")
    }

    #[test]
    fn the_same_seed_gives_the_same_day_in_order() {
        let plan = DayPlan::ordinary(3);
        let day = || Day::new(plan.clone(), 7);
        assert!(day().eq(day()));
        assert!(!day().eq(Day::new(plan.clone(), 8)));
        assert!(day().zip(day().skip(1)).all(|(a, b)| a.at.utc_ms <= b.at.utc_ms));
        assert!(day().any(|arrival| arrival.store == 2));
        let mut ids: Vec<_> = day().map(|arrival| arrival.sale.sale_id).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }

    #[test]
    fn an_ordinary_day_has_the_shape_of_the_trade() {
        let plan = DayPlan::ordinary(200);
        let (mut orders, mut cups, mut one_line, mut hours) = (0f64, 0f64, 0f64, [0f64; 24]);
        let (mut five_minutes, mut channels) = ([0f64; 288], [0f64; 3]);
        for arrival in Day::new(plan.clone(), 1) {
            let minute = minute_of(&arrival, &plan);
            orders += 1.0;
            hours[minute as usize / 60] += 1.0;
            five_minutes[minute as usize / 5] += 1.0;
            one_line += f64::from(u8::from(arrival.sale.lines.len() == 1));
            let place = ["mini_program", "delivery", "counter"]
                .iter()
                .position(|&channel| channel == arrival.sale.channel.as_str())
                .expect("a known channel");
            channels[place] += 1.0;
            for line in &arrival.sale.lines {
                cups += if line.quantity == QuantityJson::Whole(2) { 2.0 } else { 1.0 };
                assert!((2..=4).contains(&line.options.len()), "{:?}", line.options);
            }
        }
        #[track_caller]
        fn near(what: &str, found: f64, low: f64, high: f64) {
            assert!((low..=high).contains(&found), "{what}: {found}");
        }
        near("orders per store", orders / 200.0, 290.0, 360.0);
        near("cups per order", cups / orders, 1.33, 1.39);
        near("orders of one line", one_line / orders, 0.74, 0.76);
        near("by mini-program", channels[0] / orders, 0.59, 0.61);
        near("by delivery", channels[1] / orders, 0.24, 0.26);
        let top_hour = hours.iter().copied().fold(0.0, f64::max);
        near("share of the top hour", top_hour / orders, 0.11, 0.15);
        assert!(hours[..9].iter().chain(&hours[22..]).all(|&count| count == 0.0));
        assert!(hours[19] > hours[16] && hours[19] > hours[21], "{hours:?}");
        let top = (0..288).max_by(|&a, &b| five_minutes[a].total_cmp(&five_minutes[b])).expect("some");
        near("the top five minutes, in hours", top as f64 / 12.0, 13.25, 14.5);
    }

    #[test]
    fn a_promotion_multiplies_within_minutes() {
        let ordinary = DayPlan::ordinary(100);
        let promo = DayPlan { promo: Some(Promo::first_cup()), ..ordinary.clone() };
        let count = |plan: &DayPlan, from: u32, to: u32| {
            let within = |arrival: &Arrival| (from..to).contains(&minute_of(arrival, plan));
            Day::new(plan.clone(), 3).filter(within).count() as f64
        };
        #[track_caller]
        fn near(found: f64, low: f64, high: f64) {
            assert!((low..=high).contains(&found), "{found}");
        }
        near(count(&promo, 600, 840) / count(&ordinary, 600, 840), 0.99, 1.01);
        near(count(&promo, 860, 1_190) / count(&ordinary, 860, 1_190), 4.3, 4.8);
        near(count(&promo, 843, 844) / count(&ordinary, 843, 844), 7.0, 12.0);
        let near_end = count(&promo, 1_200, 1_320) / count(&ordinary, 1_200, 1_320);
        near(near_end, 0.9, 1.1);
    }
}
