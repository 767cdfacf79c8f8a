//! The files of a zip archive, and reading them from any thread.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use zip::read::ZipFileEntry;
use zip::result::ZipResult;
use zip::{CompressionMethod, ZipArchive};

use super::dataset::{DatasetError, ZipObstacle};
use super::layout::{Entry, EntryKind, Place, is_image};
use super::names;
use super::read_at::read_at;

/// The longest path that a link may have.
const MAX_TARGET: u64 = 4096;

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
        let zip = Self { archive, file };
        check_readable(path, &zip.archive)?;
        let entries = (0..zip.archive.len()).map(|index| zip.entry(index));
        let mut entries: Vec<Entry> = entries.collect::<ZipResult<_>>().map_err(damaged)?;
        entries.retain(|entry| !entry.path.is_empty());
        Ok((zip, entries))
    }

    fn entry(&self, index: usize) -> ZipResult<Entry> {
        let entry = self.archive.by_index_data(index)?;
        let path = names::path(entry.name()?.as_bytes());
        let kind = match () {
            () if entry.is_dir() => EntryKind::Folder,
            () if entry.is_symlink() => EntryKind::Link(self.target(index, &path)),
            () => EntryKind::File(Place::Zip { index }),
        };
        Ok(Entry { path, kind })
    }

    /// The path that entry `index`, a link called `path`, leads to, which is its content.
    fn target(&self, index: usize, path: &[u8]) -> Option<Vec<u8>> {
        let content = self.read(index, MAX_TARGET).ok().flatten()?;
        names::target(names::split(path).0.unwrap_or_default(), &content)
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

/// Whether the images of an archive are stored in a way that is read here.
fn check_readable(path: &Path, archive: &ZipArchive<Shared>) -> Result<(), DatasetError> {
    let entries = (0..archive.len()).filter_map(|index| archive.by_index_data(index).ok());
    let mut images = entries.filter(|entry| entry.is_file() && is_image(entry.name_raw()));
    let Some((obstacle, entry)) = images.find_map(|entry| Some((obstacle(&entry)?, entry))) else {
        return Ok(());
    };
    Err(DatasetError::UnsupportedZip {
        path: path.to_owned(),
        example: names::shown(entry.name_raw()),
        obstacle,
    })
}

fn obstacle(entry: &ZipFileEntry<'_>) -> Option<ZipObstacle> {
    let method = entry.compression();
    if entry.encrypted() {
        Some(ZipObstacle::Password)
    } else if [CompressionMethod::STORE, CompressionMethod::DEFLATE].contains(&method) {
        None
    } else {
        #[expect(deprecated, reason = "the user is told the number")]
        let number = method.to_u16();
        let name = CompressionMethod::name_from_u16(number);
        Some(ZipObstacle::Compression { number, name })
    }
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
