//! A data set in one file, whose images are read where they are, from any thread.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::dataset::DatasetError;
use super::image_file::{ImageFileError, MAX_BYTES};
use super::layout::{Entry, Place};
use super::read_at::read_exact_at;
use super::tar_file;
use super::zip_file::ZipFile;

/// An archive whose entries are known.
#[derive(Debug)]
pub(super) enum Archive {
    Tar(File),
    Zip(ZipFile),
}

impl Archive {
    /// Lists the entries of the archive `file`; errors call it `path`.
    pub(super) fn open(path: &Path, file: File) -> Result<(Self, Vec<Entry>), DatasetError> {
        let mut start = [0; 4];
        match read_exact_at(&file, &mut start, 0) {
            // A file's header, or the end of an archive without files.
            Ok(()) if matches!(&start, b"PK\x03\x04" | b"PK\x05\x06") => {
                let (zip, entries) = ZipFile::open(path, file)?;
                Ok((Self::Zip(zip), entries))
            }
            _ => {
                let entries = tar_file::entries(path, &file)?;
                Ok((Self::Tar(file), entries))
            }
        }
    }

    /// The system's metadata of the file.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Tar(file) => file.metadata(),
            Self::Zip(zip) => zip.metadata(),
        }
    }

    /// The bytes at `place`, one of this archive's; errors call them `name`.
    pub(super) fn read(&self, place: &Place, name: &str) -> Result<Vec<u8>, ImageFileError> {
        let read = match (self, place) {
            (Self::Tar(_), Place::Tar { length, .. }) if *length > MAX_BYTES => Ok(None),
            (Self::Tar(file), Place::Tar { offset, length }) => {
                tar_file::bytes_at(file, *offset, *length).map(Some)
            }
            (Self::Zip(zip), Place::Zip { index }) => zip.read(*index, MAX_BYTES),
            _ => unreachable!("an archive has places of its own kind"),
        };
        let name = name.to_owned();
        match read {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(ImageFileError::TooLarge { name }),
            Err(source) => Err(ImageFileError::Unreadable { name, source }),
        }
    }
}
