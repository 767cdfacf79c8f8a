//! Many images in memory, decoded once.
//!
//! A [`Cache`] has the bytes of all its images side by side, in the form that a [`super::training_set`] or an
//! [`super::evaluation_set`] gives them: for 50,000 images of 32 by 32 pixels, 154 MB. It also stays on the disk, from
//! where the next run has it at once, as long as no image has changed.

use std::collections::HashSet;
use std::path::Path;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use super::cache_file::CacheFile;
pub use super::cache_file::default_folder;
use super::dataset::Dataset;
use super::image_file::ImageFileError;
use super::listed;

/// Form in which a set keeps decoded images.
pub(super) trait Form: Sync {
    /// Everything that the kept bytes depend on, besides the image.
    fn parameters(&self) -> String;

    /// The bytes to keep, and the width and height that [`Self::length`] knows them by.
    fn keep(&self, image: RgbImage) -> (u32, u32, Vec<u8>);

    /// Number of bytes that are kept of an image of this size; `None` if no image has it.
    fn length(&self, width: u32, height: u32) -> Option<usize>;
}

/// Images of a data set in memory, numbered from 0 in the order they were asked for.
#[derive(Debug)]
pub struct Cache {
    pub(super) contents: Contents,
    /// Offset in `pixels` where each image starts, and at last where all end.
    offsets: Vec<usize>,
    pub(super) pixels: Vec<u8>,
}

/// All that a cache knows besides the pixels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) classes: Vec<String>,
    pub(super) images: Vec<CachedImage>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) digest: String,
}

/// One image of a cache.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CachedImage {
    name: String,
    class: usize,
    content: u64,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// An image that was left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// The file.
    pub name: String,
    /// The problem, with the name of the file.
    pub reason: String,
    /// The system could not read it now, but may another time: not a fault of its content.
    pub(super) passing: bool,
}

/// Reasons why there is nothing to train on or to test with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// No image was asked for.
    #[error("no images were chosen")]
    NoImages,
    /// Every image failed.
    #[error("none of {images} images can be read; the first: {reason}")]
    NothingReadable {
        /// Their number.
        images: usize,
        /// The problem of the first of them.
        reason: String,
    },
    /// Every image of some class failed, or none was chosen.
    #[error("no image to train on can be read of the classes {}", listed(classes))]
    EmptyClasses {
        /// Their names.
        classes: Vec<String>,
    },
    /// The images do not fit.
    #[error(
        "there is not enough memory for {images} images: {bytes} bytes were read when it ended"
    )]
    OutOfMemory {
        /// Their number.
        images: usize,
        /// Bytes of the first of them.
        bytes: usize,
    },
    /// Whoever heard of the progress did not want to go on.
    #[error("the images were not decoded to the end")]
    Stopped,
}

impl CacheError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoImages => "choose more images",
            Self::NothingReadable { .. } => "copy or download the data set again",
            Self::EmptyClasses { .. } => {
                "replace their images by readable ones, or remove the class folders"
            }
            Self::Stopped => "start it again",
            Self::OutOfMemory { .. } => "train at a smaller --resolution, or on a part: --limit",
        }
    }
}

