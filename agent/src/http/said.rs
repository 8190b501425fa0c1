//! What a till says: a command with its id, understood and named by its digest.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Json, Request};
use axum::http::StatusCode;
use pos_model::{CommandId, TillId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::problem::ApiError;
use crate::db::{CommandKey, Once, Refused, RefusedAs};
use crate::doors::Caller;

/// A command of a till, carried out once.
pub(crate) trait Command: Serialize + DeserializeOwned + Send {
    /// Made by the till, and kept there before it asked.
    fn command_id(&self) -> CommandId;

    /// Which till asks.
    fn till_id(&self) -> &TillId;

    /// The same without what must not stand in its digest, such as a PIN; `None` if there is nothing of that kind.
    fn without_secrets(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Implements [`Command`] for types with the fields `command_id` and `till_id`.
macro_rules! commands {
    ($($name:ident),+ $(,)?) => {
        $(impl $crate::http::said::Command for $name {
            fn command_id(&self) -> pos_model::CommandId {
                self.command_id
            }

            fn till_id(&self) -> &pos_model::TillId {
                &self.till_id
            }
        })+
    };
}
pub(crate) use commands;

/// A command as it came.
#[derive(Debug)]
pub(crate) struct Said<C> {
    /// What it says.
    pub(crate) command: C,
    /// By which the same command is recognised when it comes again.
    pub(crate) key: CommandKey,
}

impl<C: Command> Said<C> {
    /// A command says a part of what it wants by its path: sent to another one it is another command, however alike the two
    /// look. Otherwise the answer to one would be given to the other.
    fn new(command: C, path: &str) -> Self {
        // What is left out and what has its default value are the same, so a field that a later version adds does not
        // change the digest of commands without it.
        let open = command.without_secrets();
        let bytes = rmp_serde::to_vec_named(open.as_ref().unwrap_or(&command));
        let bytes = bytes.expect("a command of text and numbers always encodes");
        let digest = blake3::Hasher::new().update(&bytes).update(path.as_bytes()).finalize();
        let key = CommandKey { id: command.command_id(), digest: *digest.as_bytes() };
        Self { command, key }
    }
}

impl<C: Command, S: Send + Sync> FromRequest<S> for Said<C> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, state).await?;
        let path = parts.uri.path().to_owned();
        let request = Request::from_parts(parts, body);
        let command: Result<Json<C>, JsonRejection> = Json::from_request(request, state).await;
        let Json(command) = command?;
        caller.speaks_for(command.till_id())?;
        Ok(Self::new(command, &path))
    }
}

/// The answer to a command.
pub(crate) fn answer<T>(once: Once<T>) -> Result<Json<T>, ApiError> {
    match once {
        Once::New(answer) | Once::Replayed(answer) => Ok(Json(answer)),
        Once::Refused(refused) => Err(refused.into()),
        Once::Conflict => Err(ApiError::new(
            StatusCode::CONFLICT,
            "command.conflict",
            "The command has other content",
            "another command was carried out under this id, with other content; a new command needs a new id",
        )),
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let (status, title) = match refused.kind {
            RefusedAs::Unknown => (StatusCode::NOT_FOUND, "It does not exist here"),
            RefusedAs::Overtaken => (StatusCode::CONFLICT, "Not as things stand"),
            RefusedAs::Rule => (StatusCode::UNPROCESSABLE_ENTITY, "It breaks a rule"),
            RefusedAs::NotAllowed => (StatusCode::FORBIDDEN, "Not allowed"),
        };
        Self::new(status, refused.message_key, title, refused.text)
    }
}
