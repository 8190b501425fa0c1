//! Where PINs are hashed and compared: beside the writer, so that no sale waits, and one at a time, so that guesses are
//! counted one after the other and the memory that a hash takes is taken once.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use pos_model::{OperatorId, TillId};
use protocol::latest::people::Pin;
use tokio::sync::{Mutex, Semaphore};

use crate::clock::{NoRandomness, random_bytes};
use crate::db::{PinHash, PinToCheck};
use crate::telemetry;
use crate::writer::{WriteError, Writer};

/// Memory of one hash, in KiB (19 MiB), and passes over it: the least that OWASP advises, a twentieth of a second on a
/// small box. A stolen file with PINs of four digits falls in minutes whatever these are; longer PINs are what helps.
const HASH_KIB: u32 = 19 * 1024;
const HASH_PASSES: u32 = 2;

/// Those who may wait for their PIN to be compared: all tills of a large store at the change of shifts, about a second of
/// work. More than that is somebody guessing.
const WAITING_MAX: usize = 16;

/// A PIN was not found right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The store has no such operator.
    #[error("the store has no operator {0}")]
    Unknown(OperatorId),
    /// It is another one.
    #[error("the PIN is wrong")]
    Wrong,
    /// Too many wrong ones.
    #[error("too many wrong PINs: wait {} s", .for_ms / 1000 + 1)]
    Locked {
        /// How long none is looked at, in milliseconds.
        for_ms: i64,
    },
    /// Too many wait.
    #[error("too many PINs wait to be compared")]
    Busy,
    /// The books could not be asked.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Compares PINs. Clones share it.
#[derive(Debug, Clone)]
pub struct PinDesk {
    writer: Writer,
    room: Arc<Semaphore>,
    one: Arc<Mutex<()>>,
}

impl PinDesk {
    /// A desk that counts wrong PINs by this writer.
    pub fn new(writer: Writer) -> Self {
        Self { writer, room: Arc::new(Semaphore::new(WAITING_MAX)), one: Arc::default() }
    }

    /// Compares an operator's PIN. The hash that it was compared with is the proof. A wrong one is counted, marked, and
    /// may lock the operator for a while; `purpose` says in the mark what it was for.
    pub async fn check(
        &self,
        till_id: TillId,
        operator_id: OperatorId,
        pin: Pin,
        purpose: &'static str,
    ) -> Result<PinHash, PinError> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| PinError::Busy)?;
        let desk = self.clone();
        // A task of its own: whoever asks and hangs up is counted all the same.
        let checking = tokio::spawn(async move {
            let _room = room;
            let _one = desk.one.lock().await;
            desk.check_alone(till_id, operator_id, pin, purpose).await
        });
        checking.await.unwrap_or(Err(PinError::Write(WriteError::Closed)))
    }

    async fn check_alone(
        &self,
        till_id: TillId,
        operator_id: OperatorId,
        pin: Pin,
        purpose: &'static str,
    ) -> Result<PinHash, PinError> {
        let now_ms = self.writer.clock().now().utc_ms;
        let id = operator_id.clone();
        let to_check = self.writer.run(crate::db::Durability::Hint, move |store| store.begin_pin(&id, now_ms)).await?;
        let hash = match to_check {
            PinToCheck::Compare(hash) => hash,
            PinToCheck::Unknown => return Err(PinError::Unknown(operator_id)),
            PinToCheck::Locked { for_ms } => return Err(PinError::Locked { for_ms }),
        };
        let compared = hash.clone();
        let right = tokio::task::spawn_blocking(move || matches(&pin, &compared)).await;
        if right.map_err(|_| WriteError::Closed)? {
            return Ok(hash);
        }
        telemetry::pin_failed(&till_id, &operator_id);
        let failed = self.writer.act(move |store, moment| store.fail_pin(moment, &till_id, &operator_id, purpose));
        match failed.await? {
            Ok(Some(for_ms)) => Err(PinError::Locked { for_ms }),
            Ok(None) | Err(_) => Err(PinError::Wrong),
        }
    }

    /// Hashes a new PIN.
    pub async fn hash(&self, pin: Pin) -> Result<PinHash, PinError> {
        let _room = self.room.try_acquire().map_err(|_| PinError::Busy)?;
        let _one = self.one.lock().await;
        let hashed = tokio::task::spawn_blocking(move || hash(&pin)).await.map_err(|_| WriteError::Closed)?;
        Ok(hashed.map_err(WriteError::from)?)
    }
}

fn hasher() -> Argon2<'static> {
    let params = Params::new(HASH_KIB, HASH_PASSES, 1, None).expect("a test makes a hash of these");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(pin: &Pin) -> Result<PinHash, NoRandomness> {
    let salt: [u8; 16] = random_bytes()?;
    let hashed: PasswordHash = hasher()
        .hash_password_with_salt(pin.digits().as_bytes(), &salt)
        .expect("a short text and 16 bytes of salt hash");
    Ok(PinHash::new(hashed.to_string()))
}

/// What is no hash matches nothing.
fn matches(pin: &Pin, hash: &PinHash) -> bool {
    hasher().verify_password(pin.digits().as_bytes(), hash.as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tells_its_own_pin_from_others_and_hides_it() {
        let pin = |text| Pin::new(text).expect("a PIN");
        let first = hash(&pin("27182818")).expect("hashes");
        assert!(first.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", first.as_str());
        assert!(matches(&pin("27182818"), &first));
        assert!(!matches(&pin("27182819"), &first));
        assert!(!matches(&pin("2718281"), &first));
        assert_ne!(hash(&pin("27182818")).expect("hashes"), first, "each has its own salt");
        assert!(!matches(&pin("27182818"), &PinHash::new("27182818".to_owned())), "what is no hash matches nothing");
    }
}
