//! The commands, one a file.

pub(crate) mod backends;
pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod eval;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod reason;
pub(crate) mod solve;
pub(crate) mod train;
pub(crate) mod verify;
