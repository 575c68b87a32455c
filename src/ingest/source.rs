//! Files, folders and standard input, compressed or not.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::IngestError;

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

/// The files behind the paths: folders are walked recursively, in the order of their entries' names; hidden entries
/// are left out.
///
/// # Errors
///
/// Fails on a path that does not exist or cannot be read, and on a folder without a file.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, IngestError> {
    let mut found = Vec::new();
    for path in paths {
        if is_stdin(path) {
            found.push(path.clone());
            continue;
        }
        let kind = fs::metadata(path).map_err(|error| IngestError::io(&shown(path), error))?;
        if kind.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(IngestError::EmptyFolder { path: shown(path) });
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
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

/// Opens a file or standard input; gzip and zstd are recognised by their first bytes and unpacked on the way.
///
/// # Errors
///
/// Fails if the file cannot be opened or its first bytes cannot be read.
pub fn open(path: &Path) -> Result<Box<dyn Read + Send>, IngestError> {
    open_counted(path, &Arc::default())
}

/// As [`open`]; what is taken of the file as it lies there, in bytes, is added to a count.
///
/// # Errors
///
/// Fails as [`open`] does.
pub fn open_counted(path: &Path, taken: &Arc<AtomicU64>) -> Result<Box<dyn Read + Send>, IngestError> {
    let error = |error| IngestError::io(&shown(path), error);
    let raw: Box<dyn Read + Send> =
        if is_stdin(path) { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(error)?) };
    let mut raw = Counted { inner: raw, taken: Arc::clone(taken) };
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

/// Counts what is read.
struct Counted {
    inner: Box<dyn Read + Send>,
    taken: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        // Whoever looks at it wants to know roughly how far it has come.
        self.taken.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Reads a file whole, unpacked, up to `limit_bytes`.
///
/// # Errors
///
/// Fails if the file cannot be read or holds more.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, IngestError> {
    let mut bytes = Vec::new();
    open(path)?
        .take(limit_bytes + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| IngestError::io(&shown(path), error))?;
    if bytes.len() as u64 > limit_bytes {
        return Err(IngestError::TooLarge { path: shown(path), limit_bytes });
    }
    Ok(bytes)
}
