//! A chart of seconds as inline SVG: lines over time, with moments marked in it. In whole numbers: places are tenths of a
//! pixel.

use std::fmt::Write as _;

use super::unit::Unit;

/// Columns that show their values under the pointer; more seconds share one.
const COLUMNS_MAX: usize = 240;

/// Lines of the scale.
const TICKS_MAX: u64 = 5;

/// Pixels around the plot: for the scale, the times, and room at the edges.
const LEFT: u64 = 62;
const RIGHT: u64 = 12;
const TOP: u64 = 12;
const BOTTOM: u64 = 24;

/// A line of a chart.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// Its name.
    pub(super) name: &'static str,
    /// Its colour, by number.
    pub(super) colour: usize,
    /// A value for each second, where there is one.
    pub(super) values: Vec<Option<u64>>,
}

/// A chart.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What is shown, in a sentence.
    pub(super) note: &'static str,
    pub(super) unit: Unit,
    pub(super) series: Vec<Series>,
    /// Over the whole width of the page, with the marks in words.
    pub(super) is_wide: bool,
}

/// A moment that is marked: its second, and what happens.
pub(super) type Mark = (u64, String);

impl Chart {
    /// The chart with its heading. Nothing if no series has a value.
    pub(super) fn draw(&self, marks: &[Mark]) -> String {
        // A second line that never leaves zero says nothing.
        let says =
            |(place, series): &(usize, &Series)| series.values.iter().flatten().any(|value| *place == 0 || *value > 0);
        let series: Vec<&Series> = self.series.iter().enumerate().filter(says).map(|(_, series)| series).collect();
        if series.is_empty() {
            return String::new();
        }
        let class = if self.is_wide { "chart wide" } else { "chart" };
        let mut html = format!("<figure class=\"{class}\"><figcaption><h2>{}</h2>", escape(self.title));
        let _ = write!(html, "<p>{}</p><ul class=\"legend\">", escape(self.note));
        for series in &series {
            let peak = series.values.iter().flatten().max().copied().unwrap_or(0);
            let name = escape(series.name);
            let _ = write!(
                html,
                "<li><i class=\"b{}\"></i>{name} <b>{}</b> at most</li>",
                series.colour,
                escape(&self.unit.say(peak))
            );
        }
        html.push_str("</ul></figcaption>");
        html.push_str(&self.plot(&series, marks));
        html.push_str("</figure>");
        html
    }

    fn plot(&self, series: &[&Series], marks: &[Mark]) -> String {
        let seconds = series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let (width, height) = if self.is_wide { (1136, 280) } else { (556, 210) };
        let frame = Frame { width, height, seconds: seconds.max(1) as u64, scale: Scale::of(series, self.unit) };
        let mut svg = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" preserveAspectRatio=\"xMidYMid meet\">",
            escape(self.title)
        );
        frame.draw_scale(&mut svg, self.unit);
        frame.draw_times(&mut svg);
        frame.draw_marks(&mut svg, marks, self.is_wide);
        // The first one lies on top.
        for series in series.iter().rev() {
            frame.draw_series(&mut svg, series, series.colour == 1 && !self.unit.is_by_powers());
        }
        frame.draw_columns(&mut svg, series, self.unit);
        svg.push_str("</svg>");
        svg
    }
}

/// How values become heights.
#[derive(Debug, Clone)]
struct Scale {
    low: u64,
    high: u64,
    by_powers: bool,
    ticks: Vec<u64>,
}

impl Scale {
    fn of(series: &[&Series], unit: Unit) -> Self {
        let values = || series.iter().flat_map(|series| series.values.iter().flatten().copied());
        let most = values().max().unwrap_or(0).max(1);
        if unit.is_by_powers() {
            let least = values().filter(|value| *value > 0).min().unwrap_or(1);
            let low = 10u64.pow(least.ilog10());
            let high = if most > low { 10u64.pow(most.ilog10()).saturating_mul(10) } else { low * 10 };
            let ticks = std::iter::successors(Some(low), |tick| tick.checked_mul(10)).take_while(|tick| *tick <= high);
            return Self { low, high, by_powers: true, ticks: ticks.collect() };
        }
        let step = step_for(most, unit);
        let high = most.div_ceil(step) * step;
        let ticks = (0..=high / step).map(|number| number * step).collect();
        Self { low: 0, high, by_powers: false, ticks }
    }

