//! How the owner of the data folder speaks to the agent that runs on it: by a token in a file that only they can read.
//!
//! Each run of the agent makes another token. Whoever can read it could read the books as well.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::clock::{NoRandomness, random_bytes};
use crate::db::TokenHash;

/// The file's name in the data folder.
pub const OWNER_FILE: &str = "owner.token";

/// A token: 32 random bytes as hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// One that nobody can guess.
    pub fn random() -> Result<Self, NoRandomness> {
        let bytes: [u8; 32] = random_bytes()?;
        Ok(Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }

    /// For the one it is for.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// Leaves the token in the folder, readable by its owner only.
pub fn leave(data_dir: &Path, token: &Token) -> io::Result<()> {
    let path = data_dir.join(OWNER_FILE);
    let beside = data_dir.join(format!("{OWNER_FILE}.new"));
    // One of an earlier run may have been left with other rights.
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    writeln!(file, "{}", token.reveal())?;
    fs::rename(&beside, &path)
}

/// The token of the agent that runs on the folder, or ran last.
pub fn found(data_dir: &Path) -> io::Result<Token> {
    fs::read_to_string(data_dir.join(OWNER_FILE)).map(|text| Token(text.trim().to_owned()))
}

/// Takes the token away at the end of a run.
pub fn withdraw(data_dir: &Path) {
    // One that stays opens nothing: the next run has another.
    let _ = fs::remove_file(data_dir.join(OWNER_FILE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_owner_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = (Token::random().expect("random"), Token::random().expect("random"));
        assert_ne!(first, second);
        assert_eq!(first.reveal().len(), 64);
        leave(folder.path(), &first).expect("leaves");
        leave(folder.path(), &second).expect("leaves");
        assert_eq!(found(folder.path()).expect("reads"), second);
        let mode = fs::metadata(folder.path().join(OWNER_FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        withdraw(folder.path());
        assert!(found(folder.path()).is_err());
    }
}
