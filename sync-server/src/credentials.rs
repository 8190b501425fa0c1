//! Who may come in, answered from memory.
//!
//! Logins are checked against a copy of the ledger's registry. Another process may change the registry (`store add`,
//! `store revoke`), so a task looks at its version every second, and at once when a login failed that might be new. The
//! secrets themselves are nowhere: what a store logs in with is hashed and compared.
//!
//! A store's password is derived from its secret, so that a broker can be told it and learns nothing else. Whoever logs in
//! with it may be a broker that has seen it; its messages must prove their store. A login with the secret itself needs no
//! more.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use pos_model::StoreId;
use protocol::proof::StoreKeys;
use tokio::sync::Notify;

use crate::ledger::{Credential, LedgerError, Registry, SecretHash, StoreStatus};
use crate::mqtt::{Authenticator, LoginRefused, Trust, Verified};
use crate::partitions::PartitionSet;

/// The copy in memory.
#[derive(Debug, Default)]
pub struct Credentials {
    known: RwLock<Known>,
    missed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<i64>,
    stores: HashMap<StoreId, (StoreStatus, Option<SecretHash>)>,
}

/// What a refresh found changed at stores that could log in before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Their login was taken away.
    pub revoked: Vec<StoreId>,
    /// They enrolled again: whoever is connected came in with the old secret.
    pub renewed: Vec<StoreId>,
}

impl Credentials {
    /// Reads the registry if it has changed since the last time.
    pub fn refresh(&self, registry: &dyn Registry) -> Result<Changed, LedgerError> {
        let version = registry.registry_version()?;
        if self.known.read().unwrap_or_else(PoisonError::into_inner).version == Some(version) {
            return Ok(Changed::default());
        }
        let stores: HashMap<_, _> = registry
            .credentials()?
            .into_iter()
            .map(|Credential { store, status, secret }| (store, (status, secret)))
            .collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Changed::default();
        for (store, (status, secret)) in &known.stores {
            match stores.get(store) {
                Some((StoreStatus::Active, new)) if new == secret || secret.is_none() => {}
                Some((StoreStatus::Active, Some(_))) => changed.renewed.push(store.clone()),
                _ if *status == StoreStatus::Revoked => {}
                _ => changed.revoked.push(store.clone()),
            }
        }
        *known = Known { version: Some(version), stores };
        Ok(changed)
    }

    /// Takes in that a store enrolled. What else changed waits for the next look at the registry: reading all of it for
    /// each store would make the enrolment of a whole chain cost the square of its stores.
    pub fn learn(&self, store: &StoreId, secret: SecretHash) -> Changed {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.stores.insert(store.clone(), (StoreStatus::Active, Some(secret)));
        let renewed = matches!(before, Some((StoreStatus::Active, Some(old))) if old != secret);
        Changed { revoked: Vec::new(), renewed: if renewed { vec![store.clone()] } else { Vec::new() } }
    }

    /// The version of the registry that was read last.
    pub fn version(&self) -> Option<i64> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// Waits until a login failed that a fresh look at the registry might let in.
    pub async fn missed(&self) {
        self.missed.notified().await;
    }

    /// Whether messages of a store are taken: it is known and not revoked.
    pub fn is_active(&self, store: &StoreId) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.stores.get(store).is_some_and(|(status, _)| *status == StoreStatus::Active)
    }

    /// What proves messages of a store and to it; none if it is not known, revoked, or not enrolled.
    pub fn keys(&self, store: &StoreId) -> Option<StoreKeys> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.stores.get(store) {
            Some((StoreStatus::Active, Some(secret))) => Some(secret.keys()),
            _ => None,
        }
    }

    /// The stores of some partitions that may log in, in order.
    pub fn enrolled_in(&self, partitions: PartitionSet) -> Vec<StoreId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let enrolled = known.stores.iter().filter(|(store, login)| {
            partitions.contains(store.partition()) && matches!(login, (StoreStatus::Active, Some(_)))
        });
        let mut stores: Vec<_> = enrolled.map(|(store, _)| store.clone()).collect();
        stores.sort();
        stores
    }

    /// The stores that may log in, in order, each with its password. What a broker has to know.
    pub fn passwords(&self) -> Vec<(StoreId, String)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let active = known.stores.iter().filter_map(|(store, login)| match login {
            (StoreStatus::Active, Some(secret)) => Some((store.clone(), secret.keys().password())),
            _ => None,
        });
        let mut passwords: Vec<_> = active.collect();
        passwords.sort();
        passwords
    }
}

impl Authenticator for Credentials {
    fn verify(&self, username: &str, password: &[u8]) -> Result<Verified, LoginRefused> {
        let refused = LoginRefused::BadUserNameOrPassword;
        let store = StoreId::new(username).map_err(|_| refused)?;
        let given = SecretHash::of(password);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.stores.get(&store) {
            Some((StoreStatus::Revoked, _)) => Err(LoginRefused::Revoked),
            Some((StoreStatus::Active, Some(secret))) if *secret == given => {
                Ok(Verified { store, trust: Trust::Login })
            }
            Some((StoreStatus::Active, Some(secret))) if secret.keys().is_password(password) => {
                Ok(Verified { store, trust: Trust::Proof })
            }
            _ => {
                self.missed.notify_one();
                Err(refused)
            }
        }
    }
}