    /// The height of a value, in thousandths of the plot.
    fn permille(&self, value: u64) -> u64 {
        if self.by_powers {
            let (low, high) = (logarithm(self.low), logarithm(self.high));
            return (logarithm(value.max(self.low)) - low) * 1000 / (high - low).max(1);
        }
        u64::try_from(u128::from(value) * 1000 / u128::from(self.high.max(1))).unwrap_or(1000)
    }
}

/// A step of the scale that people count in.
fn step_for(most: u64, unit: Unit) -> u64 {
    // Memory is counted in MiB.
    let base = if unit == Unit::Memory { 1024 } else { 1 };
    let least = most.div_ceil(base).div_ceil(TICKS_MAX).max(1);
    let power = 10u64.pow(least.ilog10());
    let step = [1, 2, 5, 10].map(|factor| factor * power).into_iter().find(|step| *step >= least);
    step.unwrap_or(least) * base
}

/// The logarithm to base two in 1024ths, straight between powers: exact enough for a picture.
fn logarithm(value: u64) -> u64 {
    let value = value.max(1);
    let power = value.ilog2();
    let behind = (u128::from(value) << 10 >> power) - 1024;
    u64::from(power) * 1024 + u64::try_from(behind).unwrap_or(0)
}

/// The plot's place on the picture.
#[derive(Debug, Clone)]
struct Frame {
    width: u64,
    height: u64,
    seconds: u64,
    scale: Scale,
}

impl Frame {
    /// The place of a moment, in tenths of a pixel.
    fn x(&self, second: u64) -> u64 {
        LEFT * 10 + (self.width - LEFT - RIGHT) * 10 * second.min(self.seconds) / self.seconds
    }

    fn y(&self, value: u64) -> u64 {
        let plot = (self.height - TOP - BOTTOM) * 10;
        TOP * 10 + plot - plot * self.scale.permille(value).min(1000) / 1000
    }

    fn draw_scale(&self, svg: &mut String, unit: Unit) {
        for tick in &self.scale.ticks {
            let y = tenths(self.y(*tick));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text class=\"scale\" x=\"{}\" y=\"{y}\" dy=\"0.32em\">{}</text>",
                self.width - RIGHT,
                LEFT - 8,
                escape(&unit.tick(*tick))
            );
        }
    }

    fn draw_times(&self, svg: &mut String) {
        let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600];
        let most = (self.width - LEFT - RIGHT) / 70;
        let step = steps.into_iter().find(|step| self.seconds / step <= most).unwrap_or(7_200);
        for second in (0..=self.seconds).step_by(usize::try_from(step).unwrap_or(1)) {
            let (x, y) = (tenths(self.x(second)), self.height - 6);
            let _ = write!(svg, "<text class=\"time\" x=\"{x}\" y=\"{y}\">{}</text>", clock(second));
        }
    }

    fn draw_marks(&self, svg: &mut String, marks: &[Mark], with_words: bool) {
        for (number, (second, words)) in (0..).zip(marks) {
            let (x, top, bottom) = (self.x(*second), TOP, self.height - BOTTOM);
            let _ = write!(svg, "<line class=\"mark\" x1=\"{0}\" x2=\"{0}\" y1=\"{top}\" y2=\"{bottom}\"/>", tenths(x));
            if with_words {
                // Words stand on the side that has room, and neighbours below each other.
                let is_late = x > self.width * 7;
                let (anchor, at) = if is_late { ("end", x.saturating_sub(50)) } else { ("start", x + 50) };
                let y = TOP + 11 + number % 3 * 14;
                let _ = write!(
                    svg,
                    "<text class=\"said\" text-anchor=\"{anchor}\" x=\"{}\" y=\"{y}\">{}</text>",
                    tenths(at),
                    escape(words)
                );
            }
        }
    }

    fn draw_series(&self, svg: &mut String, series: &Series, filled: bool) {
        for run in runs(&series.values) {
            let points: Vec<(u64, u64)> =
                run.iter().map(|(second, value)| (self.x(second + 1), self.y(*value))).collect();
            let path = points.iter().map(|(x, y)| format!("{} {}", tenths(*x), tenths(*y)));
            let path = path.collect::<Vec<_>>().join(" L");
            let (first, last) = (points[0].0, points[points.len() - 1].0);
            if filled && points.len() > 1 {
                let floor = self.height - BOTTOM;
                let (first, last) = (tenths(first), tenths(last));
                let colour = series.colour;
                let _ = write!(svg, "<path class=\"a{colour}\" d=\"M{first} {floor} L{path} L{last} {floor}Z\"/>");
            }
            // A single point is drawn as a dot, which a line without length with round ends is.
            let path = if points.len() == 1 { format!("{path} L{path}") } else { path };
            let _ = write!(svg, "<path class=\"l l{}\" d=\"M{path}\"/>", series.colour);
        }
    }

    /// Invisible columns that say their values under the pointer.
    fn draw_columns(&self, svg: &mut String, series: &[&Series], unit: Unit) {
        let seconds = usize::try_from(self.seconds).unwrap_or(COLUMNS_MAX);
        let step = seconds.div_ceil(COLUMNS_MAX).max(1);
        for first in (0..seconds).step_by(step) {
            let last = (first + step).min(seconds);
            let mut words = clock(last as u64);
            for series in series {
                let values = series.values.get(first..last.min(series.values.len())).unwrap_or_default();
                if let Some(most) = values.iter().flatten().max() {
                    let _ = write!(words, "\n{}: {}", series.name, unit.say(*most));
                }
            }
            let (from, to) = (self.x(first as u64), self.x(last as u64));
            let _ = write!(
                svg,
                "<rect class=\"col\" x=\"{}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
                tenths(from),
                tenths(to - from),
                self.height - TOP - BOTTOM,
                escape(&words)
            );
        }
    }
}

