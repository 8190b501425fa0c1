//! Rows and cells of a delimited text, with the line on which each row starts.
//!
//! The reader is strict about quotes, after RFC 4180: a quote that is never closed would otherwise swallow the rest of a
//! file into one cell, and a stray one would move amounts into other columns, both without a word. What it accepts it
//! reads as the `csv` crate does, which the tests check.

use std::borrow::Cow;

/// How the cells of a file are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Between two cells.
    pub(super) delimiter: char,
    /// Whether a cell may stand in double quotes. Without, a quote is a character like any other.
    pub(super) quotes: bool,
}

/// Why a text cannot be read any further. Lines count from one, as in an editor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RowsError {
    /// A quoted cell never ends.
    #[error("line {line}: a quote opens a cell here and is never closed")]
    Unclosed {
        /// Where it opens.
        line: u64,
    },
    /// A quote where none may stand.
    #[error(
        "line {line}: a quote stands inside a cell (inside a quoted cell write it twice; `quotes = false` in the \
         mapping reads quotes as plain text)"
    )]
    Stray {
        /// Where.
        line: u64,
    },
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The line on which it starts, from one.
    pub(super) line: u64,
    /// Its cells as they stand there, blanks included.
    pub(super) cells: Vec<Cow<'a, str>>,
}

impl Row<'_> {
    /// A cell without the blanks around it; nothing where the row is too short.
    pub(super) fn cell(&self, place: usize) -> &str {
        self.cells.get(place).map_or("", |cell| cell.trim())
    }
}

/// Reads row after row. Empty lines are skipped. After an error nothing more comes.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    rest: &'a str,
    line: u64,
    dialect: Dialect,
}

impl<'a> Rows<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { rest: text, line: 1, dialect }
    }

    fn skip_empty_lines(&mut self) {
        while self.take_line_end() {}
    }

    /// Takes a line end (`\n`, `\r\n` or `\r`) if one is next.
    fn take_line_end(&mut self) -> bool {
        let rest = self.rest.strip_prefix('\n').or_else(|| {
            let rest = self.rest.strip_prefix('\r')?;
            Some(rest.strip_prefix('\n').unwrap_or(rest))
        });
        if let Some(rest) = rest {
            self.rest = rest;
            self.line += 1;
        }
        rest.is_some()
    }

    fn cell(&mut self) -> Result<Cow<'a, str>, RowsError> {
        if self.dialect.quotes && self.rest.starts_with('"') { self.quoted() } else { self.plain() }
    }

    fn plain(&mut self) -> Result<Cow<'a, str>, RowsError> {
        let delimiter = self.dialect.delimiter;
        let end = self.rest.find([delimiter, '\n', '\r']).unwrap_or(self.rest.len());
        let (cell, rest) = self.rest.split_at(end);
        if self.dialect.quotes && cell.contains('"') {
            return Err(RowsError::Stray { line: self.line });
        }
        self.rest = rest;
        Ok(Cow::Borrowed(cell))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, RowsError> {
        let opened = self.line;
        self.rest = &self.rest[1..];
        let mut cell = Cow::Borrowed("");
        loop {
            let end = self.rest.find('"').ok_or(RowsError::Unclosed { line: opened })?;
            let (part, rest) = (&self.rest[..end], &self.rest[end + 1..]);
            self.line += line_ends(part);
            self.rest = rest;
            if cell.is_empty() {
                cell = Cow::Borrowed(part);
            } else {
                cell.to_mut().push_str(part);
            }
            let Some(rest) = rest.strip_prefix('"') else { break };
            self.rest = rest;
            cell.to_mut().push('"');
        }
        let ends = self.rest.is_empty() || self.rest.starts_with(['\n', '\r', self.dialect.delimiter]);
        if ends { Ok(cell) } else { Err(RowsError::Stray { line: self.line }) }
    }

    fn row(&mut self) -> Result<Row<'a>, RowsError> {
        let mut row = Row { line: self.line, cells: Vec::new() };
        loop {
            row.cells.push(self.cell()?);
            match self.rest.strip_prefix(self.dialect.delimiter) {
                Some(rest) => self.rest = rest,
                None => break,
            }
        }
        // What stopped the last cell is a line end or the end of the text.
        self.take_line_end();
        Ok(row)
    }
}

