//! Stopping when asked to, without losing what is under way.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::Interrupted;

/// Set once somebody has asked to stop.
static STOP: AtomicBool = AtomicBool::new(false);

/// Listens for interrupts. After a first one, [`was_asked`] says so and the command ends when it can do so without loss; a
/// second one ends the program at once.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(Interrupted::CODE));
        }
    })?;
    Ok(())
}

/// Removes a temporary directory when the program is interrupted, told to end, or loses its terminal, and ends it: nothing
/// that is under way would be lost.
pub(crate) fn remove_when_asked(directory: PathBuf) {
    let listening = ctrlc::set_handler(move || {
        // What cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&directory);
        std::process::exit(i32::from(Interrupted::CODE));
    });
    // Without it the program ends as it would anyway, and the system removes the directory one day.
    drop(listening);
}

/// Whether somebody has asked to stop.
pub(crate) fn was_asked() -> bool {
    STOP.load(Ordering::SeqCst)
}