/// For tests and simulations: logins that stand from the beginning.
impl FromIterator<Credential> for Credentials {
    fn from_iter<I: IntoIterator<Item = Credential>>(credentials: I) -> Self {
        let stores = credentials.into_iter().map(|Credential { store, status, secret }| (store, (status, secret)));
        Self { known: RwLock::new(Known { version: None, stores: stores.collect() }), missed: Notify::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Claim, CodeHash, SqliteLedger};

    fn store(name: &str) -> StoreId {
        StoreId::new(name).expect("valid")
    }

    fn enroll(registry: &impl Registry, name: &str, secret: &str) {
        let code = CodeHash::of(secret.as_bytes());
        registry.add_store(&store(name), None, Claim { code, expires_at_ms: 10 }, 0).expect("added");
        let enrolled = registry.enroll(&store(name), code, SecretHash::of(secret.as_bytes()), 1).expect("readable");
        enrolled.expect("the code holds");
    }

    #[test]
    fn who_enrols_may_log_in_at_once() {
        let (registry, credentials) = (SqliteLedger::in_memory().expect("opens"), Credentials::default());
        credentials.refresh(&registry).expect("readable");
        let learn = |secret: &str| credentials.learn(&store("a"), SecretHash::of(secret.as_bytes()));
        let login =
            |name: &str, secret: &str| credentials.verify(name, secret.as_bytes()).map(|verified| verified.store);
        assert_eq!(learn("one"), Changed::default());
        assert_eq!(login("a", "one"), Ok(store("a")));
        assert_eq!(learn("two").renewed, [store("a")], "whoever came in with the old secret is cut");
        assert!(login("a", "one").is_err());
        // The registry has the last word: here the store was taken out of it.
        enroll(&registry, "b", "three");
        assert_eq!(credentials.refresh(&registry).expect("readable").revoked, [store("a")]);
        assert_eq!(login("b", "three"), Ok(store("b")));
    }

    #[test]
    fn logins_follow_the_registry() {
        let registry = SqliteLedger::in_memory().expect("opens");
        let credentials = Credentials::default();
        let login =
            |name: &str, secret: &str| credentials.verify(name, secret.as_bytes()).map(|verified| verified.store);
        enroll(&registry, "a", "one");
        assert_eq!(login("a", "one"), Err(LoginRefused::BadUserNameOrPassword), "not seen yet");
        assert_eq!(credentials.refresh(&registry).expect("readable"), Changed::default());
        assert_eq!(login("a", "one"), Ok(store("a")));
        assert_eq!(login("a", "two"), Err(LoginRefused::BadUserNameOrPassword));
        assert_eq!(login("b", "one"), Err(LoginRefused::BadUserNameOrPassword));
        assert_eq!(login("no such id", "one"), Err(LoginRefused::BadUserNameOrPassword));
        enroll(&registry, "a", "two");
        let changed = credentials.refresh(&registry).expect("readable");
        assert_eq!((changed.renewed, changed.revoked), (vec![store("a")], vec![]));
        assert_eq!((login("a", "two"), login("a", "one").is_err()), (Ok(store("a")), true));
        registry.revoke_store(&store("a")).expect("writable");
        let changed = credentials.refresh(&registry).expect("readable");
        assert_eq!((changed.renewed, changed.revoked), (vec![], vec![store("a")]));
        assert_eq!(login("a", "two"), Err(LoginRefused::Revoked));
        assert!(!credentials.is_active(&store("a")));
        assert_eq!(credentials.refresh(&registry).expect("readable"), Changed::default());
        assert!(credentials.passwords().is_empty() && credentials.keys(&store("a")).is_none());
    }

    #[test]
    fn the_password_lets_in_whoever_proves_the_rest() {
        let registry = SqliteLedger::in_memory().expect("opens");
        let credentials = Credentials::default();
        enroll(&registry, "b", "two");
        enroll(&registry, "a", "one");
        credentials.refresh(&registry).expect("readable");
        let password = StoreKeys::of_secret(b"one").password();
        let trust = |name: &str, password: &str| credentials.verify(name, password.as_bytes()).map(|login| login.trust);
        assert_eq!(trust("a", "one"), Ok(Trust::Login));
        assert_eq!(trust("a", &password), Ok(Trust::Proof));
        assert_eq!(trust("b", &password), Err(LoginRefused::BadUserNameOrPassword));
        let passwords = credentials.passwords();
        assert_eq!(passwords.first(), Some(&(store("a"), password)));
        assert_eq!(passwords.len(), 2);
    }
}
