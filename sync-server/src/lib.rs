//! The central sync service: takes the stores' sales in over MQTT, applies each exactly once, and answers for them.
//!
//! Layout: [`mqtt`] speaks to the stores, [`broker`] to a broker between them and us; [`ingest`] carries their messages to the [`ledger`] and the answers back;
//! [`roll_up`] sums up behind it; [`instances`] shares the work with other servers on the same database; [`http`] serves head office, and `console` is its first page; [`run`] starts all of it and ends it in order. `cli`,
//! `config` and `commands` are the outside of the program.
//!
//! It does not know the agent: the two meet in the crate `protocol`, and in `tests`. What a batch means and how fast
//! stores may send is not decided here either, but in `sync-core`.

pub mod backtest;
pub mod broker;
pub mod claim;
pub mod cli;
pub mod commands;
pub mod config;
mod console;
pub mod credentials;
pub mod data_dir;
pub mod env_vars;
pub mod http;
pub mod ingest;
pub mod instances;
pub mod ledger;
pub mod mqtt;
pub mod partitions;
pub mod price_books;
pub mod price_watch;
pub mod reconcile;
pub mod roll_up;
pub mod run;
pub mod telemetry;
