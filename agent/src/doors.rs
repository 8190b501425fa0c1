//! Who may speak to the local API: paired tills by their tokens, the folder's owner by theirs, and on loopback everybody
//! if the configuration says so.
//!
//! Everything needed for that is in the store: tills pair and work while the way to the centre is down.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pos_model::TillId;
use protocol::latest::people::{PairCode, PairTill, TillToken, TillView};
use tokio::sync::watch;

use crate::clock::random_u64;
use crate::config::Tills;
use crate::db::{Refused, TokenHash};
use crate::owner::Token;
use crate::pair_codes::{CODE_LIFE, NotTaken, PairCodes, Pairing};
use crate::readers::{ReadError, Readers};
use crate::writer::{WriteError, Writer};

/// Who speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Somebody on this machine, where tills are not asked who they are.
    Anyone,
    /// A paired till.
    Till(TillId),
    /// The owner of the data folder.
    Owner,
}

/// A request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLetIn {
    /// It names no token.
    TokenNeeded,
    /// It names one that opens nothing: of another run, or taken back.
    TokenUnknown,
}

/// A till is not paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PairError {
    /// No such code holds.
    Code,
    /// Too many wrong codes came from that address.
    TooMany {
        /// For how long nothing is taken from there.
        wait: Duration,
    },
    /// A rule forbids it.
    Refused(Refused),
    /// The books could not be written.
    Write(WriteError),
}

/// Tills that may come in.
type Tokens = Arc<Vec<(TillId, TokenHash)>>;

/// The doors. Clones share them.
#[derive(Debug, Clone)]
pub struct Doors {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tills: Tills,
    owner: TokenHash,
    writer: Writer,
    readers: Readers,
    tokens: watch::Sender<Tokens>,
    codes: Mutex<PairCodes>,
    /// Held while tokens change in the books and here, so that both change in the same order.
    changing: tokio::sync::Mutex<()>,
}

impl Doors {
    /// Reads who may come in.
    pub async fn new(tills: Tills, owner: TokenHash, writer: Writer, readers: Readers) -> Result<Self, ReadError> {
        let tokens = readers.read(|view| view.till_tokens()).await?;
        let tokens = watch::Sender::new(Arc::new(tokens));
        let (codes, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { shared: Arc::new(Shared { tills, owner, writer, readers, tokens, codes, changing }) })
    }

    /// Who names this token.
    pub fn caller(&self, token: Option<&str>) -> Result<Caller, NotLetIn> {
        let Some(token) = token else {
            return match self.shared.tills {
                Tills::Open => Ok(Caller::Anyone),
                Tills::Paired => Err(NotLetIn::TokenNeeded),
            };
        };
        let hash = TokenHash::of(token);
        if hash == self.shared.owner {
            return Ok(Caller::Owner);
        }
        let tokens = self.shared.tokens.borrow();
        let till = tokens.iter().find(|(_, known)| *known == hash);
        till.map(|(till_id, _)| Caller::Till(till_id.clone())).ok_or(NotLetIn::TokenUnknown)
    }

    /// Waits until a caller's token does not hold any more. For others than tills that is never.
    pub async fn closed_to(&self, caller: &Caller) {
        let Caller::Till(till_id) = caller else { return std::future::pending().await };
        let mut tokens = self.shared.tokens.subscribe();
        // An error means that the doors are gone, and with them the agent.
        let _ = tokens.wait_for(|tokens| tokens.iter().all(|(paired, _)| paired != till_id)).await;
    }

    /// Makes a code by which so many tills pair.
    pub fn make_code(&self, tills: u32) -> Result<PairCode, WriteError> {
        let random = random_u64()?;
        let code = self.codes(|codes| codes.make(random, tills, Instant::now()));
        Ok(PairCode { code, tills, expires_in_s: CODE_LIFE.as_secs() })
    }

    /// Pairs a till that speaks from an address. Its token is shown here and nowhere else; a till that asks again, as it did
    /// not hear, gets another one.
    pub async fn pair(&self, pair: PairTill, from: IpAddr) -> Result<TillToken, PairError> {
        let pairing = pair.pair_id.map(|pair_id| Pairing { till_id: pair.till_id.clone(), pair_id });
        let taken = self.codes(|codes| codes.take(&pair.code, pairing.as_ref(), from, Instant::now()));
        let place = taken.map_err(|why| match why {
            NotTaken::Wrong => PairError::Code,
            NotTaken::TooMany { wait } => PairError::TooMany { wait },
        })?;
        let doors = self.clone();
        // A task of its own: a till that hangs up must not leave the books and the doors apart.
        let pairing = tokio::spawn(async move {
            let _changing = doors.shared.changing.lock().await;
            let paired = doors.pair_by_code(pair.till_id, pair.name, place.again).await;
            doors.codes(|codes| match (&paired, pairing) {
                (Err(_), _) => codes.give_back(place),
                (Ok(_), Some(pairing)) => codes.paired(place, pairing),
                (Ok(_), None) => {}
            });
            paired
        });
        pairing.await.unwrap_or(Err(PairError::Write(WriteError::Closed)))
    }

    /// While the doors are being changed by nobody else.
    async fn pair_by_code(&self, till_id: TillId, name: String, again: bool) -> Result<TillToken, PairError> {
        let token = Token::random().map_err(|error| PairError::Write(error.into()))?;
        let (id, hash) = (till_id.clone(), token.hash());
        let paired = self.shared.writer.act(move |store, moment| store.pair_till(moment, id, name, hash, again)).await;
        paired.map_err(PairError::Write)?.map_err(PairError::Refused)?;
        self.shared.tokens.send_modify(|tokens| {
            let others = tokens.iter().filter(|(paired, _)| *paired != till_id).cloned();
            *tokens = Arc::new(others.chain([(till_id.clone(), hash)]).collect());
        });
        Ok(TillToken { till_id, token: token.reveal().to_owned() })
    }

    /// Takes a till's token back. What it has open ends.
    pub async fn revoke(&self, till_id: TillId) -> Result<TillView, PairError> {
        let doors = self.clone();
        let revoking = tokio::spawn(async move {
            let _changing = doors.shared.changing.lock().await;
            let id = till_id.clone();
            let revoked = doors.shared.writer.act(move |store, moment| store.revoke_till(moment, &id)).await;
            let view = revoked.map_err(PairError::Write)?.map_err(PairError::Refused)?;
            doors.codes(|codes| codes.revoked(&till_id));
            doors.shared.tokens.send_modify(|tokens| {
                *tokens = Arc::new(tokens.iter().filter(|(paired, _)| *paired != till_id).cloned().collect());
            });
            Ok(view)
        });
        revoking.await.unwrap_or(Err(PairError::Write(WriteError::Closed)))
    }

    /// All tills that were ever paired.
    pub async fn tills(&self) -> Result<Vec<TillView>, ReadError> {
        self.shared.readers.read(|view| view.tills()).await
    }

    fn codes<T>(&self, change: impl FnOnce(&mut PairCodes) -> T) -> T {
        change(&mut self.shared.codes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