impl Cache {
    /// The images `indices` of the data set, from the cache file in `folder` if it has exactly these, else decoded on
    /// all cores and written there. A file that cannot be read or written costs time, nothing else.
    ///
    /// `progress` hears how many images are there so far, and says whether to go on.
    pub(super) fn open(
        dataset: &Dataset,
        indices: &[usize],
        form: &impl Form,
        folder: Option<&Path>,
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Self, CacheError> {
        let file = folder.and_then(|folder| CacheFile::new(folder, dataset, indices, form));
        if let Some(cache) = file.as_ref().and_then(|file| file.read(form)) {
            let goes_on = progress(cache.len());
            return goes_on.then_some(cache).ok_or(CacheError::Stopped);
        }
        let cache = Self::decode(dataset, indices, form, progress)?;
        if let Some(file) = file {
            file.write(&cache);
        }
        Ok(cache)
    }

    /// A cache of these parts, if they belong together.
    pub(super) fn new(contents: Contents, pixels: Vec<u8>, form: &impl Form) -> Option<Self> {
        let mut offsets = vec![0];
        let mut end = 0_usize;
        for image in &contents.images {
            let length = form.length(image.width, image.height)?;
            end = end.checked_add(length)?;
            offsets.push(end);
        }
        let known = |image: &CachedImage| image.class < contents.classes.len();
        let whole = end == pixels.len() && contents.images.iter().all(known);
        whole.then_some(Self {
            contents,
            offsets,
            pixels,
        })
    }

    fn decode(
        dataset: &Dataset,
        indices: &[usize],
        form: &impl Form,
        mut progress: impl FnMut(usize) -> bool,
    ) -> Result<Self, CacheError> {
        let (mut images, mut pixels) = (Vec::new(), Vec::new());
        let work = |_, image: RgbImage| (content(&image), form.keep(image));
        let add = |index: usize, (content, (width, height, bytes)): (u64, (u32, u32, Vec<u8>))| {
            let item = &dataset.items()[index];
            if pixels.try_reserve(bytes.len()).is_err() {
                return Err(CacheError::OutOfMemory {
                    images: indices.len(),
                    bytes: pixels.len(),
                });
            }
            pixels.extend_from_slice(&bytes);
            images.push(CachedImage {
                name: item.name.clone(),
                class: item.class,
                content,
                width,
                height,
            });
            progress(images.len())
                .then_some(())
                .ok_or(CacheError::Stopped)
        };
        let errors = dataset.for_each(indices, work, add)?;
        let unreadable: Vec<_> = errors.iter().map(Unreadable::new).collect();
        check_any(&images, &unreadable)?;
        pixels.shrink_to_fit();
        let classes = dataset.classes().to_vec();
        let digest = digest(&classes, &images, &pixels);
        let contents = Contents {
            classes,
            images,
            unreadable,
            digest,
        };
        Ok(Self::new(contents, pixels, form).expect("a form keeps as many bytes as it says"))
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.contents.images.len()
    }

    /// Never true: a cache has at least one image.
    pub fn is_empty(&self) -> bool {
        self.contents.images.is_empty()
    }

    /// The class names of the data set.
    pub fn classes(&self) -> &[String] {
        &self.contents.classes
    }

    /// The class of image `index`, an index into [`Self::classes`].
    ///
    /// # Panics
    /// If `index` is not below [`Self::len`], as indexing a slice does.
    pub fn class(&self, index: usize) -> usize {
        self.contents.images[index].class
    }

    /// `class/file` of image `index`.
    ///
    /// # Panics
    /// As [`Self::class`].
    pub fn name(&self, index: usize) -> &str {
        &self.contents.images[index].name
    }

    /// The images that were left out because they could not be read.
    pub fn unreadable(&self) -> &[Unreadable] {
        &self.contents.unreadable
    }

    /// Number of images that are in one of the `others` too: the same pixels, whatever their names.
    pub fn shared_with(&self, others: &[&Self]) -> usize {
        let images = others.iter().flat_map(|other| &other.contents.images);
        let others: HashSet<u64> = images.map(|image| image.content).collect();
        let own = self.contents.images.iter();
        own.filter(|image| others.contains(&image.content)).count()
    }

    /// BLAKE3 digest of the kept pixels, their classes and the class names, in hexadecimal: what exactly was learnt
    /// from or tested with.
    pub fn digest(&self) -> &str {
        &self.contents.digest
    }

    /// Memory of the pixels, in bytes.
    pub fn bytes(&self) -> usize {
        self.pixels.len()
    }

    /// Width, height and bytes of image `index`, as its form keeps them.
    pub(super) fn kept(&self, index: usize) -> (u32, u32, &[u8]) {
        let image = &self.contents.images[index];
        let bytes = &self.pixels[self.offsets[index]..self.offsets[index + 1]];
        (image.width, image.height, bytes)
    }
}

impl Unreadable {
    fn new(error: &ImageFileError) -> Self {
        Self {
            name: error.name().to_owned(),
            reason: error.reason(),
            passing: matches!(error, ImageFileError::Unreadable { .. }),
        }
    }
}

fn check_any(images: &[CachedImage], unreadable: &[Unreadable]) -> Result<(), CacheError> {
    match unreadable {
        _ if !images.is_empty() => Ok(()),
        [] => Err(CacheError::NoImages),
        [first, ..] => Err(CacheError::NothingReadable {
            images: unreadable.len(),
            reason: first.reason.clone(),
        }),
    }
}

/// First bytes of the digest of an image as it was decoded: the same for the same image, whatever form is kept of it.
fn content(image: &RgbImage) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&image.width().to_le_bytes());
    hasher.update(image.as_raw());
    let digest = hasher.finalize();
    digest.as_bytes()[..8]
        .iter()
        .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

