//! Who may use the API: whoever reaches it, unless a token is set.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::ApiError;

/// The shortest token that is taken, in characters: 128 bits of base64.
const TOKEN_CHARS_MIN: usize = 22;

/// The API's token, as a hash. Comparing hashes takes the same time wherever they differ.
#[derive(Debug, Clone, Copy)]
pub struct ApiToken(blake3::Hash);

/// The token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("read the API's token from {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The token could be guessed.
    #[error(
        "the API's token in {path} is shorter than {TOKEN_CHARS_MIN} characters; `openssl rand -base64 32` makes a good one"
    )]
    Short {
        /// The file.
        path: String,
    },
}

impl ApiToken {
    /// Reads the first line of a file.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read { path: name.clone(), source })?;
        let token = text.lines().next().unwrap_or_default().trim();
        if token.chars().count() < TOKEN_CHARS_MIN {
            Err(TokenError::Short { path: name })
        } else {
            Ok(Self::of(token))
        }
    }

    fn of(token: &str) -> Self {
        Self(blake3::hash(token.as_bytes()))
    }

    fn matches(self, header: &str) -> bool {
        header.strip_prefix("Bearer ").is_some_and(|token| blake3::hash(token.trim().as_bytes()) == self.0)
    }
}

/// Lets a request through if no token is set, or if it carries the token.
pub(super) async fn require_token(
    State(token): State<Arc<Option<ApiToken>>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = *token else { return next.run(request).await };
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if given.is_some_and(|given| token.matches(given)) {
        next.run(request).await
    } else {
        ApiError::unauthorized().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let token = ApiToken::of("correct horse battery staple");
        assert!(token.matches("Bearer correct horse battery staple"));
        for wrong in ["", "Bearer", "Bearer ", "Bearer correct", "correct horse battery staple", "Basic abc"] {
            assert!(!token.matches(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn token_files() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("token");
        assert!(matches!(ApiToken::read(&path), Err(TokenError::Read { .. })));
        std::fs::write(&path, "short\n").expect("written");
        assert!(matches!(ApiToken::read(&path), Err(TokenError::Short { .. })));
        std::fs::write(&path, "a-token-of-a-good-length-1\nnotes\n").expect("written");
        assert!(ApiToken::read(&path).expect("valid").matches("Bearer a-token-of-a-good-length-1"));
    }
}
