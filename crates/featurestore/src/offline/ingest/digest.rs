//! What tells one file from another, whatever they are called.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::super::OfflineError;
use super::super::source::{Found, read_error};

/// The SHA-256 of a file's bytes, as 64 hexadecimal digits.
pub(super) fn of(found: &Found) -> Result<String, OfflineError> {
    let run = || -> Result<String, schema::BoxError> {
        let mut file = found.open()?;
        let mut digest = Sha256::new();
        let mut piece = vec![0; 1 << 20];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                n => digest.update(&piece[..n]),
            }
        }
        Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    };
    run().map_err(|why| read_error(&found.name, why))
}