fn line_ends(text: &str) -> u64 {
    let ends = text.replace("\r\n", "\n").matches(['\n', '\r']).count();
    u64::try_from(ends).unwrap_or(u64::MAX)
}

impl<'a> Iterator for Rows<'a> {
    type Item = Result<Row<'a>, RowsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_empty_lines();
        if self.rest.is_empty() {
            return None;
        }
        let row = self.row();
        if row.is_err() {
            self.rest = "";
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: Dialect = Dialect { delimiter: ',', quotes: true };

    fn read(text: &str, dialect: Dialect) -> Result<Vec<(u64, Vec<String>)>, RowsError> {
        Rows::new(text, dialect)
            .map(|row| row.map(|row| (row.line, row.cells.into_iter().map(Cow::into_owned).collect())))
            .collect()
    }

    #[test]
    fn cells_and_lines() {
        #[track_caller]
        fn check(text: &str, rows: &[(u64, &[&str])]) {
            let rows: Vec<(u64, Vec<String>)> =
                rows.iter().map(|(line, cells)| (*line, cells.iter().map(|&cell| cell.to_owned()).collect())).collect();
            assert_eq!(read(text, CSV), Ok(rows), "{text:?}");
        }
        check("", &[]);
        check("\n\r\n\n", &[]);
        check("a,b\nc,d", &[(1, &["a", "b"]), (2, &["c", "d"])]);
        check("a,b\r\nc,d\r\n", &[(1, &["a", "b"]), (2, &["c", "d"])]);
        check("a\rb\r", &[(1, &["a"]), (2, &["b"])]);
        check("a\n\n\nb", &[(1, &["a"]), (4, &["b"])]);
        check(",\n", &[(1, &["", ""])]);
        check("\"a,b\",c", &[(1, &["a,b", "c"])]);
        check("\"a\"\"b\",\"\",\"\"\"\"", &[(1, &["a\"b", "", "\""])]);
        check("\"a\nb\r\nc\",d\ne", &[(1, &["a\nb\r\nc", "d"]), (4, &["e"])]);
        check("\u{8336}, x ", &[(1, &["\u{8336}", " x "])]);
    }

    #[test]
    fn broken_quotes() {
        #[track_caller]
        fn check(text: &str, error: RowsError) {
            assert_eq!(read(text, CSV), Err(error), "{text:?}");
        }
        check("a\nb,\"c\nd\n", RowsError::Unclosed { line: 2 });
        check("a\nb\"c", RowsError::Stray { line: 2 });
        check("a\n\"b\"c", RowsError::Stray { line: 2 });
        check("\"a\nb\" ,c", RowsError::Stray { line: 2 });
        let plain = Dialect { quotes: false, ..CSV };
        assert_eq!(read("5\" pipe,\"x", plain), Ok(vec![(1, vec!["5\" pipe".to_owned(), "\"x".to_owned()])]));
    }

    proptest! {
        /// What the `csv` crate writes, with quotes, line ends and delimiters inside cells, is read back as it was.
        #[test]
        fn reads_what_the_csv_crate_writes(
            rows in prop::collection::vec(prop::collection::vec("[a\",;\n\r\u{8336} ]{0,6}", 2..5), 0..8),
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("memory");
            }
            let text = String::from_utf8(writer.into_inner().expect("memory")).expect("UTF-8");
            let read: Vec<_> = read(&text, CSV).expect("well formed").into_iter().map(|row| row.1).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn any_text_gets_an_answer(text in "[a\",\n\r]{0,40}") {
            let _ = read(&text, CSV);
        }
    }
}
