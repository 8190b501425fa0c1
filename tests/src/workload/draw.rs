//! Numbers by chance, after the usual distributions. Statistics only: no amount of money goes through here.

#![expect(clippy::float_arithmetic, reason = "distributions are real-valued; what comes out are counts and moments")]

use sync_core::Random;

/// How large a mean [`poisson`] takes in one piece. `exp(-MEAN_MAX)` is far from the smallest number a double can hold.
const MEAN_MAX: f64 = 30.0;

/// A number between zero and one, both excluded.
pub(super) fn uniform(random: &mut Random) -> f64 {
    let bits = u32::try_from(random.next_u64() >> 32).expect("32 bits are left");
    (f64::from(bits) + 0.5) / 4_294_967_296.0
}

/// A normal number with mean zero and deviation one, after Box and Muller.
pub(super) fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * uniform(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(random)).cos()
}

/// A log-normal number with this mean; `sigma` is the deviation of its logarithm.
pub(super) fn log_normal(random: &mut Random, mean: f64, sigma: f64) -> f64 {
    (mean.ln() - sigma * sigma / 2.0 + sigma * normal(random)).exp()
}

/// A gamma number with mean one and this shape (at least one), after Marsaglia and Tsang.
pub(super) fn gamma(random: &mut Random, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && uniform(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v / shape;
        }
    }
}

/// How many events come where so many are expected, after Knuth. A large mean is taken in pieces: the sum of Poisson
/// numbers is one.
pub(super) fn poisson(random: &mut Random, mut mean: f64) -> u32 {
    let mut count = 0;
    while mean > 0.0 {
        let limit = (-mean.min(MEAN_MAX)).exp();
        mean -= MEAN_MAX;
        let mut product = uniform(random);
        while product > limit {
            count += 1;
            product *= uniform(random);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_variances() {
        #[track_caller]
        fn check(what: &str, draw: impl Fn(&mut Random) -> f64, mean: f64, variance: f64) {
            let mut random = Random::new(11);
            let numbers: Vec<f64> = (0..40_000).map(|_| draw(&mut random)).collect();
            let found_mean = numbers.iter().sum::<f64>() / 40_000.0;
            let found = numbers.iter().map(|x| (x - found_mean).powi(2)).sum::<f64>() / 40_000.0;
            assert!((found_mean - mean).abs() < 0.02 * mean.max(1.0), "{what}: mean {found_mean}, not {mean}");
            assert!((found - variance).abs() < 0.06 * variance, "{what}: variance {found}, not {variance}");
        }
        check("uniform", uniform, 0.5, 1.0 / 12.0);
        check("normal", normal, 0.0, 1.0);
        check("gamma", |random| gamma(random, 8.0), 1.0, 1.0 / 8.0);
        check("poisson, few", |random| f64::from(poisson(random, 0.43)), 0.43, 0.43);
        check("poisson, many", |random| f64::from(poisson(random, 95.0)), 95.0, 95.0);
        let variance = 439.0 * 439.0 * (0.25f64.exp() - 1.0);
        check("log-normal", |random| log_normal(random, 439.0, 0.5), 439.0, variance);
        assert_eq!(poisson(&mut Random::new(1), 0.0), 0);
    }
}
