//! The server's certificate, for MQTT and for HTTPS alike.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with the chain cannot be read, or is not PEM.
    #[error("read certificate chain {}", path.display())]
    ReadChain {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The file is PEM and has no certificate.
    #[error("find a certificate in {}", path.display())]
    EmptyChain {
        /// The file.
        path: PathBuf,
    },
    /// The file with the private key cannot be read, or has none.
    #[error("read private key {}", path.display())]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// Both were read and do not work together.
    #[error("use certificate {} with key {}", chain.display(), key.display())]
    Unusable {
        /// The file with the chain.
        chain: PathBuf,
        /// The file with the key.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

/// Loads a PEM chain, the server's own certificate first, and its PEM key (PKCS#8, PKCS#1 or SEC1), and checks that they
/// belong together. Expiry is left to the clients, which check it anyway.
pub fn load_tls(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let read_chain = |source| TlsError::ReadChain { path: chain.to_owned(), source };
    let certificates =
        CertificateDer::pem_file_iter(chain).map_err(read_chain)?.collect::<Result<Vec<_>, _>>().map_err(read_chain)?;
    if certificates.is_empty() {
        return Err(TlsError::EmptyChain { path: chain.to_owned() });
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|source| TlsError::ReadKey { path: key.to_owned(), source })?;
    let unusable = |source| TlsError::Unusable { chain: chain.to_owned(), key: key.to_owned(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .map_err(unusable)?;
    // Tickets make the thousand reconnects after an outage cheap, and need no memory here.
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        _folder: tempfile::TempDir,
        chain: PathBuf,
        key: PathBuf,
        other_key: PathBuf,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let make = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let (ours, other) = (make(), make());
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let chain = write("chain.pem", ours.cert.pem());
        let key = write("key.pem", ours.signing_key.serialize_pem());
        let other_key = write("other.pem", other.signing_key.serialize_pem());
        Files { _folder: folder, chain, key, other_key }
    }

    #[test]
    fn what_can_be_loaded() {
        #[track_caller]
        fn check(chain: &Path, key: &Path, expected: &str) {
            let result = load_tls(chain, key).map(|_| ()).map_err(|error| error.to_string());
            match result {
                Ok(()) => assert_eq!(expected, ""),
                Err(error) => assert!(!expected.is_empty() && error.starts_with(expected), "{error}"),
            }
        }
        let files = files();
        check(&files.chain, &files.key, "");
        check(&files.chain, &files.other_key, "use certificate");
        check(&files.key, &files.key, "find a certificate");
        check(&files.chain, &files.chain, "read private key");
        check(Path::new("/nowhere/chain.pem"), &files.key, "read certificate chain");
    }
}
