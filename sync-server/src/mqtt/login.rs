//! Who may come in.

use std::fmt;

use mqtt_protocol_core::mqtt::packet::v5_0::Connect;
use mqtt_protocol_core::mqtt::result_code::ConnectReasonCode;
use pos_model::StoreId;

/// Knows the stores' secrets. Asked once per connection, on the connection's task: it must answer from memory.
pub trait Authenticator: Send + Sync + 'static {
    /// The store that logs in with this name and password.
    fn verify(&self, username: &str, password: &[u8]) -> Result<Verified, LoginRefused>;
}

/// A login that is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The store.
    pub store: StoreId,
    /// What its messages must bring along.
    pub trust: Trust,
}

/// What makes a message the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The connection: its login was made with the secret itself, which nobody else holds.
    Login,
    /// The message: it must prove its store. The password is known to brokers, or a broker carried the message.
    Proof,
}

/// Why a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// No such store, or not its secret. The client is not told which.
    #[error("user name or password is wrong")]
    BadUserNameOrPassword,
    /// The store exists and may not connect any more.
    #[error("the store's login is revoked")]
    Revoked,
    /// It cannot be told at the moment.
    #[error("logins cannot be checked")]
    Unavailable,
}

impl LoginRefused {
    pub(crate) fn code(self) -> ConnectReasonCode {
        match self {
            Self::BadUserNameOrPassword => ConnectReasonCode::BadUserNameOrPassword,
            Self::Revoked => ConnectReasonCode::NotAuthorized,
            Self::Unavailable => ConnectReasonCode::ServerUnavailable,
        }
    }
}

/// What a CONNECT says about its sender.
pub(crate) struct Login {
    pub(crate) client_id: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
}

impl Login {
    pub(crate) fn new(connect: &Connect) -> Self {
        Self {
            client_id: connect.client_id().to_owned(),
            username: connect.user_name().map(str::to_owned),
            password: connect.password().map(<[u8]>::to_vec),
        }
    }

    pub(crate) fn verify(&self, authenticator: &dyn Authenticator) -> Result<Verified, LoginRefused> {
        match (&self.username, &self.password) {
            (Some(username), Some(password)) => authenticator.verify(username, password),
            _ => Err(LoginRefused::BadUserNameOrPassword),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, username, password: _ } = self;
        write!(f, "Login {{ client_id: {client_id:?}, username: {username:?}, password: [redacted] }}")
    }
}
