//! What the person sees: a table that is drawn anew in place on a terminal, and lines where there is none.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::Row;

/// Between two tables where lines cannot be drawn anew.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Screen {
    page: String,
    terminal: bool,
    /// Lines of the table on the screen, to be drawn over.
    drawn: usize,
    plain_next: Duration,
    /// What each store had applied when it was last seen; a server that is down does not make it less.
    applied: Vec<u64>,
}

impl Screen {
    pub(super) fn new(page: String) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { page, terminal, drawn: 0, plain_next: Duration::ZERO, applied: Vec::new() }
    }

    /// Says something that stays on the screen.
    pub(super) fn say(&mut self, text: &str) {
        self.erase();
        eprintln!("* {text}");
        self.plain_next = Duration::ZERO;
    }

    /// Draws the table; `last` is drawn even where lines cannot be drawn anew.
    pub(super) fn draw(&mut self, rows: &[Row], elapsed: Duration, last: bool) {
        self.applied.resize(rows.len(), 0);
        for (known, row) in self.applied.iter_mut().zip(rows) {
            *known = row.applied.max(*known);
        }
        if !self.terminal {
            if elapsed < self.plain_next && !last {
                return;
            }
            self.plain_next = elapsed + PLAIN_EVERY;
        }
        self.erase();
        let mut text = format!(
            "{:>4} s   {:<10} {:>7} {:>8} {:>8}   {}\n",
            elapsed.as_secs(),
            "store",
            "sold",
            "applied",
            "backlog",
            "link"
        );
        for (row, applied) in rows.iter().zip(&self.applied) {
            let backlog = row.backlog.map_or_else(|| "?".to_owned(), |events| events.to_string());
            text.push_str(&format!(
                "         {:<10} {:>7} {:>8} {:>8}   {}\n",
                row.store, row.sold, applied, backlog, row.link
            ));
        }
        if self.terminal {
            text.push_str(&format!("         live page: {}\n", self.page));
        }
        let mut stderr = std::io::stderr().lock();
        // A screen that is gone is no reason to stop selling.
        let _ = stderr.write_all(text.as_bytes());
        self.drawn = text.lines().count();
    }

    fn erase(&mut self) {
        if self.terminal && self.drawn > 0 {
            eprint!("\x1b[{}A\x1b[J", self.drawn);
        }
        self.drawn = 0;
    }
}
