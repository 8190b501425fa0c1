
pub mod mqtt;
