//! Requests to end: Ctrl-C, and SIGTERM as batch systems and service managers send it.
//!
//! The first of them lets a run write its checkpoint; the second ends the process at once.

use onesheet::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The number of the first signal that came; 0 before.
static FIRST: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on, the first request is remembered.
///
/// # Errors
/// [`Error::Io`] if the system refuses.
pub fn listen() -> Result<()> {
    if FIRST.get().is_some() {
        return Ok(());
    }
    let (first, has_come) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGINT, SIGTERM] {
        // They act in this order, so that the first signal only prepares what the second does.
        let listening = flag::register_conditional_default(signal, has_come.clone())
            .and_then(|_| flag::register(signal, has_come.clone()))
            .and_then(|_| flag::register_usize(signal, first.clone(), signal as usize));
        listening.map_err(Error::io(Path::new("signals"), "listen for them"))?;
    }
    let _ = FIRST.set(first);
    Ok(())
}

/// The number of the signal that has asked to end, if one has.
pub fn asked() -> Option<u8> {
    let number = FIRST.get()?.load(Ordering::Relaxed);
    u8::try_from(number).ok().filter(|&number| number > 0)
}
