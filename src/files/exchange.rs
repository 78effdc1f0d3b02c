//! Exchanging two files or folders under their names.

use crate::files::again;
use std::fs::rename;
use std::io;
use std::path::Path;

/// Puts `new` in the place of `old`, and `old`, if there is one, in the place of `new`; both are on
/// one disk.
///
/// Where the system can exchange two names at once, there is no moment without one of them. Where
/// it cannot, `old` stands aside as `<new>.old` for the moment between two renames.
pub(crate) fn exchange(new: &Path, old: &Path) -> io::Result<()> {
    if let Some(parent) = old.parent() {
        std::fs::create_dir_all(parent)?;
    }
    if old.symlink_metadata().is_err() {
        return again(|| rename(new, old));
    }
    match again(|| exchange_names(new, old)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
            let mut aside = new.as_os_str().to_owned();
            aside.push(".old");
            again(|| rename(old, Path::new(&aside)))?;
            again(|| rename(new, old))?;
            again(|| rename(Path::new(&aside), new))
        }
        done => done,
    }
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn exchange_names(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn exchange_names(_a: &Path, _b: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
