//! Templates that a person edits: files in the data folder, each in the place of a built-in one.
//!
//! A file is tried out with made-up data as soon as it changes. One that does not work leaves the built-in template in force, and
//! the people in the store read why.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use printing::Document;
use printing::template::{Kind, SOURCE_BYTES_MAX, Template, TemplateError};
use protocol::latest::print::PrintTemplateView;
use serde_json::Value;
use tokio::sync::watch;

use super::{Printing, telemetry};
use crate::writer::Writer;

/// The folder of the store's own templates, in the data folder.
pub const TEMPLATES_FOLDER: &str = "templates";

/// Between two looks at whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Under which a refused template stands in the notices, with the kind behind it.
const NOTICE: &str = "print_template";

/// The store's own template of a kind: none if there is no file.
pub fn own_template(data_dir: &Path, kind: Kind) -> Option<Result<Template, TemplateError>> {
    let path = file(&data_dir.join(TEMPLATES_FOLDER), kind);
    let failed = |reason: String| TemplateError { template: kind.name().to_owned(), line: 0, reason };
    let length = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(Err(failed(format!("{} cannot be read: {error}", path.display())))),
        Ok(metadata) => metadata.len(),
    };
    if usize::try_from(length).map_or(true, |length| length > SOURCE_BYTES_MAX) {
        return Some(Err(failed(format!("{length} bytes, at most {SOURCE_BYTES_MAX}"))));
    }
    Some(match fs::read_to_string(&path) {
        Ok(source) => Template::checked(kind, &source),
        Err(error) => Err(failed(format!("{} cannot be read: {error}", path.display()))),
    })
}

fn file(folder: &Path, kind: Kind) -> PathBuf {
    folder.join(format!("{}.txt", kind.name()))
}

/// How a file looked: whether another look is needed.
type Fingerprint = Option<(u64, Option<SystemTime>)>;

#[derive(Debug)]
struct Own {
    fingerprint: Fingerprint,
    template: Option<Result<Arc<Template>, TemplateError>>,
}

/// The templates in force.
#[derive(Debug)]
pub(super) struct Templates {
    data_dir: PathBuf,
    own: RwLock<BTreeMap<Kind, Own>>,
}

impl Templates {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), own: RwLock::new(BTreeMap::new()) }
    }

    /// Fills in data: by the store's own template, or by the built-in one where that does not work.
    pub(super) fn render(&self, kind: Kind, data: &Value) -> Result<Document, TemplateError> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let own = own.get(&kind).and_then(|own| own.template.as_ref()).and_then(|own| own.as_ref().ok()).cloned();
        match own.map(|own| own.render(data)) {
            Some(Ok(document)) => return Ok(document),
            // It worked with made-up data, so it is a rare line of it that does not.
            Some(Err(error)) => telemetry::template_did_not_fit(&error.to_string()),
            None => {}
        }
        Template::built_in(kind).render(data)
    }

    pub(super) fn views(&self) -> Vec<PrintTemplateView> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        let view = |kind: Kind| {
            let template = own.get(&kind).and_then(|own| own.template.as_ref());
            PrintTemplateView {
                kind: kind.name().to_owned(),
                own: matches!(template, Some(Ok(_))),
                trouble: match template {
                    Some(Err(error)) => error.to_string(),
                    Some(Ok(_)) | None => String::new(),
                },
            }
        };
        Kind::ALL.into_iter().map(view).collect()
    }

    /// Reads the files that have changed, and raises or settles the notice of each.
    pub(super) async fn look(&self, writer: &Writer) {
        for kind in Kind::ALL {
            let Some(trouble) = self.look_at(kind) else { continue };
            let key = format!("{NOTICE}.{}", kind.name());
            let noted = match trouble {
                Some(trouble) => {
                    telemetry::template_refused(&trouble);
                    let text = format!("The store's own template is not used, the built-in one is: {trouble}");
                    writer.raise_notice(key, text).await
                }
                None => writer.settle_notice(key).await.map(drop),
            };
            if let Err(error) = noted {
                telemetry::books_failed(&error);
            }
        }
    }

    /// Nothing if the file is as it was; else what is wrong with it, if something is.
    fn look_at(&self, kind: Kind) -> Option<Option<String>> {
        let metadata = fs::metadata(file(&self.data_dir.join(TEMPLATES_FOLDER), kind)).ok();
        let fingerprint = metadata.map(|metadata| (metadata.len(), metadata.modified().ok()));
        let mut own = self.own.write().unwrap_or_else(PoisonError::into_inner);
        if own.get(&kind).is_some_and(|own| own.fingerprint == fingerprint) {
            return None;
        }
        let template = own_template(&self.data_dir, kind).map(|template| template.map(Arc::new));
        let trouble = match &template {
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(_)) | None => None,
        };
        own.insert(kind, Own { fingerprint, template });
        Some(trouble)
    }
}

/// Looks for changed files until the agent ends.
pub(super) async fn keep(printing: Printing, writer: Writer, mut ended: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = ended.wait_for(|&ending| ending) => return,
        }
        printing.shared.templates.look(&writer).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use printing::context::sample;

    #[test]
    fn an_own_template_takes_the_place_of_the_built_in_one_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let templates = Templates::new(folder.path());
        let path = folder.path().join(TEMPLATES_FOLDER);
        fs::create_dir(&path).expect("makes it");
        let built_in = Template::built_in(Kind::Receipt).render(&sample(Kind::Receipt)).expect("renders");
        let render = || templates.render(Kind::Receipt, &sample(Kind::Receipt)).expect("renders");
        assert_eq!(templates.look_at(Kind::Receipt), Some(None));
        assert_eq!(templates.look_at(Kind::Receipt), None, "nothing has changed");
        assert_eq!(render(), built_in);

        fs::write(path.join("receipt.txt"), "{{ store.name }}\n").expect("writes");
        assert_eq!(templates.look_at(Kind::Receipt), Some(None));
        assert_eq!(render().items().len(), 1);
        assert!(templates.views()[0].own);

        fs::write(path.join("receipt.txt"), "{{ store.name }}\n{{ nmae }}\n").expect("writes");
        let trouble = templates.look_at(Kind::Receipt).flatten().expect("is broken");
        assert!(trouble.contains("template receipt, line 2"), "{trouble}");
        assert_eq!(render(), built_in);
        assert_eq!(templates.views()[0].trouble, trouble);

        fs::write(path.join("receipt.txt"), "x".repeat(SOURCE_BYTES_MAX + 1)).expect("writes");
        assert!(templates.look_at(Kind::Receipt).flatten().is_some_and(|trouble| trouble.contains("at most")));
        fs::remove_file(path.join("receipt.txt")).expect("removes");
        assert_eq!(templates.look_at(Kind::Receipt), Some(None));
        assert_eq!(render(), built_in);
    }

    #[test]
    fn data_that_the_own_template_cannot_take_are_printed_by_the_built_in_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(TEMPLATES_FOLDER);
        fs::create_dir(&path).expect("makes it");
        fs::write(
            path.join("receipt.txt"),
            "{{ pickup_number|upper }}{% if not pickup_number %}{{ oops }}{% endif %}\n",
        )
        .expect("writes");
        let templates = Templates::new(folder.path());
        assert_eq!(templates.look_at(Kind::Receipt), Some(None));
        let mut data = sample(Kind::Receipt);
        data["pickup_number"] = Value::Null;
        assert!(templates.render(Kind::Receipt, &data).expect("renders").items().len() > 10);
    }
}
