//! What a file holds, in short: its SHA-256 (FIPS 180-4).

use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::files::again;

/// The number of bytes of a file, and their hash. They are read in pieces: a model may be longer than
/// what one would hold in memory beside it.
///
/// # Errors
/// The system's own.
pub(crate) fn hash(mut file: impl Read) -> io::Result<(u64, [u8; 32])> {
    let (mut bytes, mut hash) = (0, Sha256::new());
    let mut buffer = vec![0; 64 << 10];
    loop {
        match again(|| file.read(&mut buffer))? {
            0 => return Ok((bytes, hash.finalize().into())),
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

/// A hash in hexadecimal.
pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
