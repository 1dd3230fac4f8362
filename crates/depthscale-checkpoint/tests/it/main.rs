//! The public behaviour of the crate, on files.

mod damage;
mod fixtures;
mod opening;
mod reading;
mod sharded;
mod stored;
mod writing;
