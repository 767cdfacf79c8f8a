//! Positions of the files of a tar archive, and reading them there.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use tar::{Archive, EntryType, Header};

use super::dataset::DatasetError;
use super::layout::{Entry, EntryKind, Place};
use super::names::{self, shown};
use super::read_at::{read_at, read_exact_at};

/// Tar archives are made of blocks of this size.
const BLOCK: u64 = 512;

/// Everything in the archive, with offsets into `file`.
pub(super) fn entries(path: &Path, file: &File) -> Result<Vec<Entry>, DatasetError> {
    let path = path.to_owned();
    let archive_length = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(source) => return Err(DatasetError::Unreadable { path, source }),
    };
    let mut index = Index::default();
    let outcome = index.read(file);
    let after = shown(&index.last);
    match outcome {
        // A whole archive ends with blocks of zeros; one that ends with a file has lost what came next.
        Ok(()) if index.end < archive_length => Ok(index.entries),
        _ if after.is_empty() => Err(DatasetError::NotADataset {
            path,
            found: recognised(file),
        }),
        Err(source) if archive_length.is_multiple_of(BLOCK) => Err(DatasetError::DamagedTar {
            path,
            after,
            source,
        }),
        _ => Err(DatasetError::TruncatedTar { path, after }),
    }
}

/// The `length` bytes at `offset`, read without moving a file position that other threads share.
pub(super) fn bytes_at(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    read_exact_at(file, &mut bytes, offset)?;
    Ok(bytes)
}

/// Entries of an archive that have been read so far.
#[derive(Default)]
struct Index {
    entries: Vec<Entry>,
    /// The last entry's path.
    last: Vec<u8>,
    /// Offset where the last entry's data ends.
    end: u64,
}

impl Index {
    fn read(&mut self, file: &File) -> io::Result<()> {
        for entry in Archive::new(file).entries_with_seek()? {
            let entry = entry?;
            let offset = entry.raw_file_position();
            let length = stored_length(entry.header(), entry.size())?;
            self.last = entry.path_bytes().into_owned();
            self.end = offset.saturating_add(length.div_ceil(BLOCK).saturating_mul(BLOCK));
            // Metadata of the archive, such as the commit that it was made of.
            if entry.header().entry_type() == EntryType::XGlobalHeader {
                continue;
            }
            let found = found(&self.last, &entry, Place::Tar { offset, length });
            if !found.path.is_empty() {
                self.entries.push(found);
            }
        }
        Ok(())
    }
}

/// Number of bytes that an entry takes in the archive: for a sparse file, fewer than the file has.
fn stored_length(header: &Header, size: u64) -> io::Result<u64> {
    if header.entry_type() == EntryType::GNUSparse {
        header.entry_size()
    } else {
        Ok(size)
    }
}

/// The entry of this path, whose bytes are at `place`.
fn found(raw: &[u8], entry: &tar::Entry<'_, impl Read>, place: Place) -> Entry {
    let entry_type = entry.header().entry_type();
    // Programs that knew no folders wrote them as files with a slash at the end.
    if entry_type == EntryType::Directory || raw.ends_with(b"/") {
        let end: &[u8] = if raw.ends_with(b"\\") { b"" } else { b"/" };
        let path = names::path(&[raw, end].concat());
        let kind = EntryKind::Folder;
        return Entry { path, kind };
    }
    let path = names::path(raw);
    let target = entry.link_name_bytes().unwrap_or_default();
    let kind = if matches!(entry_type, EntryType::Regular | EntryType::Continuous) {
        EntryKind::File(place)
    } else if entry_type.is_hard_link() {
        // Another name of a file, spelled as the file's own.
        EntryKind::Link(Some(names::path(&target)))
    } else if entry_type.is_symlink() {
        let folder = names::split(&path).0.unwrap_or_default();
        EntryKind::Link(names::target(folder, &target))
    } else {
        EntryKind::Special
    };
    Entry { path, kind }
}

/// Description of a file that is no archive.
fn recognised(file: &File) -> &'static str {
    let mut start = [0; 8];
    let length = read_at(file, &mut start, 0).unwrap_or(0);
    match &start[..length] {
        [] => "an empty file",
        [0x1F, 0x8B, ..] => "a gzip file",
        [b'B', b'Z', b'h', ..] => "a bzip2 file",
        [0xFD, b'7', b'z', b'X', b'Z', ..] => "an xz file",
        [0x28, 0xB5, 0x2F, 0xFD, ..] => "a zstd file",
        [0x04, 0x22, 0x4D, 0x18, ..] => "an lz4 file",
        [b'L', b'Z', b'I', b'P', ..] => "an lzip file",
        [0x5D, 0, 0, ..] => "an LZMA file",
        [0x1F, 0x9D, ..] => "a compress (.Z) file",
        [b'7', b'z', 0xBC, 0xAF, 0x27, 0x1C, ..] => "a 7z archive",
        [b'R', b'a', b'r', b'!', 0x1A, 0x07, ..] => "a RAR archive",
        [b'P', b'K', 0x07, 0x08, ..] => "a part of a split zip archive",
        other if image::guess_format(other).is_ok() => "a single image",
        _ => "something else",
    }
}
