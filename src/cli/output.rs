//! Where output goes: standard output, or a file that appears only when it is whole.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tempfile::NamedTempFile;

use super::CliError;

/// Files that are being written, to be removed on an interrupt.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Ends with status 130 on an interrupt and leaves no half-written file behind.
pub(super) fn end_cleanly_on_interrupt() {
    // A second handler in one process, as in tests, changes nothing.
    let _set = ctrlc::set_handler(|| {
        for path in UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _gone = std::fs::remove_file(path);
        }
        std::process::exit(130);
    });
}

/// A file under way: written beside its place and renamed when whole.
pub(super) struct OutputFile {
    writer: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl OutputFile {
    /// Starts a file.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Said of the folder that the user named: what goes wrong with the file of our own says its passing name.
        std::fs::metadata(folder).map_err(|source| failed(path, source))?;
        let file = tempfile::Builder::new()
            .prefix(".nsgsim-")
            .tempfile_in(folder)
            .map_err(|source| failed(path, source))?;
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(file.path().to_owned());
        Ok(Self { writer: BufWriter::with_capacity(1 << 16, file), path: path.to_owned() })
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let path = self.path;
        let file = self.writer.into_inner().map_err(|error| failed(&path, error.into_error()))?;
        let unfinished = file.path().to_owned();
        // A temporary file is private; what it becomes is an ordinary file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let ordinary = std::fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(ordinary).map_err(|source| failed(&path, source))?;
        }
        file.persist(&path).map_err(|error| failed(&path, error.error))?;
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != unfinished);
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Writes a whole answer to a file, or to standard output.
pub(super) fn write(path: Option<&Path>, text: &str) -> Result<(), CliError> {
    match path {
        None => {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes())
                .and_then(|()| out.flush())
                .map_err(|source| failed(Path::new("<stdout>"), source))
        }
        Some(path) => {
            let mut file = OutputFile::create(path)?;
            file.write_all(text.as_bytes()).map_err(|source| failed(path, source))?;
            file.finish()
        }
    }
}

/// An output that could not be written.
pub(super) fn failed(path: &Path, source: io::Error) -> CliError {
    CliError::Output { path: path.display().to_string(), source }
}
