//! Keeps the broker's password file like the registry, while the server runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::password_file::{self, PasswordFileError};
use super::settings;
use crate::config::BrokerConfig;
use crate::credentials::Credentials;
use crate::telemetry;

/// Writes the file when a login changed.
#[derive(Debug)]
pub struct PasswordKeeper {
    file: PathBuf,
    server: Option<settings::Credentials>,
    credentials: Arc<Credentials>,
    /// The version of the registry that the file has.
    written: Option<i64>,
    /// What was said last of a file that cannot be written; the same is not said every second.
    trouble: Option<String>,
}

impl PasswordKeeper {
    /// None if no such file is wanted. `server` is the server's own login.
    pub fn new(
        config: &BrokerConfig,
        server: Option<settings::Credentials>,
        credentials: &Arc<Credentials>,
    ) -> Option<Self> {
        let file = config.store_passwords_file.clone()?;
        Some(Self { file, server, credentials: Arc::clone(credentials), written: None, trouble: None })
    }

    /// Writes the file if the registry has changed since the last time. A failure is tried again with the next call.
    pub async fn keep(&mut self) {
        let version = self.credentials.version();
        if version == self.written {
            return;
        }
        let (file, server, credentials) = (self.file.clone(), self.server.clone(), Arc::clone(&self.credentials));
        let written = tokio::task::spawn_blocking(move || {
            let passwords = credentials.passwords();
            let text = password_file::text(&passwords, server.as_ref())?;
            let changed = password_file::write(&file, &text)?;
            Ok::<_, PasswordFileError>((changed, passwords.len()))
        });
        match written.await {
            Ok(Ok((changed, stores))) => {
                (self.written, self.trouble) = (version, None);
                telemetry::passwords_written(&self.file, changed, stores);
            }
            Ok(Err(error)) => {
                let trouble = telemetry::chain(&error);
                if self.trouble.as_ref() != Some(&trouble) {
                    telemetry::passwords_failed(&error);
                    self.trouble = Some(trouble);
                }
            }
            // The runtime is going down.
            Err(_) => {}
        }
    }
}
