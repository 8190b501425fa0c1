//! Whom the server trusts as the broker: the system's certificate authorities, and those of a file of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rumqttc::TlsConfiguration;
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
}

/// TLS as a client. The file comes instead of the system's authorities: a broker of the chain's own has a certificate of the
/// chain's own, and nobody else may speak for it.
pub(super) fn tls(ca_file: Option<&Path>) -> Result<TlsConfiguration, TrustError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
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
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}
