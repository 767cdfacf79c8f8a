//! The files of a zip archive, and reading them from any thread.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use zip::ZipArchive;
use zip::result::ZipResult;

use super::dataset::DatasetError;
use super::layout::{Entry, EntryKind, Place, parts};
use super::read_at::read_at;

/// A zip archive whose list of files has been read.
#[derive(Debug)]
pub(super) struct ZipFile {
    archive: ZipArchive<Shared>,
    file: Arc<File>,
}

impl ZipFile {
    /// Reads the list of files, which is at the end of `file`; errors call it `path`. Of two entries with one name it
    /// has the later.
    pub(super) fn open(path: &Path, file: File) -> Result<(Self, Vec<Entry>), DatasetError> {
        let damaged = |source| DatasetError::DamagedZip {
            path: path.to_owned(),
            source,
        };
        let file = Arc::new(file);
        let reader = Shared {
            file: Arc::clone(&file),
            position: 0,
        };
        let archive = ZipArchive::new(reader).map_err(damaged)?;
        let entries = (0..archive.len()).map(|index| entry(&archive, index));
        let mut entries: Vec<Entry> = entries.collect::<ZipResult<_>>().map_err(damaged)?;
        entries.retain(|entry| !entry.parts.is_empty());
        Ok((Self { archive, file }, entries))
    }

    /// The system's metadata of the archive.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    /// The content of entry `index`, or `None` if that is more than `limit` bytes.
    pub(super) fn read(&self, index: usize, limit: u64) -> io::Result<Option<Vec<u8>>> {
        // A reader of this call's own, with a position of its own; the list of files is shared.
        let mut archive = self.archive.clone();
        let mut bytes = Vec::new();
        archive
            .by_index(index)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }
}

fn entry(archive: &ZipArchive<Shared>, index: usize) -> ZipResult<Entry> {
    let entry = archive.by_index_data(index)?;
    let kind = match () {
        () if entry.is_dir() => EntryKind::Folder,
        () if entry.is_file() => EntryKind::File(Place::Zip { index }),
        () => EntryKind::Other,
    };
    let parts = parts(Path::new(&*entry.name()?));
    Ok(Entry { parts, kind })
}

/// A reader of a file that other readers share.
#[derive(Clone, Debug)]
struct Shared {
    file: Arc<File>,
    position: u64,
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = read_at(&self.file, buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
