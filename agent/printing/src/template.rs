//! Templates: text with holes for data, which a person can edit.
//!
//! ```text
//! {% for line in lines %}
//! {{ line.name }} || {{ line.amount_minor|money }}
//! {% endfor %}
//! [big bold]TOTAL || {{ total_minor|money }}
//! [cut]
//! ```
//!
//! The holes are those of Jinja: `{{ name }}` prints a value, `{% if %}`, `{% for %}` and `{% set %}` decide what is printed,
//! `{# #}` is a remark. A tag or remark that has a line for itself prints no line, and a tag begins and ends on one line. A
//! name that the data does not have is an error. `money` prints minor units in the currency of the data, `quantity` prints millionths.
//!
//! What is left is read line by line:
//!
//! | line | printed |
//! |---|---|
//! | `text` | the text; spaces at its beginning count |
//! | `left ` `\|\|` ` right` | two columns |
//! | `[center bold]text` | bold, wide, tall, big, huge; left, center, right |
//! | `---`, `===` | a line across |
//! | `[qr]text`, `[qr=4]text` | a QR code, with the dots of a module |
//! | `[feed]`, `[feed=3]` | white paper |
//! | `[cut]` | the end of the sheet or label |
//! | `[drawer]`, `[drawer=2]` | opens the first or second drawer |
//! | `\[`, `\|`, `\-`, `\=`, `\\` | the character itself |
//!
//! Only what the template itself says is read like this. A product that is called `[cut]` is printed so.

mod filters;
mod kind;

use std::borrow::Cow;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, OutputSpan, OutputSpanKind, UndefinedBehavior};
use serde_json::Value;

pub use kind::Kind;

use crate::context::sample;
use crate::document::Document;
use crate::markup::{self, Char, SourceLine};

/// Bytes of a template: twenty times the longest of the built-in ones.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024;
/// Steps of a template: a receipt of a thousand lines takes a tenth of it.
const FUEL: u64 = 1_000_000;

/// Why a template gives no document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template {template}, line {line}: {reason}")]
pub struct TemplateError {
    /// The template's name.
    pub template: String,
    /// The line in it, from 1; 0 if it is about the whole.
    pub line: usize,
    /// What is wrong, in words for whoever edits it.
    pub reason: String,
}

/// A template whose tags are in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    name: String,
    source: String,
}

impl Template {
    /// Takes a template's text. Names in it are checked when it is rendered.
    pub fn parse(name: &str, source: &str) -> Result<Self, TemplateError> {
        let failed = |line, reason| TemplateError { template: name.to_owned(), line, reason };
        if source.len() > SOURCE_BYTES_MAX {
            return Err(failed(0, format!("{} bytes, at most {SOURCE_BYTES_MAX}", source.len())));
        }
        let source = without_empty_lines_of_tags(source).map_err(|(line, reason)| failed(line, reason.to_owned()))?;
        let template = Self { name: name.to_owned(), source };
        template
            .environment()
            .template_from_named_str(name, &template.source)
            .map_err(|error| template.error(&error))?;
        Ok(template)
    }

    /// The template that is built in for a kind of paper.
    pub fn built_in(kind: Kind) -> Self {
        Self::parse(kind.name(), kind.built_in_source()).expect("a test parses every one of them")
    }

    /// A template that somebody edited, tried out with made-up data. A line that the data never reaches is not tried.
    pub fn checked(kind: Kind, source: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(kind.name(), source)?;
        template.render(&sample(kind))?;
        Ok(template)
    }

    /// Fills in the data.
    pub fn render(&self, data: &Value) -> Result<Document, TemplateError> {
        let environment = self.environment();
        let template =
            environment.template_from_named_str(&self.name, &self.source).map_err(|error| self.error(&error))?;
        let (text, spans) = template.render_with_spans(Serde(data)).map_err(|error| self.error(&error))?;
        let lines = self.lines(&text, &spans);
        markup::read(&lines).map_err(|(line, error)| TemplateError {
            template: self.name.clone(),
            line,
            reason: error.to_string(),
        })
    }

    fn environment(&self) -> Environment<'_> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let syntax = SyntaxConfig::builder().keep_trailing_newline(true).trim_blocks(true).build();
        environment.set_syntax(syntax.expect("the tags are Jinja's own"));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_formatter(filters::print);
        environment.add_filter("money", filters::money);
        environment.add_filter("quantity", filters::quantity);
        environment
    }

    fn error(&self, error: &minijinja::Error) -> TemplateError {
        let reason = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => "takes too long".to_owned(),
            (ErrorKind::UndefinedError, None) => "a name that the data does not have".to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        TemplateError { template: self.name.clone(), line: error.line().unwrap_or(0), reason }
    }

    /// Splits the text into lines. Only line ends of the template itself end a line.
    fn lines(&self, text: &str, spans: &[OutputSpan]) -> Vec<SourceLine> {
        let mut lines = Vec::new();
        let mut line = SourceLine { number: 1, chars: Vec::new() };
        for span in spans {
            let literal = span.kind() == OutputSpanKind::Raw;
            let mut number = span.line();
            for c in text.get(span.output_range()).unwrap_or_default().chars() {
                if line.chars.is_empty() {
                    line.number = number;
                }
                match c {
                    '\n' if literal => {
                        number += 1;
                        lines.push(std::mem::replace(&mut line, SourceLine { number, chars: Vec::new() }));
                    }
                    '\n' => line.chars.push(Char { c: ' ', literal }),
                    '\r' => {}
                    _ => line.chars.push(Char { c, literal }),
                }
            }
        }
        if !line.chars.is_empty() {
            lines.push(line);
        }
        lines
    }
}

/// A line that holds one tag and nothing else gives no line of paper. Jinja drops the line end behind every tag instead, which
/// would join a line that only ends in a tag with the next one; there the line end is kept.
fn without_empty_lines_of_tags(source: &str) -> Result<String, (usize, &'static str)> {
    let mut prepared = String::with_capacity(source.len());
    for (at, line) in source.lines().enumerate() {
        for (open, close) in [("{%", "%}"), ("{{", "}}"), ("{#", "#}")] {
            if line.matches(open).count() != line.matches(close).count() {
                return Err((at + 1, "a tag begins and ends on one line"));
            }
        }
        prepared.push_str(&line_of_tag(line));
        prepared.push('\n');
    }
    Ok(prepared)
}

fn line_of_tag(line: &str) -> Cow<'_, str> {
    let bare = line.trim();
    let tags = line.matches("{%").count() + line.matches("{#").count();
    let ends_in_tag = bare.ends_with("%}") || bare.ends_with("#}");
    if tags == 1 && ends_in_tag && (bare.starts_with("{%") || bare.starts_with("{#")) {
        Cow::Borrowed(bare)
    } else if ends_in_tag {
        Cow::Owned(format!("{}{{{{ '' }}}}", line.trim_end()))
    } else {
        Cow::Borrowed(line)
    }
}

#[cfg(test)]
mod tests;
