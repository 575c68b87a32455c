//! Files, folders, blobs and standard input, compressed or not.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::error::IngestError;
use super::storage::{self, Blob};

/// How a path is spelt in messages: `-` is standard input.
#[must_use]
pub fn shown(path: &Path) -> String {
    if is_stdin(path) { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// Whether the path stands for standard input.
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// What is read as one: a file, standard input or a blob.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, or standard input.
    File(PathBuf),
    /// A blob in object storage.
    Blob(Blob),
}

/// What stands behind a path.
#[derive(Clone, Debug)]
pub struct Found {
    /// The sources, at least one.
    pub sources: Vec<Source>,
    /// Whether the path was that of a folder, whose files nobody named one by one.
    pub is_folder: bool,
}

/// What stands behind a path: a file, standard input, the files of a folder, or blobs where it is the address of some.
///
/// Folders are walked recursively, in the order of their entries' names; hidden entries are left out. So are prefixes of
/// blobs.
///
/// # Errors
///
/// Fails on a path that does not exist or cannot be read, and on a folder without a file.
pub fn find(path: &Path) -> Result<Found, IngestError> {
    if let Some(address) = storage::address(path) {
        let (blobs, is_folder) = storage::find(address)?;
        return Ok(Found { sources: blobs.into_iter().map(Source::Blob).collect(), is_folder });
    }
    let is_folder =
        !is_stdin(path) && fs::metadata(path).map_err(|error| IngestError::io(&shown(path), error))?.is_dir();
    let mut files = Vec::new();
    if is_folder {
        walk(path, &mut files)?;
        if files.is_empty() {
            return Err(IngestError::EmptyFolder { path: shown(path) });
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(Found { sources: files.into_iter().map(Source::File).collect(), is_folder })
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), IngestError> {
    let error = |error| IngestError::io(&shown(folder), error);
    let mut entries = fs::read_dir(folder).map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // `metadata` of the path follows links: a linked folder of exports is as good as a real one, and a loop of
        // links ends in an error of the system.
        let kind = fs::metadata(&path).map_err(|error| IngestError::io(&shown(&path), error))?;
        if kind.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// What becomes of streams while they are read.
#[derive(Debug, Default)]
pub struct Watch {
    taken: AtomicU64,
    broken: Mutex<Option<IngestError>>,
}

impl Watch {
    /// How much was taken of all sources as they lie there, in bytes.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Counts from nothing again.
    pub fn restart(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    /// Whether all that was read is what lies there.
    ///
    /// Where a file cannot be read on, that is damage of the file: readers end there, and what came before counts. Where
    /// storage gives no more of a blob the blob is as whole as before, and an answer from its beginning alone would be
    /// another one tomorrow.
    ///
    /// # Errors
    ///
    /// Fails once with what broke the reading of a blob off.
    pub fn unbroken(&self) -> Result<(), IngestError> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

impl Source {
    /// The one source of this path: no folder is looked into.
    ///
    /// # Errors
    ///
    /// Fails if the path is the address of a blob that is not there.
    pub fn at(path: &Path) -> Result<Self, IngestError> {
        match storage::address(path) {
            Some(address) => storage::one(address).map(Self::Blob),
            None => Ok(Self::File(path.to_owned())),
        }
    }

    /// How it is spelt in messages and results.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => shown(path),
            Self::Blob(blob) => blob.name(),
        }
    }

    /// Whether it is standard input.
    #[must_use]
    pub fn is_stdin(&self) -> bool {
        matches!(self, Self::File(path) if is_stdin(path))
    }

    /// How many bytes lie there, where that is known.
    #[must_use]
    pub fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File(path) => fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len()),
            Self::Blob(blob) => Some(blob.size_bytes()),
        }
    }

    /// Opens it; gzip and zstd are recognised by their first bytes and unpacked on the way. What is taken of it as it lies
    /// there, in bytes, is added to the watch's count.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be opened or its first bytes cannot be read.
    pub fn open(&self, watch: &Arc<Watch>) -> Result<Box<dyn Read + Send>, IngestError> {
        let error = |error| IngestError::io(&self.name(), error);
        let inner: Box<dyn Read + Send> = match self {
            Self::File(path) if is_stdin(path) => Box::new(io::stdin()),
            Self::File(path) => Box::new(File::open(path).map_err(error)?),
            Self::Blob(blob) => Box::new(blob.open()),
        };
        let blob = match self {
            Self::File(_) => None,
            Self::Blob(blob) => Some(blob.name()),
        };
        let mut raw = Watched { inner, blob, watch: Arc::clone(watch) };
        let mut head = Vec::with_capacity(4);
        raw.by_ref().take(4).read_to_end(&mut head).map_err(error)?;
        let gzip = head.starts_with(&[0x1f, 0x8b]);
        let zstd = head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let whole = BufReader::with_capacity(1 << 16, io::Cursor::new(head).chain(raw));
        Ok(if gzip {
            Box::new(flate2::bufread::MultiGzDecoder::new(whole))
        } else if zstd {
            Box::new(zstd::Decoder::with_buffer(whole).map_err(error)?)
        } else {
            Box::new(whole)
        })
    }

    /// Reads it whole, unpacked, up to `limit_bytes`.
    ///
    /// # Errors
    ///
    /// Fails if it cannot be read or holds more.
    pub fn read(&self, limit_bytes: u64) -> Result<Vec<u8>, IngestError> {
        let mut bytes = Vec::new();
        self.open(&Arc::default())?
            .take(limit_bytes + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| IngestError::io(&self.name(), error))?;
        if bytes.len() as u64 > limit_bytes {
            return Err(IngestError::TooLarge { path: self.name(), limit_bytes });
        }
        Ok(bytes)
    }
}

/// Tells the watch what is read.
struct Watched {
    inner: Box<dyn Read + Send>,
    /// The blob's name, where it is one.
    blob: Option<String>,
    watch: Arc<Watch>,
}

impl Read for Watched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into);
        match (&read, &self.blob) {
            // Whoever looks at it wants to know roughly how far it has come.
            (Ok(count), _) => {
                self.watch.taken.fetch_add(*count as u64, Ordering::Relaxed);
            }
            (Err(error), Some(blob)) => {
                let copy = io::Error::new(error.kind(), error.to_string());
                let mut broken = self.watch.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.get_or_insert(IngestError::io(blob, copy));
            }
            (Err(_), None) => {}
        }
        read
    }
}

/// As [`Source::open`], of a path and without a watch.
///
/// # Errors
///
/// Fails as [`Source::at`] and [`Source::open`] do.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, IngestError> {
    Source::at(path)?.open(&Arc::default())
}

/// As [`Source::read`], of a path.
///
/// # Errors
///
/// Fails as [`Source::at`] and [`Source::read`] do.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, IngestError> {
    Source::at(path)?.read(limit_bytes)
}
