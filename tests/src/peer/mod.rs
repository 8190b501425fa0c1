//! The program that most teams would write instead, to be run beside ours on the same load: a plain outbox over HTTP.
//!
//! A store keeps its sales, posts up to 500 of them as JSON, and tries again with a growing back-off until it is answered.
//! The server puts them into a table with `INSERT ... ON CONFLICT DO NOTHING`, one database transaction for each request,
//! and answers after the commit. So nothing is lost or doubled here either, as long as no store is restored or copied.
//!
//! It is meant to be fair, and where it differs it has less to do: no login, no hash chain, no stock, no price check,
//! no totals. It has the same settings of SQLite, or the same
//! PostgreSQL server with a pool of connections; the same rows of sales and lines that an analyst can query, keep-alive
//! connections that its stores share, and a prepared statement for each table. What it has not is what this program is
//! about: credit, and commits that several stores share.

mod postgres;
mod server;
mod sqlite;
mod store;

pub use server::{PeerCount, PeerReady, serve};
pub(crate) use store::{PeerLink, PeerStore};
