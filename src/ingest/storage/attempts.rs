//! Asking again after what may pass by itself.

use std::io;
use std::time::Duration;

use super::{Container, said};

/// How often something is tried in a row without a byte coming across.
const MOST: u32 = 6;

/// The pause after the first attempt; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Attempts in a row.
#[derive(Default)]
pub(super) struct Attempts {
    failed: u32,
}

impl Attempts {
    /// How long to wait until the next attempt after this error, or that there is none.
    ///
    /// # Errors
    ///
    /// Fails if the error would be the same again, or was met often enough.
    pub(super) fn after(&mut self, error: object_store::Error) -> Result<Duration, Failed> {
        self.failed += 1;
        if self.failed == MOST || !said::may_pass(&error) {
            return Err(Failed { error, attempts: self.failed });
        }
        Ok(FIRST_PAUSE * 2_u32.pow(self.failed - 1))
    }

    /// Begins to count again: the last attempt came further than the one before.
    pub(super) fn restart(&mut self) {
        self.failed = 0;
    }
}

/// What did not come to pass.
#[derive(Debug)]
pub(super) struct Failed {
    error: object_store::Error,
    attempts: u32,
}

impl Failed {
    /// In words, as an error of reading.
    pub(super) fn explained(&self, container: &Container) -> io::Error {
        let said = said::said(&self.error, container.anonymous);
        let kind = match &self.error {
            object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                io::ErrorKind::PermissionDenied
            }
            _ => io::ErrorKind::Other,
        };
        io::Error::new(
            kind,
            match self.attempts {
                1 => said,
                attempts => format!("{attempts} attempts in a row failed: {said}"),
            },
        )
    }
}

/// The answer to what is asked until there is one.
///
/// # Errors
///
/// Fails as [`Attempts::after`] does.
pub(super) async fn persist<T>(ask: impl AsyncFn() -> object_store::Result<T>) -> Result<T, Failed> {
    let mut attempts = Attempts::default();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => tokio::time::sleep(attempts.after(error)?).await,
        }
    }
}
