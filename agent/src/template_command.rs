//! `breakwater-agent template`: looking at templates and trying them out, without an agent and without a printer.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use printing::context::sample;
use printing::template::{Kind, Template, TemplateError};
use printing::{Profile, encode, interpret, png};
use serde_json::Value;

use crate::cli::TemplateCommand;
use crate::printing::own_template;

/// A template could not be looked at.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the values in a variant are named as in its text")]
pub enum TemplateCommandError {
    #[error("read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("read {} as JSON", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("use {0}")]
    Template(#[from] TemplateError),
    #[error("use {count} templates")]
    Broken { count: usize },
    #[error("write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("write the answer")]
    Output(#[from] io::Error),
}

/// Carries the command out on a data folder.
pub fn run(command: TemplateCommand, data_dir: &Path, out: &mut impl Write) -> Result<(), TemplateCommandError> {
    match command {
        TemplateCommand::List => list(data_dir, out),
        TemplateCommand::Show { kind } => Ok(out.write_all(kind.built_in_source().as_bytes())?),
        TemplateCommand::Check { kind, file } => check(kind, file.as_deref(), data_dir, out),
        TemplateCommand::Preview { kind, out: picture, file, data, profile } => {
            let template = template(kind, file.as_deref(), data_dir)?;
            let data = data.as_deref().map_or_else(|| Ok(sample(kind)), read_json)?;
            preview(&template, &data, &profile, &picture, out)
        }
    }
}

fn list(data_dir: &Path, out: &mut impl Write) -> Result<(), TemplateCommandError> {
    for kind in Kind::ALL {
        let which = match own_template(data_dir, kind) {
            None => "built-in".to_owned(),
            Some(Ok(_)) => "the store's own".to_owned(),
            Some(Err(error)) => format!("built-in, because the store's own does not work: {error}"),
        };
        writeln!(out, "{:<15} {which}", kind.name())?;
    }
    Ok(())
}

fn check(
    kind: Option<Kind>,
    file: Option<&Path>,
    data_dir: &Path,
    out: &mut impl Write,
) -> Result<(), TemplateCommandError> {
    if let (Some(kind), Some(path)) = (kind, file) {
        Template::checked(kind, &read(path)?)?;
        writeln!(out, "{}: works", path.display())?;
        return Ok(());
    }
    let mut count = 0;
    for kind in Kind::ALL.into_iter().filter(|known| kind.is_none_or(|kind| kind == *known)) {
        match own_template(data_dir, kind) {
            None => {}
            Some(Ok(_)) => writeln!(out, "{}: works", kind.name())?,
            Some(Err(error)) => {
                count += 1;
                writeln!(out, "{error}")?;
            }
        }
    }
    if count == 0 { Ok(()) } else { Err(TemplateCommandError::Broken { count }) }
}

fn template(kind: Kind, file: Option<&Path>, data_dir: &Path) -> Result<Template, TemplateCommandError> {
    match (file, own_template(data_dir, kind)) {
        (Some(path), _) => Ok(Template::parse(kind.name(), &read(path)?)?),
        (None, Some(own)) => Ok(own?),
        (None, None) => Ok(Template::built_in(kind)),
    }
}

fn preview(
    template: &Template,
    data: &Value,
    profile: &Profile,
    picture: &Path,
    out: &mut impl Write,
) -> Result<(), TemplateCommandError> {
    let paper = interpret(&encode(&template.render(data)?, profile), profile);
    fs::write(picture, png::preview(&paper))
        .map_err(|source| TemplateCommandError::Write { path: picture.to_owned(), source })?;
    writeln!(out, "{}: {} x {} dots", picture.display(), paper.bitmap.width(), paper.bitmap.height())?;
    Ok(())
}

fn read(path: &Path) -> Result<String, TemplateCommandError> {
    fs::read_to_string(path).map_err(|source| TemplateCommandError::Read { path: path.to_owned(), source })
}

fn read_json(path: &Path) -> Result<Value, TemplateCommandError> {
    serde_json::from_str(&read(path)?).map_err(|source| TemplateCommandError::Json { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(command: TemplateCommand, data_dir: &Path) -> (String, Result<(), TemplateCommandError>) {
        let mut out = Vec::new();
        let done = run(command, data_dir, &mut out);
        (String::from_utf8(out).expect("text"), done)
    }

    #[test]
    fn what_is_shown_can_be_edited_checked_and_drawn() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = folder.path().join("templates");
        fs::create_dir(&own).expect("makes it");
        let (shown, done) = ran(TemplateCommand::Show { kind: Kind::Receipt }, folder.path());
        done.expect("works");
        fs::write(own.join("receipt.txt"), &shown).expect("writes");
        let (said, done) = ran(TemplateCommand::Check { kind: None, file: None }, folder.path());
        done.expect("works");
        assert_eq!(said, "receipt: works\n");
        let picture = folder.path().join("receipt.png");
        let preview = || TemplateCommand::Preview {
            kind: Kind::Receipt,
            out: picture.clone(),
            file: None,
            data: None,
            profile: Profile::USUAL,
        };
        ran(preview(), folder.path()).1.expect("works");
        assert!(fs::read(&picture).expect("is there").starts_with(b"\x89PNG"));

        fs::write(own.join("receipt.txt"), "one\n[bald]two").expect("writes");
        let (said, done) = ran(TemplateCommand::Check { kind: None, file: None }, folder.path());
        assert!(said.contains("template receipt, line 2") && done.is_err(), "{said}");
        assert!(ran(preview(), folder.path()).1.is_err());
        let (said, done) = ran(TemplateCommand::List, folder.path());
        done.expect("works");
        assert!(said.contains("does not work") && said.lines().count() == Kind::ALL.len(), "{said}");
    }
}
