//! A labelled set of images: a folder, or a tar or zip archive, laid out `class/image.jpg`.
//!
//! [`Dataset::open`] lists what is there and reads no pixels. An archive is indexed once; after that its images are
//! read by their offset, from any thread, without unpacking it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use image::RgbImage;

use super::archive::Archive;
use super::image_file::{self, ImageFileError};
use super::layout::{self, Nesting, Place};
use super::left_out::{Kind, LeftOut};
use super::{folder, links};

pub use super::dataset_error::{DatasetError, ZipObstacle};

/// Images and their classes, in a fixed order: by class, then by name.
#[derive(Debug)]
pub struct Dataset {
    path: PathBuf,
    archive: Option<Archive>,
    classes: Vec<String>,
    empty: Vec<String>,
    items: Vec<Item>,
    left_out: LeftOut,
}

/// One image of a data set.
#[derive(Clone, Debug)]
pub struct Item {
    /// `class/file`, as messages and reports name it.
    pub name: String,
    /// Index into [`Dataset::classes`].
    pub class: usize,
    pub(super) place: Place,
}

impl Dataset {
    /// Lists the images of the folder, tar or zip archive at `path`.
    ///
    /// Hidden files, `__MACOSX` and whatever is not named `.jpg`, `.jpeg` or `.png` are left out, with a warning in the
    /// log where that is more than hidden files ([`Self::left_out`]). One folder wrapped around all class folders is
    /// looked through. Class folders without images are no classes: see [`Self::check_empty`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DatasetError> {
        Self::open_as(path.as_ref(), Nesting::Flat)
    }

    /// As [`Self::open`], but class folders may lie in other folders: a class is a folder that directly holds images,
    /// and its name is the path to it, such as `Sanskrit/character01`. Other folders may be empty.
    pub fn open_nested(path: impl AsRef<Path>) -> Result<Self, DatasetError> {
        Self::open_as(path.as_ref(), Nesting::Deep)
    }

    fn open_as(path: &Path, nesting: Nesting) -> Result<Self, DatasetError> {
        let unreadable = |source: io::Error| {
            let path = path.to_owned();
            if source.kind() == io::ErrorKind::NotFound {
                DatasetError::NotFound { path }
            } else {
                DatasetError::Unreadable { path, source }
            }
        };
        let kind = fs::metadata(path).map_err(unreadable)?.file_type();
        let (archive, mut entries) = if kind.is_dir() {
            (None, folder::entries(path, nesting)?)
        } else if kind.is_file() {
            let file = File::open(path).map_err(unreadable)?;
            let (archive, entries) = Archive::open(path, file)?;
            (Some(archive), entries)
        } else {
            return Err(DatasetError::NotADataset {
                path: path.to_owned(),
                found: "a device or a pipe",
            });
        };
        links::follow(&mut entries);
        let layout = layout::arrange(path, entries, nesting)?;
        layout.left_out.warn(path);
        Ok(Self {
            path: fs::canonicalize(path).map_err(unreadable)?,
            archive,
            classes: layout.classes,
            empty: layout.empty,
            items: layout.items,
            left_out: layout.left_out,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Never true: a data set without images does not open.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The names of the class folders in Unicode's composed form, sorted by their bytes; bytes that are no UTF-8 as
    /// `\xE9`.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Gives class `index` the number `indices[index]` among other class names.
    pub(super) fn renumber(&mut self, indices: &[usize], classes: &[String]) {
        for item in &mut self.items {
            item.class = indices[item.class];
        }
        self.classes = classes.to_vec();
    }

    /// All images, by class and then by name.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Files and folders that are no images of a class.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// Whether every class folder has images, as a set to learn from should; a set to test with may lack some.
    ///
    /// # Errors
    /// [`DatasetError::EmptyClasses`]: a class folder has none. [`DatasetError::LinkedFolder`]: one may be behind a link.
    pub fn check_empty(&self) -> Result<(), DatasetError> {
        if let Some(link) = self.left_out.first(Kind::LinkedFolder) {
            return Err(DatasetError::LinkedFolder {
                path: self.path.clone(),
                link: link.to_owned(),
            });
        }
        if self.empty.is_empty() {
            return Ok(());
        }
        Err(DatasetError::EmptyClasses {
            path: self.path.clone(),
            classes: self.empty.clone(),
        })
    }

    /// Stamp of image `index`, which changes when the image does: path, length and last change of its file.
    pub(super) fn stamp(&self, index: usize) -> io::Result<String> {
        let item = &self.items[index];
        let (file, place) = match (&item.place, &self.archive) {
            (Place::File(path), _) => (fs::metadata(path)?, None),
            (place, Some(archive)) => (archive.metadata()?, Some(place)),
            (_, None) => unreachable!("only archives have places in an archive"),
        };
        let (path, name) = (&self.path, &item.name);
        let (length, written) = (file.len(), file.modified()?);
        // A copy may keep the time of writing; it has another number and time of change.
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            (file.ino(), file.ctime(), file.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = ();
        Ok(format!(
            "{path:?} {name:?} {place:?} {length} {written:?} {identity:?}"
        ))
    }

    /// The encoded bytes of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`], as indexing a slice does.
    pub fn read(&self, index: usize) -> Result<Vec<u8>, ImageFileError> {
        let item = &self.items[index];
        match (&item.place, &self.archive) {
            (Place::File(path), _) => image_file::read(path),
            (place, Some(archive)) => archive.read(place, &item.name),
            (_, None) => unreachable!("only archives have places in an archive"),
        }
    }

    /// The pixels of image `index`.
    ///
    /// # Panics
    /// As [`Self::read`].
    pub fn decode(&self, index: usize) -> Result<RgbImage, ImageFileError> {
        image_file::decode(&self.items[index].name, &self.read(index)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{png, written, zip_of};
    use super::*;
    use image::Rgb;
    use std::io::{Seek as _, SeekFrom, Write as _};

    /// Three images of two classes, and two files that are none.
    fn files() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("./b/2.png", png(2)),
            ("./a/1.PNG", png(1)),
            ("./b/3.png", png(3)),
            ("./a/._1.PNG", vec![0; 600]),
            ("./LICENSE", vec![b'x'; 700]),
        ]
    }

    fn tar_of(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn check(dataset: &Dataset) {
        assert_eq!((dataset.len(), dataset.left_out().total()), (3, 2));
        assert_eq!(dataset.classes(), ["a", "b"]);
        let found: Vec<_> = dataset
            .items()
            .iter()
            .map(|item| (item.name.as_str(), item.class))
            .collect();
        assert_eq!(found, [("a/1.PNG", 0), ("b/2.png", 1), ("b/3.png", 1)]);
        for index in 0..3 {
            assert_eq!(
                dataset.decode(index).unwrap()[(0, 0)],
                Rgb([index as u8 + 1; 3])
            );
        }
    }

    #[test]
    fn a_folder_a_tar_and_a_zip_are_read_alike() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files() {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        check(&Dataset::open(folder.path()).unwrap());
        check(&Dataset::open(written(&tar_of(&files()))).unwrap());
        check(&Dataset::open(written(&zip_of(&files()))).unwrap());
    }

    #[test]
    fn only_nested_sets_have_classes_in_folders() {
        let bytes = zip_of(&[("set/A/a/1.png", png(1)), ("set/B/b/1.png", png(2))]);
        let archive = written(&bytes);
        let error = Dataset::open(&archive).unwrap_err();
        assert!(matches!(error, DatasetError::TooDeep { .. }), "{error}");
        let dataset = Dataset::open_nested(&archive).unwrap();
        assert_eq!(dataset.classes(), ["A/a", "B/b"]);
        assert_eq!(dataset.decode(1).unwrap()[(0, 0)], Rgb([2; 3]));
    }

    #[test]
    fn long_names_in_a_tar_are_kept() {
        let name = format!("{}/{}.png", "c".repeat(120), "i".repeat(150));
        let dataset = Dataset::open(written(&tar_of(&[(&name, png(9))]))).unwrap();
        assert_eq!(dataset.items()[0].name, name);
        assert_eq!(dataset.decode(0).unwrap()[(1, 1)], Rgb([9; 3]));
    }

    #[test]
    fn every_truncated_tar_is_refused() {
        let bytes = tar_of(&files());
        let archive = written(&bytes);
        // The two blocks of zeros at the end count as one: a single byte of them says that nothing is missing.
        for length in (0..=bytes.len() - 1024).rev().step_by(64) {
            archive.as_file().set_len(length as u64).unwrap();
            let error = Dataset::open(archive.path()).unwrap_err();
            let truncated = matches!(error, DatasetError::TruncatedTar { .. });
            assert_eq!(truncated, length >= 512, "cut at {length}: {error}");
        }
    }

    #[test]
    fn other_files_are_refused_by_what_they_are() {
        let cases: [(&[u8], &str); 5] = [
            (b"", "an empty file"),
            (&[0x1F, 0x8B, 8, 0], "a gzip file"),
            (b"PK\x03\x04....", "is truncated or damaged"),
            (&png(1), "a single image"),
            (&[b'a'; 5000], "something else"),
        ];
        for (bytes, found) in cases {
            let error = Dataset::open(written(bytes)).unwrap_err();
            assert!(error.to_string().ends_with(found), "{error}");
        }
        assert!(matches!(
            Dataset::open(written(&[0; 1024])),
            Err(DatasetError::Empty { .. })
        ));
        assert!(matches!(
            Dataset::open("/no/such/set"),
            Err(DatasetError::NotFound { .. })
        ));
        let stdin = Dataset::open("-").unwrap_err();
        assert!(stdin.hint().contains("stdin"), "{}", stdin.hint());
        assert!(matches!(
            Dataset::open("/dev/null"),
            Err(DatasetError::NotADataset { .. })
        ));
    }

    #[test]
    fn flipped_bytes_in_an_archive_never_panic() {
        for bytes in [tar_of(&files()), zip_of(&files())] {
            let archive = written(&bytes);
            for (at, &byte) in bytes.iter().enumerate().step_by(7) {
                let put = |value: u8| {
                    let mut file = archive.as_file();
                    file.seek(SeekFrom::Start(at as u64)).unwrap();
                    file.write_all(&[value]).unwrap();
                };
                put(byte ^ 0x81);
                if let Ok(dataset) = Dataset::open(archive.path()) {
                    (0..dataset.len()).for_each(|index| drop(dataset.decode(index)));
                }
                put(byte);
            }
        }
    }

    #[test]
    fn every_truncated_zip_is_refused() {
        let bytes = zip_of(&files());
        for length in (4..bytes.len()).rev().step_by(7) {
            let error = Dataset::open(written(&bytes[..length])).unwrap_err();
            let damaged = matches!(error, DatasetError::DamagedZip { .. });
            assert!(damaged, "cut at {length}: {error}");
        }
        let error = Dataset::open(written(&zip_of(&[]))).unwrap_err();
        assert!(matches!(error, DatasetError::Empty { .. }), "{error}");
    }

    #[test]
    fn a_changed_byte_of_a_zip_is_noticed() {
        let mut bytes = zip_of(&files());
        let name = bytes.windows(9).position(|name| name == b"./b/2.png");
        // Inside the compressed pixels, which follow the local header's name.
        bytes[name.unwrap() + 9 + 30] ^= 0x10;
        let dataset = Dataset::open(written(&bytes)).unwrap();
        let error = dataset.decode(1).unwrap_err();
        assert!(error.to_string().contains("b/2.png"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn folders_and_files_whose_names_are_no_text_stay_apart() {
        use std::os::unix::ffi::OsStrExt as _;
        let folder = tempfile::tempdir().unwrap();
        let names: [&[u8]; 3] = [b"caf\xE9", b"caf\xE8", b"ok"];
        for (value, name) in names.iter().enumerate() {
            let class = folder.path().join(std::ffi::OsStr::from_bytes(name));
            fs::create_dir(&class).unwrap();
            for file in [b"\xE8.png", b"\xE9.png"] {
                let file = class.join(std::ffi::OsStr::from_bytes(file));
                fs::write(file, png(value as u8)).unwrap();
            }
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!(dataset.classes(), ["caf\\xE8", "caf\\xE9", "ok"]);
        let values: Vec<u8> = (0..6)
            .map(|i| dataset.decode(i).unwrap()[(0, 0)][0])
            .collect();
        assert_eq!(values, [1, 1, 0, 0, 2, 2]);
    }

    #[cfg(unix)]
    #[test]
    fn backslashes_belong_to_the_names_of_files_on_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for (value, name) in ["a/foo\\.png", "a/x\\y.png"].iter().enumerate() {
            fs::write(folder.path().join(name), png(value as u8)).unwrap();
        }
        let dataset = Dataset::open(folder.path()).unwrap();
        let names = dataset.items().iter().map(|item| item.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["a/foo\\.png", "a/x\\y.png"]);
        assert_eq!(dataset.decode(1).unwrap()[(0, 0)], Rgb([1; 3]));
        assert_eq!(dataset.left_out().total(), 0);
    }

    #[test]
    fn a_set_to_learn_from_has_no_empty_class() {
        let folder = tempfile::tempdir().unwrap();
        for class in ["a", "b", "c"] {
            fs::create_dir(folder.path().join(class)).unwrap();
        }
        fs::write(folder.path().join("a/1.png"), png(1)).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert_eq!((dataset.len(), dataset.classes().len()), (1, 1));
        let error = dataset.check_empty().unwrap_err().to_string();
        assert!(error.ends_with(": b, c"), "{error}");
    }

    #[test]
    fn folders_below_those_that_are_looked_into_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("b/1/2/3/4");
        fs::create_dir_all(&deep).unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        for image in [folder.path().join("a/1.png"), deep.join("2.png")] {
            fs::write(image, png(1)).unwrap();
        }
        let left_out = Dataset::open(folder.path()).unwrap().left_out().to_string();
        assert!(
            left_out.starts_with("1 folder nested too deep: b/1/2/3"),
            "{left_out}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_loops_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("target"), png(4)).unwrap();
        let link = |to: &str, from: &str| {
            std::os::unix::fs::symlink(to, folder.path().join(from)).unwrap()
        };
        link("../target", "a/1.png");
        link("/no/such/file", "a/2.png");
        link(".", "a/loop");
        let error = Dataset::open(folder.path()).unwrap_err();
        assert!(matches!(error, DatasetError::TooDeep { .. }), "{error}");
        fs::remove_file(folder.path().join("a/loop")).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        assert!(dataset.decode(0).is_ok());
        assert!(matches!(
            dataset.decode(1),
            Err(ImageFileError::Unreadable { .. })
        ));
    }
}