/// Values that follow one another: seconds without one part them, unless they come as rarely as samples do.
fn runs(values: &[Option<u64>]) -> Vec<Vec<(u64, u64)>> {
    const GAP_SECONDS_MAX: u64 = 5;
    let mut runs: Vec<Vec<(u64, u64)>> = Vec::new();
    for (second, value) in (0..).zip(values) {
        let Some(value) = value else { continue };
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(last, _)| second - last <= GAP_SECONDS_MAX) => {
                run.push((second, *value));
            }
            _ => runs.push(vec![(second, *value)]),
        }
    }
    runs
}

/// Tenths of a pixel as SVG reads them.
fn tenths(value: u64) -> String {
    if value.is_multiple_of(10) { (value / 10).to_string() } else { format!("{}.{}", value / 10, value % 10) }
}

/// Seconds as minutes and seconds.
pub(super) fn clock(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

/// Text as HTML shows it.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_steps_that_people_count_in() {
        #[track_caller]
        fn check(unit: Unit, values: &[u64], ticks: &[u64]) {
            let series = Series { name: "x", colour: 1, values: values.iter().copied().map(Some).collect() };
            assert_eq!(Scale::of(&[&series], unit).ticks, ticks);
        }
        check(Unit::Count, &[0], &[0, 1]);
        check(Unit::Count, &[7], &[0, 2, 4, 6, 8]);
        check(Unit::PerSecond, &[4_980], &[0, 1000, 2000, 3000, 4000, 5000]);
        check(Unit::Memory, &[150 * 1024], &[0, 51_200, 102_400, 153_600]);
        check(Unit::Micros, &[0, 1_500, 90_000], &[1_000, 10_000, 100_000]);
        check(Unit::Micros, &[1_000], &[1_000, 10_000]);
    }

    #[test]
    fn powers_of_ten_lie_equally_far_apart() {
        let series = Series { name: "x", colour: 1, values: vec![Some(1_000), Some(900_000)] };
        let scale = Scale::of(&[&series], Unit::Micros);
        assert_eq!((scale.permille(1_000), scale.permille(1_000_000), scale.permille(0)), (0, 1000, 0));
        let third = scale.permille(10_000);
        assert!((320..347).contains(&third), "{third}");
    }

    #[test]
    fn gaps_part_a_line() {
        let values = [Some(1), Some(2), None, Some(3), None, None, None, None, None, None, Some(4)];
        let lengths: Vec<usize> = runs(&values).iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1]);
    }

    #[test]
    fn what_is_drawn_is_sound_markup() {
        let series = Series { name: "a<b", colour: 1, values: vec![Some(3), None, Some(5)] };
        let chart = Chart { title: "T & t", note: "n", unit: Unit::Count, series: vec![series], is_wide: true };
        let html = chart.draw(&[(1, "cut \"off\"".to_owned())]);
        assert!(html.contains("T &amp; t") && html.contains("a&lt;b") && html.contains("cut &quot;off&quot;"));
        assert_eq!(html.matches('<').count(), html.matches('>').count());
        let empty = Chart { series: vec![], ..chart };
        assert_eq!(empty.draw(&[]), "");
    }

    #[test]
    fn small_words() {
        assert_eq!((clock(65), clock(3_725)), ("1:05".into(), "1:02:05".into()));
        assert_eq!((tenths(120), tenths(125)), ("12".into(), "12.5".into()));
    }
}
