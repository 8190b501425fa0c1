//! Whom the agent trusts: the system's certificate authorities, and those of a file of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::{ClientConfig, RootCertStore};

/// The trusted certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error("read certificates from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// A certificate in the file cannot be used.
    #[error("trust a certificate in {}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The file has no certificate.
    #[error("find a certificate in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up at all.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("set up the HTTP client")]
    Http(#[source] reqwest::Error),
}

/// TLS as a client. The system's certificates that cannot be read are left out: a machine without any still reaches a
/// centre that `ca_file` vouches for.
pub fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let path_of = || path.to_owned();
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|source| TrustError::Read { path: path_of(), source })?;
        if certificates.is_empty() {
            return Err(TrustError::Empty { path: path_of() });
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|source| TrustError::Unfit { path: path_of(), source })?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// An HTTP client that trusts the same.
pub fn http_client(ca_file: Option<&Path>) -> Result<reqwest::Client, TrustError> {
    reqwest::Client::builder().tls_backend_preconfigured(tls(ca_file)?).build().map_err(TrustError::Http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        #[track_caller]
        fn check(content: &str, reason: &str) {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), content).expect("writes");
            let error = tls(Some(file.path())).expect_err("refused").to_string();
            assert!(error.contains(reason), "{error}");
        }
        check("", "find a certificate");
        check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "trust a certificate");
        check("-----BEGIN CERTIFICATE-----\n", "read certificates");
        assert!(tls(None).is_ok());
    }
}
