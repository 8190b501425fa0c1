//! How many sales there are over time: a rate in straight pieces, and the moment of any sale under it.
//!
//! All in integers: rates in thousandths of a sale per second, times in milliseconds, so that sums are in millionths of a
//! sale and the same everywhere.

/// A millionth of a sale is the unit of sums.
pub(super) const MICRO: u128 = 1_000_000;

/// A place of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When, in milliseconds since the beginning.
    pub at_ms: u64,
    /// Thousandths of a sale per second.
    pub milli_per_s: u64,
}

/// A rate over time, in straight pieces between points. After the end there are no sales.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Curve {
    points: Vec<Point>,
    /// The sales up to each point, in millionths.
    sums: Vec<u128>,
}

impl Curve {
    /// A rate that goes straight from point to point, from zero to `lasts_ms`. Before the first and after the last point
    /// it stays as it is there. Two points at one moment are a step. Points must be in order of time; those behind the end
    /// count only for the way to it.
    pub fn new(points: &[Point], lasts_ms: u64) -> Self {
        let mut kept: Vec<Point> = Vec::with_capacity(points.len() + 2);
        let first = points.first().map_or(0, |point| point.milli_per_s);
        kept.push(Point { at_ms: 0, milli_per_s: first });
        for point in points {
            let last = *kept.last().expect("the first point stands");
            if point.at_ms >= lasts_ms {
                kept.push(Point { at_ms: lasts_ms, milli_per_s: between(last, *point, lasts_ms) });
                break;
            }
            kept.push(*point);
        }
        let last = *kept.last().expect("the first point stands");
        if last.at_ms < lasts_ms {
            kept.push(Point { at_ms: lasts_ms, ..last });
        }
        let mut sums = vec![0];
        for pair in kept.windows(2) {
            let before = sums.last().copied().unwrap_or(0);
            sums.push(before + area(pair[0], pair[1], pair[1].at_ms));
        }
        Self { points: kept, sums }
    }

    /// The sales from the beginning to a moment, in millionths.
    pub fn sum(&self, at_ms: u64) -> u128 {
        let at_ms = at_ms.min(self.points.last().map_or(0, |point| point.at_ms));
        let piece = self.points.partition_point(|point| point.at_ms <= at_ms).saturating_sub(1);
        match self.points.get(piece + 1) {
            Some(next) => self.sums[piece] + area(self.points[piece], *next, at_ms),
            None => self.sums[piece],
        }
    }

    /// The first moment at which the sum has reached `micro`; none if it never does.
    pub fn reach(&self, micro: u128) -> Option<u64> {
        let piece = self.sums.partition_point(|sum| *sum < micro);
        if piece == 0 {
            return Some(0);
        }
        let (from, to) = (*self.points.get(piece - 1)?, *self.points.get(piece)?);
        let wanted = micro - self.sums[piece - 1];
        let (mut low, mut high) = (from.at_ms, to.at_ms);
        while low < high {
            let middle = low.midpoint(high);
            if area(from, to, middle) >= wanted { high = middle } else { low = middle + 1 }
        }
        Some(low)
    }

    /// When the sales end, in milliseconds since the beginning.
    pub fn lasts_ms(&self) -> u64 {
        self.points.last().map_or(0, |point| point.at_ms)
    }
}

/// The rate on the straight line between two points.
fn between(from: Point, to: Point, at_ms: u64) -> u64 {
    let width = u128::from(to.at_ms.saturating_sub(from.at_ms));
    if width == 0 {
        return to.milli_per_s;
    }
    let into = u128::from(at_ms.saturating_sub(from.at_ms));
    let weighted = u128::from(from.milli_per_s) * (width - into) + u128::from(to.milli_per_s) * into;
    u64::try_from(weighted / width).unwrap_or(u64::MAX)
}

/// The sales of a piece up to a moment in it, in millionths.
fn area(from: Point, to: Point, at_ms: u64) -> u128 {
    let (width, into) = (u128::from(to.at_ms - from.at_ms), u128::from(at_ms - from.at_ms));
    if width == 0 {
        return 0;
    }
    let (start, end) = (u128::from(from.milli_per_s), u128::from(to.milli_per_s));
    let flat = start * into;
    // Half of the triangle above or below the flat part.
    if end >= start {
        flat + (end - start) * into * into / (2 * width)
    } else {
        flat - (start - end) * into * into / (2 * width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u64, u64)], lasts_ms: u64) -> Curve {
        let points: Vec<Point> =
            points.iter().map(|&(at_ms, per_s)| Point { at_ms, milli_per_s: per_s * 1000 }).collect();
        Curve::new(&points, lasts_ms)
    }

    #[test]
    fn sums_are_the_area_under_the_rate() {
        #[track_caller]
        fn check(points: &[(u64, u64)], lasts_ms: u64, at_ms: u64, sales: u128) {
            assert_eq!(curve(points, lasts_ms).sum(at_ms) / MICRO, sales);
        }
        check(&[(0, 100)], 10_000, 5_000, 500);
        check(&[(0, 100)], 10_000, 20_000, 1_000);
        // A slope from 0 to 100 in ten seconds.
        check(&[(0, 0), (10_000, 100)], 10_000, 10_000, 500);
        check(&[(0, 0), (10_000, 100)], 10_000, 5_000, 125);
        check(&[(0, 100), (10_000, 0)], 10_000, 5_000, 375);
        // A step, and a rate that begins late.
        check(&[(0, 10), (1_000, 10), (1_000, 1_000), (2_000, 1_000)], 3_000, 3_000, 2_010);
        check(&[(5_000, 10)], 10_000, 10_000, 100);
        // The end lies on the way to the next point.
        check(&[(0, 0), (20_000, 200)], 10_000, 10_000, 500);
        check(&[], 10_000, 10_000, 0);
    }

    #[test]
    fn each_sale_has_its_first_moment() {
        let curve = curve(&[(0, 3), (2_000, 3), (2_000, 50), (5_000, 0), (8_000, 0), (9_000, 700)], 10_000);
        let all = curve.sum(10_000);
        for micro in (0..all).step_by(333_331) {
            let at = curve.reach(micro).expect("within the curve");
            assert!(curve.sum(at) >= micro, "{micro} at {at}");
            assert!(at == 0 || curve.sum(at - 1) < micro, "{micro} before {at}");
        }
        assert_eq!(curve.reach(all + 1), None);
        assert_eq!(curve.lasts_ms(), 10_000);
    }
}
