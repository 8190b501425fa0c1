//! TLS to the database, by rustls as everywhere.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::settings::{PostgresSettings, Protection};
use super::verifier::Lenient;

/// Makes connections as the settings want them.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    settings: PostgresSettings,
}

impl Tls {
    pub(super) fn new(settings: &PostgresSettings) -> Self {
        Self { settings: settings.clone() }
    }

    /// The certificates are read for each connection: whoever renews them need not restart the server.
    fn config(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        Ok(match self.settings.protection() {
            Protection::VerifyFull => builder.with_root_certificates(self.roots()?).with_no_client_auth(),
            Protection::VerifyCa => builder
                .dangerous()
                .with_custom_certificate_verifier(Lenient::of_authority(self.roots()?, provider)?)
                .with_no_client_auth(),
            // As with libpq, an authority that is named is asked.
            Protection::Require if self.settings.root_certificate().is_some() => builder
                .dangerous()
                .with_custom_certificate_verifier(Lenient::of_authority(self.roots()?, provider)?)
                .with_no_client_auth(),
            Protection::Require | Protection::Disable => builder
                .dangerous()
                .with_custom_certificate_verifier(Lenient::of_anybody(provider))
                .with_no_client_auth(),
        })
    }

    fn roots(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match self.settings.root_certificate() {
            Some(path) => {
                let wrong = |error: &dyn std::fmt::Display| {
                    io::Error::other(format!("read certificates of authorities {}: {error}", path.display()))
                };
                for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                    let certificate = certificate.map_err(|error| wrong(&error))?;
                    roots.add(certificate).map_err(|error| wrong(&error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        Ok(roots)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        // Without TLS the handshake is never begun, and there may be no name that a certificate could have.
        if self.settings.protection() == Protection::Disable {
            return Ok(Handshake(None));
        }
        let connector = TlsConnector::from(Arc::new(self.config()?));
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Handshake(Some((connector, name))))
    }
}

/// A connection about to be protected.
pub(super) struct Handshake(Option<(TlsConnector, ServerName<'static>)>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        match self.0 {
            Some((connector, name)) => Box::pin(async move {
                let stream = connector.connect(name, stream).await?;
                Ok(Encrypted(Box::new(stream)))
            }),
            None => Box::pin(ready(Err(io::Error::other("TLS is turned off")))),
        }
    }
}

/// A protected connection.
pub(super) struct Encrypted<S>(Box<tokio_rustls::client::TlsStream<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }
}
