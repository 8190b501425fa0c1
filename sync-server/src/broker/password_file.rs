//! Mosquitto's password file, with a line for each store that may log in.
//!
//! A line is `name:$7$iterations$salt$hash`, PBKDF2 with SHA-512 as `mosquitto_passwd` writes it. A password here is 256
//! random bits, so the salt protects nothing and may be computed: the same logins make the same file, and it is only
//! written when something changed.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pos_model::StoreId;
use ring::pbkdf2::{PBKDF2_HMAC_SHA512, derive};

use super::settings::Credentials;

/// Rounds of hashing: what `mosquitto_passwd` takes. A password of 256 bits needs no more.
const ITERATIONS: NonZeroU32 = NonZeroU32::new(101).expect("above zero");

const SALT_BYTES: usize = 12;

const HASH_BYTES: usize = 64;

/// The file cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// A store has the name of the server's own login.
    #[error("make the broker's password file: store {0} has the name of the server's own login (broker.username)")]
    NameTaken(String),
    /// The file cannot be written.
    #[error("write the broker's password file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The text of the file: the stores with their passwords, and the server's own login.
pub fn text(stores: &[(StoreId, String)], server: Option<&Credentials>) -> Result<String, PasswordFileError> {
    let mut text = String::new();
    if let Some(server) = server {
        if stores.iter().any(|(store, _)| store.as_str() == server.username) {
            return Err(PasswordFileError::NameTaken(server.username.clone()));
        }
        push_line(&mut text, &server.username, &server.password);
    }
    for (store, password) in stores {
        push_line(&mut text, store.as_str(), password);
    }
    Ok(text)
}

/// Writes the file if it is not the same already, readable by its owner and group only. A reader sees the old one or the
/// new one. Says whether it was written.
pub fn write(path: &Path, text: &str) -> Result<bool, PasswordFileError> {
    let failed = |source| PasswordFileError::Write { path: path.to_owned(), source };
    if fs::read(path).is_ok_and(|held| held == text.as_bytes()) {
        return Ok(false);
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = || -> io::Result<()> {
        // One that a crash left behind may have other rights.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(failed)?;
    Ok(true)
}

fn push_line(text: &mut String, name: &str, password: &str) {
    let mut salted = blake3::Hasher::new_derive_key("breakwater 2026 mosquitto salt v1");
    salted.update(name.as_bytes()).update(&[0]).update(password.as_bytes());
    let mut salt = [0; SALT_BYTES];
    salted.finalize_xof().fill(&mut salt);
    let mut hash = [0; HASH_BYTES];
    derive(PBKDF2_HMAC_SHA512, ITERATIONS, &salt, password.as_bytes(), &mut hash);
    writeln!(text, "{name}:$7${ITERATIONS}${}${}", base64(&salt), base64(&hash)).expect("a string takes all");
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().chain([0, 0].iter()).take(3).fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        for place in 0..4 {
            let digit = group >> (18 - 6 * place) & 0x3F;
            let digit = usize::try_from(digit).unwrap_or_default();
            text.push(if place <= chunk.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> StoreId {
        StoreId::new(name).expect("valid")
    }

    #[test]
    fn base64_is_the_standard_one() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xFB, 0xFF]), "+/8=");
    }

    #[test]
    fn the_same_logins_make_the_same_file() {
        let stores = [(store("a"), "one".to_owned()), (store("b"), "one".to_owned())];
        let server = Credentials { username: "server@x".to_owned(), password: "two".to_owned() };
        let made = text(&stores, Some(&server)).expect("made");
        assert_eq!(made, text(&stores, Some(&server)).expect("made"));
        let names: Vec<_> = made.lines().filter_map(|line| line.split_once(":$7$101$")).collect();
        assert_eq!(names.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["server@x", "a", "b"]);
        assert_ne!(names[1].1, names[2].1, "the same password of two stores does not show");
        let server = Credentials { username: "a".to_owned(), password: "two".to_owned() };
        assert!(matches!(text(&stores, Some(&server)), Err(PasswordFileError::NameTaken(name)) if name == "a"));
    }

    #[test]
    fn it_is_written_when_something_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passwords");
        assert!(write(&path, "one\n").expect("written"));
        assert!(!write(&path, "one\n").expect("the same"));
        assert!(write(&path, "two\n").expect("written"));
        assert_eq!(fs::read_to_string(&path).expect("there"), "two\n");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
