//! The project as the rules see it: its files and its crates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// A source file: its path from the root of the project, and its text.
pub(crate) type Source = (String, String);

/// A crate of the workspace as its manifest describes it.
#[derive(Debug, Clone)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Path of the manifest from the root of the project.
    pub(crate) manifest: String,
    pub(crate) licence: Option<String>,
    /// Names of the crates it uses, with what for.
    pub(crate) uses: Vec<(String, DependencyKind)>,
}

/// The project's files, without what git ignores.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
    files: BTreeSet<String>,
}

impl Repository {
    pub(crate) fn open() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the project's folder");
        let files = tracked(root).unwrap_or_else(|| walked(root));
        assert!(files.contains("Cargo.toml"), "no Cargo.toml in {}", root.display());
        Self { root: root.to_owned(), files }
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// Whether a path names a file or folder; a bare file name may lie in any folder.
    pub(crate) fn has_path(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let (folder, anywhere) = (format!("{path}/"), format!("/{path}"));
        self.files
            .iter()
            .any(|file| file == path || file.starts_with(&folder) || (!path.contains('/') && file.ends_with(&anywhere)))
    }

    pub(crate) fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.root.join(file)).unwrap_or_else(|error| unreadable(file, &error))
    }

    /// Rust sources whose path is `prefix` or lies below it; all of them for the empty prefix.
    pub(crate) fn sources_under(&self, prefix: &str) -> Vec<Source> {
        let folder = format!("{prefix}/");
        self.files
            .iter()
            .filter(|file| file.ends_with(".rs"))
            .filter(|file| prefix.is_empty() || *file == prefix || file.starts_with(&folder))
            .map(|file| (file.clone(), self.read(file)))
            .collect()
    }

    /// Every file that is text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Source> {
        self.files.iter().filter_map(|file| {
            let bytes = std::fs::read(self.root.join(file)).unwrap_or_else(|error| unreadable(file, &error));
            Some((file.clone(), String::from_utf8(bytes).ok()?))
        })
    }

    /// The crates of the workspace. Reads manifests only, so it needs neither the network nor fetched crates.
    pub(crate) fn crates(&self) -> Vec<Crate> {
        let metadata = MetadataCommand::new()
            .manifest_path(self.root.join("Cargo.toml"))
            .no_deps()
            .other_options(vec!["--offline".to_owned()])
            .exec()
            .expect("cargo metadata reads the workspace");
        let root = metadata.workspace_root.clone();
        metadata
            .packages
            .into_iter()
            .map(|package| Crate {
                name: package.name.to_string(),
                manifest: package
                    .manifest_path
                    .strip_prefix(&root)
                    .expect("members lie below the workspace")
                    .to_string(),
                licence: package.license,
                uses: package.dependencies.into_iter().map(|dependency| (dependency.name, dependency.kind)).collect(),
            })
            .collect()
    }
}

#[expect(clippy::panic, reason = "a file that git lists and that cannot be read ends the test with its name")]
fn unreadable<T>(file: &str, error: &std::io::Error) -> T {
    panic!("read {file}: {error}")
}

/// What git tracks or would track; a file that is deleted but not committed yet is left out.
fn tracked(root: &Path) -> Option<BTreeSet<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let list = String::from_utf8(output.stdout).ok()?;
    let files = list.split('\0').filter(|file| !file.is_empty() && root.join(file).is_file());
    Some(files.map(str::to_owned).collect())
}

/// The same without git, as in an unpacked archive of the sources.
fn walked(root: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let built = folder == root && matches!(entry.file_name().to_str(), Some("target" | ".git"));
            if path.is_dir() && !built {
                folders.push(path);
            } else if path.is_file() {
                files.extend(path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned));
            }
        }
    }
    files
}

#[test]
fn an_unpacked_archive_shows_the_same_sources() {
    let root = tempfile::tempdir().expect("a temp folder");
    for file in ["Cargo.toml", "agent/src/main.rs", "target/debug/out.rs", ".git/config", ".ci/run"] {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("make the folder");
        std::fs::write(path, "").expect("write the file");
    }
    let expected = [".ci/run", "Cargo.toml", "agent/src/main.rs"].map(str::to_owned);
    assert_eq!(walked(root.path()), BTreeSet::from(expected));
}

#[test]
fn a_path_is_a_file_a_folder_or_a_bare_name() {
    let files = ["Cargo.toml", "agent/src/main.rs"].map(str::to_owned);
    let repository = Repository { root: PathBuf::new(), files: BTreeSet::from(files) };
    for (path, expected) in [
        ("Cargo.toml", true),
        ("agent/", true),
        ("agent/src", true),
        ("main.rs", true),
        ("agent/sr", false),
        ("src/main.rs", false),
        ("lib.rs", false),
    ] {
        assert_eq!(repository.has_path(path), expected, "{path}");
    }
}
