//! What the machine does not let us do, which trying again does not change.

use std::error::Error;
use std::io;

/// Whether an error comes of what whoever runs this may not read or write.
pub(super) fn forbids(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) = kind {
            return true;
        }
        cause = error.source();
    }
    false
}
