//! A blob as a stream: ranges of bytes one after the other, the next one on its way while one is read.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use futures_util::StreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore};
use tokio::task::JoinHandle;

use super::attempts::Attempts;
use super::{Blob, Container};

/// How much is asked for at first: most blobs are opened once for their first record alone.
const FIRST_RANGE: u64 = 256 << 10;

/// How much is asked for in the end, which bounds the memory that an open blob takes: twice as much.
const LAST_RANGE: u64 = 8 << 20;

/// Each range is so many times as long as the one before.
const GROWTH: u64 = 4;

/// A blob that is being read.
pub(super) struct BlobReader {
    blob: Blob,
    /// Which state of the blob is read; before the first range is there, whichever it is in.
    version: Version,
    /// What was read so far, and how much of it was taken.
    range: Vec<u8>,
    taken: usize,
    /// The first byte that was not asked for, and how many are asked for next.
    next: u64,
    most: u64,
    ahead: Option<Ahead>,
}

/// A state of a blob.
#[derive(Clone)]
struct Version {
    size_bytes: u64,
    etag: Option<String>,
}

/// A range that is on its way.
struct Ahead(JoinHandle<io::Result<(Vec<u8>, Version)>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl BlobReader {
    pub(super) fn new(blob: Blob) -> Self {
        let version = Version { size_bytes: blob.size_bytes, etag: None };
        Self { blob, version, range: Vec::new(), taken: 0, next: 0, most: FIRST_RANGE, ahead: None }
    }

    /// Asks for the next range; nothing at the end.
    fn asked(&mut self) -> Option<impl Future<Output = io::Result<(Vec<u8>, Version)>> + use<>> {
        let range = self.next..self.version.size_bytes.min(self.next + self.most);
        if range.is_empty() {
            return None;
        }
        self.next = range.end;
        self.most = LAST_RANGE.min(self.most * GROWTH);
        let Blob { container, path, .. } = &self.blob;
        Some(fetch(Arc::clone(container), path.clone(), range, self.version.clone()))
    }

    /// Goes on to the next range; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let is_first = self.next == 0;
        let runtime = Arc::clone(&self.blob.runtime);
        let fetched = if let Some(mut ahead) = self.ahead.take() {
            runtime.block_on(&mut ahead.0).map_err(io::Error::other)?
        } else if let Some(asked) = self.asked() {
            runtime.block_on(asked)
        } else {
            return Ok(false);
        };
        (self.range, self.version) = fetched?;
        self.taken = 0;
        // A blob that was found may have grown until now.
        self.next = self.next.min(self.version.size_bytes);
        // Who has read the first range whole will want them all.
        if !is_first {
            self.ahead = self.asked().map(|asked| Ahead(runtime.spawn(asked)));
        }
        Ok(true)
    }
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.range.len() && !self.advance()? {
            return Ok(0);
        }
        let count = (&self.range[self.taken..]).read(into)?;
        self.taken += count;
        Ok(count)
    }
}

/// Fetches a range of this version of a blob, however often the connection breaks.
///
/// # Errors
///
/// Fails if the blob is in another version by now, or the service gives no further byte.
async fn fetch(
    container: Arc<Container>,
    path: Path,
    range: Range<u64>,
    mut version: Version,
) -> io::Result<(Vec<u8>, Version)> {
    let mut bytes = Vec::with_capacity(usize::try_from(range.end - range.start).unwrap_or_default());
    let mut attempts = Attempts::default();
    loop {
        let at = range.start + bytes.len() as u64;
        if at >= range.end.min(version.size_bytes) {
            return Ok((bytes, version));
        }
        let answer = take(&container, &path, at..range.end, &mut version, &mut bytes).await;
        let reached = range.start + bytes.len() as u64;
        if reached > at {
            attempts.restart();
        }
        let error = match answer {
            Err(error) => error,
            Ok(()) if reached > at => continue,
            Ok(()) => Error::Generic { store: "MicrosoftAzure", source: "the answer holds no byte".into() },
        };
        match attempts.after(error) {
            Ok(pause) => tokio::time::sleep(pause).await,
            Err(failed) => {
                let failed = failed.explained(&container);
                return Err(io::Error::new(failed.kind(), format!("from byte {reached} on: {failed}")));
            }
        }
    }
}

/// Takes what one request gives.
async fn take(
    container: &Container,
    path: &Path,
    range: Range<u64>,
    version: &mut Version,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    let options = GetOptions {
        range: Some(GetRange::Bounded(range)),
        if_match: version.etag.clone(),
        ..GetOptions::default()
    };
    let answer = container.store.get_opts(path, options).await?;
    *version = Version { size_bytes: answer.meta.size, etag: answer.meta.e_tag.clone() };
    let mut missing = answer.range.end - answer.range.start;
    let mut pieces = answer.into_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        missing = missing.saturating_sub(piece.len() as u64);
        bytes.extend_from_slice(&piece);
    }
    if missing > 0 {
        let source = format!("the answer ends {missing} bytes early").into();
        return Err(Error::Generic { store: "MicrosoftAzure", source });
    }
    Ok(())
}
