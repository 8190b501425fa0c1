//! The bare limit of a ledger in PostgreSQL: the rows that the server wrote, copied once more into the same tables by one
//! connection, as the server has one, and nothing else.
//!
//! Rows are written out in the binary form of COPY before the clock starts, a file for each table and database transaction,
//! and read in by the database itself. So there is not even a client that would have to send them. Tables, months and
//! indexes are those of a copy of the server's own database, emptied.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::per_second;
use crate::surroundings::Database;

/// A table, the number of the event in a row, and by how many bits it is shifted there.
const TABLES: [(&str, &str, u32); 4] = [
    ("batches", "first_event_no", 0),
    ("fact_ids", "event_no", 0),
    ("sales", "event_no", 0),
    ("sale_lines", "line_no", 10),
];

/// Copies the rows of at most so many sales, and gives sales per second. Nobody may be connected to the database.
pub(super) fn copy(database: &Database, sales_max: usize, sales_per_commit: usize) -> anyhow::Result<u64> {
    let Database { server, url } = database;
    let run = |url: &str, script: &str| server.script(url, script).map_err(anyhow::Error::msg);
    let file = |table: &str, part: usize| server.folder().join(format!("bare-{table}-{part}")).display().to_string();

    // The last event of each part; what belongs to a part lies behind the last of the one before.
    let ends = server.query(
        url,
        &format!(
            "SELECT max(event_no), count(*) FROM (SELECT event_no, (row_number() OVER (ORDER BY event_no) - 1) / {sales_per_commit}
             FROM sales ORDER BY event_no LIMIT {sales_max}) AS picked (event_no, part) GROUP BY part ORDER BY part"
        ),
    );
    let (mut sales, mut from, mut parts) = (0, 0, 0);
    let (mut write, mut read) = (String::new(), String::new());
    for (part, row) in ends.iter().enumerate() {
        let (last, count) = row.split_once(' ').context("a part of two columns")?;
        let last: i64 = last.parse().context("the number of an event")?;
        sales += count.parse::<u64>().context("a number of sales")?;
        read.push_str("BEGIN;\n");
        for (table, column, shift) in TABLES {
            let (low, high, file) = (from << shift, (last + 1) << shift, file(table, part));
            writeln!(
                write,
                "COPY (SELECT * FROM {table} WHERE {column} >= {low} AND {column} < {high} ORDER BY 1)
                 TO '{file}' (FORMAT binary);"
            )?;
            writeln!(read, "COPY {table} FROM '{file}' (FORMAT binary);")?;
        }
        read.push_str("COMMIT;\n");
        (from, parts) = (last + 1, part + 1);
    }
    ensure!(sales > 0, "there are no sales in the database");
    run(url, &write).context("write the rows out")?;
    let bare = server.copy_of(url);
    run(&bare, "TRUNCATE batches, fact_ids, sales, sale_lines; CHECKPOINT;").context("empty the copy")?;
    let started = Instant::now();
    run(&bare, &read).context("copy the rows in")?;
    let elapsed = started.elapsed();
    let copied = server.query(&bare, "SELECT count(*) FROM sales").concat();
    ensure!(copied == sales.to_string(), "{copied} of {sales} sales were copied");
    for (table, part) in TABLES.iter().flat_map(|(table, ..)| (0..parts).map(move |part| (table, part))) {
        // The folder goes with the server.
        let _ = std::fs::remove_file(file(table, part));
    }
    Ok(per_second(sales, elapsed))
}
