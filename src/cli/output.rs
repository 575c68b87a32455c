//! Where output goes: standard output, or a file that appears only when it is whole.

use std::fs::File;
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
        // Held until the end, so that no further file is begun.
        let unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        for path in unfinished.iter() {
            let _gone = std::fs::remove_file(path);
        }
        std::process::exit(130);
    });
}

/// A file under way: written beside its place and renamed when whole. What is no ordinary file, such as a device or a
/// pipe, is written to as it is.
pub(super) struct OutputFile {
    writer: Writer,
    path: PathBuf,
}

enum Writer {
    Beside(BufWriter<NamedTempFile>),
    Straight(BufWriter<File>),
}

impl OutputFile {
    /// Starts a file.
    pub(super) fn create(path: &Path) -> Result<Self, CliError> {
        // Behind a link the file that it leads to is replaced, not the link.
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if std::fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
            let file = File::options().write(true).open(path).map_err(|source| failed(path, source))?;
            let writer = Writer::Straight(BufWriter::with_capacity(1 << 16, file));
            return Ok(Self { writer, path: path.to_owned() });
        }
        check(path)?;
        // Held while the file is made: an interrupt waits until it knows of it.
        let mut unfinished = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        let file = tempfile::Builder::new()
            .prefix(".nsgsim-")
            .tempfile_in(folder_of(path))
            .map_err(|source| failed(path, source))?;
        unfinished.push(file.path().to_owned());
        drop(unfinished);
        let writer = Writer::Beside(BufWriter::with_capacity(1 << 16, file));
        Ok(Self { writer, path: path.to_owned() })
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let path = self.path;
        let beside = match self.writer {
            Writer::Beside(writer) => writer,
            Writer::Straight(mut writer) => return writer.flush().map_err(|source| failed(&path, source)),
        };
        let file = beside.into_inner().map_err(|error| failed(&path, error.into_error()))?;
        let unfinished = file.path().to_owned();
        // A temporary file is private; what it becomes is an ordinary file, or keeps the mode of the one it replaces.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let ordinary = std::fs::metadata(&path)
                .map_or_else(|_| std::fs::Permissions::from_mode(0o644), |replaced| replaced.permissions());
            file.as_file().set_permissions(ordinary).map_err(|source| failed(&path, source))?;
        }
        file.persist(&path).map_err(|error| failed(&path, error.error))?;
        UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != unfinished);
        Ok(())
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Writer::Beside(writer) => writer.write(bytes),
            Writer::Straight(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Writer::Beside(writer) => writer.flush(),
            Writer::Straight(writer) => writer.flush(),
        }
    }
}

/// Checks that a file can be made at a path: that its folder is one.
pub(super) fn check(path: &Path) -> Result<(), CliError> {
    let folder = folder_of(path);
    // Said of what the user named: what goes wrong with the file of our own says its passing name.
    let found = std::fs::metadata(folder).map_err(|source| failed(path, source))?;
    if found.is_dir() { Ok(()) } else { Err(failed(path, io::Error::from(io::ErrorKind::NotADirectory))) }
}

/// Checks the files that options name: that each can be made, and that no two are one.
pub(super) fn check_all(named: &[(&str, Option<&Path>)]) -> Result<(), CliError> {
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (option, path) in named {
        let Some(path) = path else { continue };
        // Better said now than after hours.
        check(path)?;
        let place = place(path);
        if let Some((other, _)) = seen.iter().find(|(_, other)| *other == place) {
            return Err(CliError::usage(format!("{other} and {option} name the same file")));
        }
        seen.push((option, place));
    }
    Ok(())
}

/// A file's place, however its path is spelt; the file need not be there.
fn place(path: &Path) -> PathBuf {
    let in_folder = || Some(std::fs::canonicalize(folder_of(path)).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a whole answer to a file, or to standard output.
pub(super) fn write(path: Option<&Path>, text: &str) -> Result<(), CliError> {
    match path {
        None => {
            let mut out = io::stdout().lock();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                // Whoever read has left: that changes nothing about the answer and its exit status.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                written => written.map_err(|source| failed(Path::new("<stdout>"), source)),
            }
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
