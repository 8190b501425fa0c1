//! Who this store is at the centre: the file that enrolment leaves in the data folder.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pos_model::StoreId;
use serde::{Deserialize, Serialize};

/// The file's name in the data folder.
pub const IDENTITY_FILE: &str = "identity.json";

/// What an enrolment gives a store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The store's id.
    pub store_id: StoreId,
    /// The secret that the centre made for it. With `proofs` it never leaves this machine again.
    pub secret: String,
    /// The centre's HTTP address, such as `https://centre.example:8080`.
    pub centre_url: String,
    /// The centre's MQTT address: `mqtt://host:port`, or `mqtts://host:port` with TLS.
    pub mqtt_url: String,
    /// Whether the centre knows proofs: then the MQTT password is derived from the secret, and every message is proven by
    /// it. Without, the secret itself is the password, and only an address of the centre's own may be trusted with it.
    #[serde(default)]
    pub proofs: bool,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("store_id", &self.store_id)
            .field("secret", &"[redacted]")
            .field("centre_url", &self.centre_url)
            .field("mqtt_url", &self.mqtt_url)
            .field("proofs", &self.proofs)
            .finish()
    }
}

/// The identity could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("access {}", path.display())]
    Access {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not an identity.
    #[error("read {}: not the file that `breakwater-agent enroll` writes", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Identity {
    /// Reads the identity of a data folder; none before the store has been enrolled.
    pub fn load(data_dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = data_dir.join(IDENTITY_FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|source| IdentityError::Content { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(IdentityError::Access { path, source }),
        }
    }

    /// Keeps the identity in a data folder, readable by its owner only. An earlier one is replaced as a whole: after a
    /// power cut the file is the old or the new one.
    pub fn save(&self, data_dir: &Path) -> Result<(), IdentityError> {
        let path = data_dir.join(IDENTITY_FILE);
        let beside = data_dir.join(format!("{IDENTITY_FILE}.new"));
        let text = serde_json::to_vec_pretty(self).expect("text fields always encode");
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(data_dir)?.sync_all()
        };
        written().map_err(|source| IdentityError::Access { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn identity(secret: &str) -> Identity {
        Identity {
            store_id: StoreId::new("SH-0001").expect("valid"),
            secret: secret.to_owned(),
            centre_url: "http://127.0.0.1:8080".to_owned(),
            mqtt_url: "mqtt://127.0.0.1:1883".to_owned(),
            proofs: true,
        }
    }

    #[test]
    fn kept_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Identity::load(folder.path()).expect("reads"), None);
        identity("first").save(folder.path()).expect("saves");
        identity("second").save(folder.path()).expect("saves");
        assert_eq!(Identity::load(folder.path()).expect("reads"), Some(identity("second")));
        let mode = fs::metadata(folder.path().join(IDENTITY_FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(IDENTITY_FILE), "{").expect("writes");
        let error = Identity::load(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains(IDENTITY_FILE), "{error}");
    }

    #[test]
    fn an_enrolment_of_an_older_centre_knows_no_proofs() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = r#"{"store_id": "S", "secret": "s", "centre_url": "http://a", "mqtt_url": "mqtt://a"}"#;
        fs::write(folder.path().join(IDENTITY_FILE), text).expect("writes");
        let identity = Identity::load(folder.path()).expect("reads").expect("is there");
        assert!(!identity.proofs);
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", identity("s3cret")).contains("s3cret"));
    }
}
