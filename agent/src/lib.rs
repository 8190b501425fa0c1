//! The store daemon: sells, keeps every sale in SQLite, and sends it to the centre.

#![forbid(unsafe_code)]

pub mod db;
pub mod enroll;
pub mod identity;
pub mod telemetry;
pub mod uplink;
