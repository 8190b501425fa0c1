//! What a printer gets, without a printer: data and a template become a [`Document`], a document becomes bytes, bytes
//! become a picture.
//!
//! - [`template`] renders data with a template that a person can edit, and `markup` reads the result into a
//!   [`Document`], which knows no device.
//! - [`encode`](encode()) makes ESC/POS bytes out of it for a [`Profile`]. What the printer's code page lacks is sent as
//!   a picture of the line, so any script of the font prints on any printer.
//! - [`interpret`](interpret()) reads ESC/POS bytes as a printer would, and [`png::preview`] draws the paper. So a preview
//!   shows the very bytes that are sent, and a test of the preview is a test of the bytes.
//! - [`status`] asks a printer how it is, and [`job`] says what a print job may do next, so that nothing is printed twice by
//!   itself.
//!
//! The crate does not know sockets, device files, the database or the clock: `agent/src/printing/` is the shell around it.
//! Text runs from left to right: scripts that join their letters or run the other way are printed letter by letter.

#![forbid(unsafe_code)]

pub mod bitmap;
pub mod context;
pub mod document;
mod encode;
mod font;
mod interpret;
pub mod job;
mod layout;
mod markup;
pub mod png;
pub mod profile;
mod qr;
pub mod status;
pub mod template;

pub use bitmap::Bitmap;
pub use document::{Document, DocumentError, Item};
pub use encode::encode;
pub use interpret::{Mark, Paper, interpret};
pub use profile::Profile;
