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

#[cfg(test)]
mod tests {
    use super::super::dataset::Dataset;
    use super::super::fixture::{png, written, zip_of};
    use super::*;
    use tar::EntryType;

    /// A tar archive of files and links: path, kind, content or target.
    fn tar_of(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for &(path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            let fields = header.as_gnu_mut().unwrap();
            fields.name[..path.len()].copy_from_slice(path);
            header.set_entry_type(kind);
            let is_file = kind == EntryType::Regular;
            if !is_file {
                let fields = header.as_gnu_mut().unwrap();
                fields.linkname[..content.len()].copy_from_slice(content);
            }
            let data = if is_file { content } else { b"" };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn values(dataset: &Dataset) -> Vec<(&str, u8)> {
        let value = |index| dataset.decode(index).unwrap()[(0, 0)][0];
        let items = dataset.items().iter().enumerate();
        items
            .map(|(index, item)| (item.name.as_str(), value(index)))
            .collect()
    }

    #[test]
    fn links_of_a_tar_are_the_files_that_they_lead_to() {
        use EntryType::{Link, Regular, Symlink};
        let (one, two) = (png(1), png(2));
        let archive = written(&tar_of(&[
            (b"set/a/hard.png", Link, b"set/a/1.png"),
            (b"./set/a/1.png", Regular, &one),
            (b"set/a/soft.png", Symlink, b"../../pool/two.bin"),
            (b"set/b/again.png", Symlink, b"../a/./soft.png"),
            (b"set/b/first.png", Symlink, b"/elsewhere/x.png"),
            (b"set/b/loop.png", Symlink, b"loop.png"),
            (b"set/b/out.png", Symlink, b"../../../../x.png"),
            (b"set/c", Symlink, b"a"),
            (b"set/d", Symlink, b"./c"),
            (b"pool/two.bin", Regular, &two),
        ]));
        let dataset = Dataset::open(archive.path()).unwrap();
        assert_eq!(
            values(&dataset),
            [
                ("a/1.png", 1),
                ("a/hard.png", 1),
                ("a/soft.png", 2),
                ("b/again.png", 2)
            ]
        );
        assert_eq!(
            dataset.left_out().to_string(),
            "3 links that lead to no file of the archive, such as set/b/first.png; 2 links to folders, such as set/c; \
             1 other file: pool/two.bin"
        );
        let error = dataset.check_empty().unwrap_err();
        assert!(
            error.to_string().contains("a link to a folder, set/c"),
            "{error}"
        );
    }

    #[test]
    fn links_of_a_zip_are_followed_too() {
        let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default();
        writer
            .add_symlink("b/2.png", "../a/1.png", options)
            .unwrap();
        writer
            .add_symlink("b/3.png", "nowhere.png", options)
            .unwrap();
        writer.start_file("a/1.png", options).unwrap();
        io::Write::write_all(&mut writer, &png(5)).unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        let dataset = Dataset::open(written(&bytes)).unwrap();
        assert_eq!(values(&dataset), [("a/1.png", 5), ("b/2.png", 5)]);
        assert!(dataset.left_out().to_string().ends_with(": b/3.png"));
    }

    #[test]
    fn names_in_an_archive_are_bytes() {
        let files: [(&[u8], u8); 5] = [
            (b"caf\xE8/\xE8.png", 1),
            (b"caf\xE9/\xE8.png", 2),
            (b"caf\xE9/\xE9.png", 3),
            ("caf\u{e9}/1.png".as_bytes(), 4),
            ("cafe\u{301}/1.png".as_bytes(), 5),
        ];
        let images: Vec<Vec<u8>> = files.iter().map(|&(_, value)| png(value)).collect();
        let entries: Vec<(&[u8], EntryType, &[u8])> = files
            .iter()
            .zip(&images)
            .map(|((name, _), image)| (*name, EntryType::Regular, image.as_slice()))
            .collect();
        let dataset = Dataset::open(written(&tar_of(&entries))).unwrap();
        assert_eq!(dataset.classes(), ["caf\\xE8", "caf\\xE9", "caf\u{e9}"]);
        let mut found: Vec<(usize, u8)> = values(&dataset)
            .into_iter()
            .zip(dataset.items())
            .map(|((_, value), item)| (item.class, value))
            .collect();
        found.sort_unstable();
        assert_eq!(found, [(0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]);
    }

    #[test]
    fn backslashes_separate_where_windows_wrote_them() {
        let zip = zip_of(&[("set\\red\\0.png", png(1)), ("set\\blue\\0.png", png(2))]);
        let (red, blue) = (png(1), png(2));
        let tar = tar_of(&[
            (b"red\\", EntryType::Directory, b""),
            (b"red\\0.png", EntryType::Regular, &red),
            (b"blue\\0.png", EntryType::Regular, &blue),
        ]);
        for bytes in [zip, tar] {
            let dataset = Dataset::open(written(&bytes)).unwrap();
            assert_eq!(values(&dataset), [("blue/0.png", 2), ("red/0.png", 1)]);
            assert_eq!(dataset.left_out().total(), 0);
        }
    }

    /// A zip archive whose headers have these two bytes set: in the local one, and two bytes later in the other.
    fn changed(at: usize, value: u8) -> Vec<u8> {
        let mut bytes = zip_of(&[("red/0.png", png(1)), ("README", vec![1; 9])]);
        for (mark, at) in [(b"PK\x03\x04", at), (b"PK\x01\x02", at + 2)] {
            let header = bytes.windows(4).position(|window| window == mark);
            bytes[header.unwrap() + at] = value;
        }
        bytes
    }

    #[test]
    fn zips_that_cannot_be_read_are_refused_with_the_cause() {
        let refused = |bytes: &[u8]| Dataset::open(written(bytes)).unwrap_err();
        let password = refused(&changed(6, 1));
        assert!(
            password
                .to_string()
                .ends_with("has encrypted files, such as red/0.png"),
            "{password}"
        );
        for (method, name) in [(9, "deflate64"), (12, "bzip2"), (14, "lzma"), (93, "zstd")] {
            let error = refused(&changed(8, method));
            let expected =
                format!("unsupported compression method {method} ({name}), such as red/0.png");
            assert!(error.to_string().ends_with(&expected), "{error}");
            assert!(error.hint().contains("deflate"), "{}", error.hint());
        }
    }

    #[test]
    fn other_archives_are_named() {
        let named: [(&[u8], &str); 5] = [
            (b"7z\xBC\xAF\x27\x1C\0\x04", "a 7z archive"),
            (b"Rar!\x1A\x07\x01\0", "a RAR archive"),
            (b"\xFD7zXZ\0\0\x04", "an xz file"),
            (b"\x1F\x8B\x08\0\0\0\0\0", "a gzip file"),
            (b"\x28\xB5\x2F\xFD\0\0\0\0", "a zstd file"),
        ];
        for (bytes, found) in named {
            let error = Dataset::open(written(bytes)).unwrap_err();
            assert!(error.to_string().ends_with(found), "{error}");
        }
    }
}
