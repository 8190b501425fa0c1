//! A run as one HTML file: what it was, whether the balance is exact, and charts of every second. Nothing is fetched from
//! anywhere, there are no scripts, and it follows the reader's light or dark setting.

mod chart;
mod unit;

use std::fmt::Write as _;

use chart::{Chart, Mark, Series, clock, escape};
use unit::Unit;

use super::record::Row;
use super::run::Played;
use super::words::{grouped, mib, micros};
use crate::bench::Machine;

/// Rows of the table at the end; of a longer run every n-th second is shown.
const TABLE_ROWS_MAX: usize = 600;

/// A run, with what is said of it.
#[derive(Debug)]
pub struct Page<'a> {
    /// The heading.
    pub title: &'a str,
    /// What was run, in a sentence.
    pub about: &'a str,
    /// What was set, as pairs of a name and a value.
    pub settings: Vec<(String, String)>,
    /// Moments in milliseconds, and what happens then.
    pub happenings: Vec<(u64, String)>,
    /// What it showed.
    pub played: &'a Played,
    /// Where.
    pub machine: &'a Machine,
    /// When it began, in words.
    pub began: String,
}

impl Page<'_> {
    /// The file.
    pub fn to_html(&self) -> String {
        let title = escape(self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <title>{title}: Breakwater under load</title><style>{}</style></head><body><main>",
            include_str!("page.css")
        );
        self.head(&mut html);
        self.tiles(&mut html);
        let marks: Vec<Mark> = self.happenings.iter().map(|(ms, words)| (ms / 1000, words.clone())).collect();
        html.push_str("<section class=\"charts\">");
        for chart in charts(&self.played.rows) {
            html.push_str(&chart.draw(&marks));
        }
        html.push_str("</section>");
        self.tables(&mut html);
        self.seconds(&mut html);
        html.push_str("</main></body></html>\n");
        html
    }

    fn head(&self, html: &mut String) {
        let balance = &self.played.balance;
        let (class, verdict) = match (balance.is_exact(), balance.applied) {
            (true, Some(_)) => ("good", "Balance exact: everything that was sold is at the centre, once"),
            (true, None) => ("good", "Everything that was sold is confirmed"),
            (false, _) => ("bad", "The balance is not exact"),
        };
        let _ = write!(
            html,
            "<header><p class=\"kind\">Breakwater under load</p><h1>{}</h1><p class=\"about\">{}</p>\
             <p class=\"verdict {class}\"><b>{verdict}</b><span>{}</span></p></header>",
            escape(self.title),
            escape(self.about),
            escape(&balance.to_string())
        );
        if !(balance.differs.is_empty() && balance.behind.is_empty()) {
            html.push_str("<ul class=\"differs\">");
            for difference in balance.behind.iter().chain(&balance.differs) {
                let _ = write!(html, "<li>{}</li>", escape(difference));
            }
            html.push_str("</ul>");
        }
    }

    fn tiles(&self, html: &mut String) {
        let played = self.played;
        let mut tiles: Vec<(String, &str)> = Vec::new();
        if let Some(fresh) = played.fresh {
            tiles.push((micros(fresh.p50_us), "sale to ack, median"));
            tiles.push((micros(fresh.p99_us), "sale to ack, 99 of 100"));
            tiles.push((micros(fresh.max_us), "worst age of a fresh sale"));
        }
        if let Some(till) = played.till {
            tiles.push((micros(till.p99_us), "till's answer, 99 of 100"));
        }
        if let Some(square_ms) = played.square_ms {
            tiles.push((micros(square_ms * 1000), "until the backlog was in"));
        }
        let peak = played.rows.iter().map(|row| row.acked).max().unwrap_or(0);
        tiles.push((format!("{}/s", grouped(peak)), "confirmed at most"));
        if let Some(rss) = played.server_rss_kb {
            tiles.push((mib(rss), "server's memory at most"));
        }
        if let Some(cpu) = played.cpu_ms_per_1000() {
            tiles.push((format!("{cpu} ms"), "server's processor for 1,000 sales"));
        }
        html.push_str("<section class=\"tiles\">");
        for (value, words) in tiles {
            let _ = write!(html, "<div><b>{}</b><span>{}</span></div>", escape(&value), escape(words));
        }
        html.push_str("</section>");
    }

    fn tables(&self, html: &mut String) {
        let played = self.played;
        let balance = &played.balance;
        let mut held = vec![
            ("Sold".to_owned(), grouped(balance.made)),
            ("Confirmed to the stores".to_owned(), grouped(balance.acked)),
            ("Must count at the centre".to_owned(), grouped(balance.expected)),
        ];
        if let (Some(applied), Some(minor)) = (balance.applied, balance.applied_minor) {
            held.push(("Counts at the centre".to_owned(), grouped(applied)));
            held.push(("Money that must be there".to_owned(), money(balance.expected_minor)));
            held.push(("Money that is there".to_owned(), money(minor)));
            held.push(("Stores that differ".to_owned(), grouped(balance.differing)));
        }
        if balance.expected_parked > 0 || balance.parked.is_some_and(|parked| parked > 0) {
            held.push(("Must be parked".to_owned(), grouped(balance.expected_parked)));
            held.push(("Is parked".to_owned(), grouped(balance.parked.unwrap_or_default())));
        }
        let machine = self.machine;
        let on = vec![
            ("Processor".to_owned(), format!("{}, {} cores", machine.cpu, machine.cores)),
            ("Memory".to_owned(), format!("{} MiB", grouped(machine.memory_mb))),
            ("Kernel".to_owned(), machine.kernel.clone()),
            ("File system".to_owned(), machine.filesystem.clone()),
            (
                "Build".to_owned(),
                if machine.optimised { "optimised" } else { "not optimised: times are longer than they are" }
                    .to_owned(),
            ),
            ("Load generator's memory at most".to_owned(), mib(played.own_rss_kb)),
            ("Began".to_owned(), self.began.clone()),
        ];
        html.push_str("<section class=\"tables\">");
        self.latencies(html);
        for (title, rows) in [("Balance", held), ("Settings", self.settings.clone()), ("Machine", on)] {
            let _ = write!(html, "<div><h2>{title}</h2><dl>");
            for (name, value) in rows {
                let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(&name), escape(&value));
            }
            html.push_str("</dl></div>");
        }
        html.push_str("</section>");
    }

    fn latencies(&self, html: &mut String) {
        let played = self.played;
        let kinds = [
            ("Fresh sale to ack", played.fresh),
            ("Odd stores, sale to ack", played.odd),
            ("Till's answer", played.till),
        ];
        html.push_str("<div><h2>Latency</h2><table class=\"left\"><thead><tr><th></th>");
        for name in ["count", "p50", "p90", "p99", "p99.9", "worst"] {
            let _ = write!(html, "<th>{name}</th>");
        }
        html.push_str("</tr></thead><tbody>");
        for (name, spread) in kinds {
            let Some(spread) = spread else { continue };
            let _ = write!(html, "<tr><td>{}</td><td>{}</td>", escape(name), grouped(spread.count));
            for us in [spread.p50_us, spread.p90_us, spread.p99_us, spread.p999_us, spread.max_us] {
                let _ = write!(html, "<td>{}</td>", micros(us));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div>");
    }

    fn seconds(&self, html: &mut String) {
        let rows = &self.played.rows;
        let step = rows.len().div_ceil(TABLE_ROWS_MAX).max(1);
        html.push_str("<details><summary>Every second as numbers</summary><div class=\"scroll\"><table><thead><tr>");
        for name in [
            "time",
            "made",
            "confirmed",
            "backlog",
            "oldest",
            "connected",
            "batches",
            "refused",
            "credit",
            "hold",
            "p50",
            "p99",
            "worst",
            "server",
            "CPU",
        ] {
            let _ = write!(html, "<th>{name}</th>");
        }
        html.push_str("</tr></thead><tbody>");
        for row in rows.iter().step_by(step) {
            let us = |value: Option<u64>| value.map(micros).unwrap_or_default();
            let cells = [
                clock(row.second),
                grouped(row.made),
                grouped(row.acked),
                grouped(row.backlog),
                micros(row.oldest_ms * 1000),
                grouped(row.connections),
                grouped(row.batches),
                grouped(row.refused),
                row.credit_events.map(grouped).unwrap_or_default(),
                row.hold_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
                us(row.p50_us),
                us(row.p99_us),
                us(row.max_us),
                row.server_rss_kb.map(mib).unwrap_or_default(),
                row.server_cpu_permille.map(|permille| format!("{} %", permille / 10)).unwrap_or_default(),
            ];
            html.push_str("<tr>");
            for cell in cells {
                let _ = write!(html, "<td>{}</td>", escape(&cell));
            }
            html.push_str("</tr>");
        }
        html.push_str("</tbody></table></div></details>");
    }
}

/// Minor units as people read them.
fn money(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", grouped(minor.unsigned_abs() / 100), minor.unsigned_abs() % 100)
}

/// What is drawn of a run.
fn charts(rows: &[Row]) -> Vec<Chart> {
    let series = |name, colour, value: fn(&Row) -> Option<u64>| Series {
        name,
        colour,
        values: rows.iter().map(value).collect(),
    };
    let chart = |title, note, unit, series| Chart { title, note, unit, series, is_wide: false };
    vec![
        Chart {
            title: "Sales",
            note: "Made in the stores, and confirmed by the centre after its commit, in each second.",
            unit: Unit::PerSecond,
            series: vec![
                series("confirmed", 1, |row| Some(row.acked)),
                series("made", 2, |row| Some(row.made)),
                series("applied, as the centre counts", 3, |row| row.applied),
            ],
            is_wide: true,
        },
        chart(
            "From sale to ack",
            "Sales that ordinary stores made while their line was up, as the store sees it.",
            Unit::Micros,
            vec![
                series("median", 1, |row| row.p50_us),
                series("99 of 100", 2, |row| row.p99_us),
                series("worst", 3, |row| row.max_us),
            ],
        ),
        chart(
            "Backlog",
            "Sales that are not confirmed, in all stores together.",
            Unit::Count,
            vec![series("not confirmed", 1, |row| Some(row.backlog)), series("of them old", 2, |row| Some(row.stale))],
        ),
        chart(
            "Oldest sale that is not confirmed",
            "Of any store, at the end of each second.",
            Unit::Millis,
            vec![series("age", 1, |row| Some(row.oldest_ms))],
        ),
        chart(
            "Credit: events",
            "How many events a store may put into its next batch.",
            Unit::Count,
            vec![
                series("granted, mean", 1, |row| row.credit_events),
                series("granted, least", 2, |row| row.credit_events_min),
            ],
        ),
        chart(
            "Credit: hold",
            "How long a store is asked to wait before its next batch.",
            Unit::Millis,
            vec![series("mean", 1, |row| row.hold_ms), series("longest", 2, |row| row.hold_ms_max)],
        ),
        chart(
            "Commit",
            "What the centre takes to commit a group to its ledger, as it says itself: the mean of five seconds.",
            Unit::Micros,
            vec![series("mean", 1, |row| row.commit_us)],
        ),
        chart(
            "Connections",
            "Stores that are connected, and messages that the centre refused for want of room.",
            Unit::Count,
            vec![
                series("connected", 1, |row| Some(row.connections)),
                series("refused in the second", 4, |row| (row.refused > 0).then_some(row.refused)),
            ],
        ),
        chart(
            "Batches",
            "Batches sent in each second.",
            Unit::PerSecond,
            vec![series("batches", 1, |row| Some(row.batches))],
        ),
        chart(
            "Till",
            "What a till at a real agent waits for its answer meanwhile.",
            Unit::Micros,
            vec![series("median", 1, |row| row.till_p50_us), series("99 of 100", 2, |row| row.till_p99_us)],
        ),
        chart(
            "Memory",
            "Resident memory.",
            Unit::Memory,
            vec![series("server", 1, |row| row.server_rss_kb), series("load generator", 2, |row| Some(row.own_rss_kb))],
        ),
        chart(
            "Processor",
            "100 % is one processor.",
            Unit::Processor,
            vec![
                series("server", 1, |row| row.server_cpu_permille),
                series("load generator", 2, |row| Some(row.own_cpu_permille)),
            ],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Balance, Spread};

    fn played(balance: Balance) -> Played {
        let row = |second| Row { second, made: 5, acked: 4, p50_us: Some(900), ..Row::default() };
        Played {
            rows: (1..=30).map(row).collect(),
            balance,
            fresh: Some(Spread { count: 9, p50_us: 900, p90_us: 1_000, p99_us: 2_000, p999_us: 3_000, max_us: 4_000 }),
            odd: None,
            till: None,
            till_sales: 0,
            square_ms: None,
            stale: 0,
            connected_at_start: 3,
            server_rss_kb: Some(2048),
            server_cpu_ms: Some(10),
            acked_in_that_time: 100,
            own_rss_kb: 1024,
            interrupted: false,
        }
    }

    #[test]
    fn a_page_stands_alone_and_says_what_came_of_it() {
        let machine = Machine::here(std::path::Path::new("."));
        let page = |played: &Played| {
            let settings = vec![("Stores".to_owned(), "3".to_owned())];
            let happenings = vec![(10_000, "a < b".to_owned())];
            let (title, began) = ("T", "today".to_owned());
            Page { title, about: "x & y", settings, happenings, played, machine: &machine, began }.to_html()
        };
        let exact = page(&played(Balance { made: 5, acked: 5, applied: Some(5), ..Balance::default() }));
        assert!(exact.contains("Balance exact") && exact.contains("a &lt; b") && exact.contains("x &amp; y"));
        for fetched in ["<script", "http://", "https://", "url(", "@import", "<link", "src="] {
            assert!(!exact.contains(fetched), "{fetched}");
        }
        let differs = vec!["store <7>: wrong".to_owned()];
        let wrong = page(&played(Balance { made: 5, acked: 5, differing: 1, differs, ..Balance::default() }));
        assert!(wrong.contains("not exact") && wrong.contains("store &lt;7&gt;: wrong"));
        assert_eq!(money(-123_456_789), "-1,234,567.89");
    }
}
