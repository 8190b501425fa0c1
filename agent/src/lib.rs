//! The store daemon: sells, keeps every sale in SQLite, and sends it to the centre.
//!
//! The parts, from the inside out: [`db`] keeps the books; [`writer`] is the one thread that writes them, and
//! [`readers`] look at them; [`http`] is the local API that tills speak.
//!
//! The crate computes no price (that is `pricing`), decides no rule of the counter (`till`) and none of the uplink
//! (`sync-core`), and shares nothing with the centre but `protocol`.

#![forbid(unsafe_code)]

pub mod changes;
pub mod cli;
pub mod clock;
pub mod clock_watch;
pub mod commands;
pub mod config;
pub mod day_start;
pub mod db;
mod defect;
pub mod doors;
pub mod enroll;
pub mod env_vars;
pub mod folder;
pub mod housekeeping;
pub mod http;
pub mod identity;
pub mod owner;
pub mod owner_client;
pub mod pair_codes;
pub mod payment;
pub mod people_commands;
pub mod pin_desk;
pub mod price_book;
pub mod printing;
pub mod readers;
pub mod replay;
pub mod room;
pub mod run;
pub mod status;
pub mod stock_watch;
pub mod telemetry;
pub mod template_command;
mod training;
pub mod trust;
pub mod uplink;
mod waiting_room;
mod wall_clock;
mod watched;
pub mod writer;

pub use run::{Running, run};
