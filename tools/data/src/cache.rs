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
mod tests;