fn digest(classes: &[String], images: &[CachedImage], pixels: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    for class in classes {
        hasher.update(&(class.len() as u64).to_le_bytes());
        hasher.update(class.as_bytes());
    }
    for image in images {
        let size = u64::from(image.width) << 32 | u64::from(image.height);
        hasher.update(&(image.class as u64).to_le_bytes());
        hasher.update(&size.to_le_bytes());
    }
    hasher.update(pixels);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use std::fs;

    /// Images as they are.
    struct Plain;

    impl Form for Plain {
        fn parameters(&self) -> String {
            "plain".into()
        }

        fn keep(&self, image: RgbImage) -> (u32, u32, Vec<u8>) {
            (image.width(), image.height(), image.into_raw())
        }

        fn length(&self, width: u32, height: u32) -> Option<usize> {
            Some(3 * width as usize * height as usize)
        }
    }

    /// Opens all of a data set; also whether images were decoded for it.
    fn open(data: &Path, folder: Option<&Path>) -> Result<(Cache, bool), CacheError> {
        let dataset = Dataset::open(data).unwrap();
        let all: Vec<usize> = (0..dataset.len()).collect();
        let mut heard = 0;
        let cache = Cache::open(&dataset, &all, &Plain, folder, |_| {
            heard += 1;
            true
        })?;
        Ok((cache, heard > 1))
    }

    fn same(a: &Cache, b: &Cache) {
        assert_eq!(a.len(), b.len());
        assert_eq!(
            (a.digest(), a.unreadable(), a.classes()),
            (b.digest(), b.unreadable(), b.classes())
        );
        for index in 0..a.len() {
            assert_eq!(a.kept(index), b.kept(index));
            assert_eq!(
                (a.name(index), a.class(index)),
                (b.name(index), b.class(index))
            );
        }
    }

    fn only_file(folder: &Path) -> std::path::PathBuf {
        let files: Vec<_> = fs::read_dir(folder).unwrap().collect();
        assert_eq!(files.len(), 1);
        files.into_iter().next().unwrap().unwrap().path()
    }

    #[test]
    fn images_are_decoded_once() {
        let (data, folder) = (fixture::folder(&[4, 3], 5), tempfile::tempdir().unwrap());
        fs::write(data.path().join("class0/broken.png"), "broken").unwrap();
        let folder = folder.path().join("made/if/missing");
        let (first, decoded) = open(data.path(), Some(&folder)).unwrap();
        assert!(decoded && first.len() == 7 && first.bytes() == 7 * 5 * 5 * 3);
        assert_eq!(first.name(4), "class1/0.png");
        assert_eq!(first.class(4), 1);
        assert!(first.unreadable()[0].reason.contains("class0/broken.png"));
        let (second, decoded) = open(data.path(), Some(&folder)).unwrap();
        assert!(!decoded);
        same(&first, &second);
        same(&first, &open(data.path(), None).unwrap().0);
    }

    #[test]
    fn images_of_another_set_are_known_again_by_their_pixels() {
        let (data, folder) = (fixture::folder(&[3, 2], 5), tempfile::tempdir().unwrap());
        let all = open(data.path(), Some(folder.path())).unwrap().0;
        assert_eq!(all.shared_with(&[&all]), 5);
        // A copy of one image by another name, and one that is new.
        let other = fixture::folder(&[1, 1], 5);
        let copied = other.path().join("class0/0.png");
        fs::copy(data.path().join("class1/1.png"), copied).unwrap();
        fixture::image(5, 200)
            .save(other.path().join("class1/0.png"))
            .unwrap();
        for folder in [None, Some(folder.path()), Some(folder.path())] {
            let other = open(other.path(), folder).unwrap().0;
            assert_eq!(all.shared_with(&[&other]), 1);
            assert_eq!(other.shared_with(&[&all]), 1);
            assert_eq!(other.shared_with(&[]), 0);
        }
    }

    #[test]
    fn whoever_does_not_want_to_go_on_gets_nothing() {
        let (data, folder) = (fixture::folder(&[4, 3], 5), tempfile::tempdir().unwrap());
        let dataset = Dataset::open(data.path()).unwrap();
        let all: Vec<usize> = (0..dataset.len()).collect();
        let stopped = |last| {
            Cache::open(&dataset, &all, &Plain, Some(folder.path()), |count| {
                count < last
            })
        };
        assert!(matches!(stopped(3), Err(CacheError::Stopped)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(stopped(8).unwrap().len(), 7);
        assert!(matches!(stopped(7), Err(CacheError::Stopped)));
    }

    #[test]
    fn a_changed_image_is_noticed() {
        let (data, folder) = (fixture::folder(&[2, 2], 5), tempfile::tempdir().unwrap());
        let first = open(data.path(), Some(folder.path())).unwrap().0;
        fixture::image(9, 200)
            .save(data.path().join("class1/0.png"))
            .unwrap();
        let (second, decoded) = open(data.path(), Some(folder.path())).unwrap();
        assert!(decoded && first.digest() != second.digest());
    }

    #[test]
    fn whatever_is_wrong_with_the_file_the_images_are_the_same() {
        let (data, folder) = (fixture::folder(&[2, 1], 3), tempfile::tempdir().unwrap());
        let first = open(data.path(), Some(folder.path())).unwrap().0;
        let path = only_file(folder.path());
        let whole = fs::read(&path).unwrap();
        let check = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let (cache, decoded) = open(data.path(), Some(folder.path())).unwrap();
            assert!(decoded);
            same(&first, &cache);
        };
        for at in (0..whole.len()).step_by(7).chain(32..40) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x91;
            check(&flipped);
            check(&whole[..at]);
        }
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing() {
        let data = fixture::folder(&[2, 2], 5);
        let (cache, _) = open(data.path(), Some(Path::new("/dev/null/folder"))).unwrap();
        assert_eq!(cache.len(), 4);
    }

    #[test]
    fn images_that_the_system_refused_are_tried_again() {
        let (data, folder) = (fixture::folder(&[2, 2], 5), tempfile::tempdir().unwrap());
        let dataset = Dataset::open(data.path()).unwrap();
        fs::remove_file(data.path().join("class0/0.png")).unwrap();
        let cache = Cache::decode(&dataset, &[0, 1, 2], &Plain, |_| true).unwrap();
        assert!(cache.unreadable()[0].passing && cache.len() == 2);
        let file = CacheFile::new(folder.path(), &dataset, &[1, 2], &Plain).unwrap();
        file.write(&cache);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_digest_is_that_of_pixels_classes_and_names() {
        let digests: Vec<String> = [
            (vec![2, 2], "class1"),
            (vec![1, 3], "class1"),
            (vec![2, 2], "other"),
        ]
        .iter()
        .map(|(counts, name)| {
            let data = fixture::folder(counts, 4);
            fs::rename(data.path().join("class1"), data.path().join(name)).unwrap();
            open(data.path(), None).unwrap().0.digest().to_owned()
        })
        .collect();
        assert_eq!(digests[0].len(), 64);
        assert!(digests[0] != digests[1] && digests[0] != digests[2]);
        let again = fixture::folder(&[2, 2], 4);
        assert_eq!(open(again.path(), None).unwrap().0.digest(), digests[0]);
    }

    #[test]
    fn nothing_to_read_is_an_error() {
        let data = fixture::folder(&[1, 1], 4);
        let dataset = Dataset::open(data.path()).unwrap();
        let none = Cache::open(&dataset, &[], &Plain, None, |_| true);
        assert!(matches!(none, Err(CacheError::NoImages)));
        for class in ["class0", "class1"] {
            fs::write(data.path().join(class).join("0.png"), "broken").unwrap();
        }
        let error = open(data.path(), None).unwrap_err();
        assert!(matches!(
            error,
            CacheError::NothingReadable { images: 2, .. }
        ));
        assert!(error.to_string().contains("class0/0.png"), "{error}");
    }
}
