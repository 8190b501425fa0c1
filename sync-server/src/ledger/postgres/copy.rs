//! Rows on their way into a table, in the binary form of COPY.
//!
//! They are written into one buffer as they come, without a value or a row of their own in memory.

use bytes::{BufMut, Bytes, BytesMut};
use tokio_postgres::types::{IsNull, Type};

use super::database::{ValueError, put_text};
use crate::ledger::database::Cell;

/// What a binary COPY begins with: its mark, and no flags and no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What it ends with, in place of a number of columns.
const TRAILER: i16 = -1;

/// The length of a value that is missing.
const MISSING: i32 = -1;

/// A buffer this large is given to the connection whole, which writes it in pieces.
const FIRST_BYTES: usize = 64 * 1024;

/// The rows for one table.
#[derive(Debug, Default)]
pub(super) struct Copy {
    rows: BytesMut,
}

impl Copy {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the rows, with beginning and end.
    pub(super) fn take(&mut self) -> Bytes {
        self.rows.put_i16(TRAILER);
        self.rows.split().freeze()
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Begins a row of so many columns.
    pub(super) fn row(&mut self, columns: i16) -> RowOut<'_> {
        if self.rows.is_empty() {
            self.rows.reserve(FIRST_BYTES);
            self.rows.put_slice(HEADER);
        }
        self.rows.put_i16(columns);
        RowOut(&mut self.rows)
    }

    /// Adds a row of cells for columns of these types.
    pub(super) fn cells(&mut self, cells: &[Cell<'_>], types: &[Type]) -> Result<(), ValueError> {
        let columns = i16::try_from(cells.len()).unwrap_or(i16::MAX);
        let out = self.row(columns).0;
        for (cell, ty) in cells.iter().zip(types) {
            let start = out.len();
            out.put_i32(MISSING);
            if matches!(cell.encode(ty, out)?, IsNull::No) {
                fill_length(out, start);
            }
        }
        Ok(())
    }
}

/// Writes the length of the value that was put behind its place.
fn fill_length(out: &mut BytesMut, start: usize) {
    let length = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    (&mut out[start..start + 4]).put_i32(length);
}

/// A row that is being written; the caller knows its columns.
pub(super) struct RowOut<'a>(&'a mut BytesMut);

impl RowOut<'_> {
    pub(super) fn bigint(self, number: i64) -> Self {
        self.0.put_i32(8);
        self.0.put_i64(number);
        self
    }

    pub(super) fn integer(self, number: i32) -> Self {
        self.0.put_i32(4);
        self.0.put_i32(number);
        self
    }

    pub(super) fn smallint(self, number: i16) -> Self {
        self.0.put_i32(2);
        self.0.put_i16(number);
        self
    }

    /// A date, as days since 1970-01-01.
    pub(super) fn date(self, days: i32) -> Self {
        self.integer(days.saturating_sub(10_957))
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        self.0.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        self.0.put_slice(bytes);
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        let start = self.0.len();
        self.0.put_i32(MISSING);
        put_text(text, self.0);
        fill_length(self.0, start);
        self
    }

    pub(super) fn maybe_text(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(text),
            None => {
                self.0.put_i32(MISSING);
                self
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_as_postgresql_wants_them() {
        let mut copy = Copy::default();
        assert!(copy.is_empty());
        copy.row(3).integer(7).text("a\0b").maybe_text(None);
        copy.cells(&[Cell::Number(10_957), Cell::Nothing], &[Type::DATE, Type::TEXT]).expect("fits");
        let mut bytes = copy.take();
        assert_eq!(bytes.split_to(HEADER.len()), HEADER);
        let row = [0, 3, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 5, b'a', 0xef, 0xbf, 0xbd, b'b', 0xff, 0xff, 0xff, 0xff];
        assert_eq!(bytes.split_to(row.len()), row.as_slice());
        let row = [0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(bytes, row.as_slice());
        assert!(copy.is_empty());
        copy.row(1).bigint(1);
        assert!(copy.cells(&[Cell::Number(i64::MAX)], &[Type::INT4]).is_err());
    }
}
