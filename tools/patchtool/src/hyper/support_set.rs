//! The few labelled images that a patch is made of.

use std::path::{Path, PathBuf};

use crate::bar;
use crate::quantize::{Images, QuantizeError};
use crate::watch::{Stopped, Watch};
use graft_data::dataset::{Dataset, DatasetError};
use graft_data::folder;
use graft_data::image_file::{self, ImageFileError};
use graft_data::left_out::LeftOut;
use graft_data::preprocess::Preprocess;

/// Images of one size, ready for the input, and the class of each.
#[derive(Debug)]
pub struct SupportSet {
    /// Class names by index.
    pub labels: Vec<String>,
    /// Class of each image.
    pub classes: Vec<usize>,
    /// 8-bit pixels of each image, NHWC.
    pub images: Images,
    /// Pixels of images whose classes are not known: a generator learns from them, too.
    pub unlabelled: Vec<Vec<u8>>,
    /// What else was found beside the images.
    pub left_out: LeftOut,
}

/// Reasons to refuse a support set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SupportSetError {
    /// A folder or archive that cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// An image that cannot be read: of so few, each counts.
    #[error("{unreadable} of {total} support images cannot be read")]
    Image {
        /// Number of unreadable images.
        unreadable: usize,
        /// Number of all images.
        total: usize,
        /// The first.
        source: ImageFileError,
    },
    /// No images.
    #[error(transparent)]
    Images(#[from] QuantizeError),
    /// Not as many classes as images, or a class that is not there or has no image.
    #[error("{problem}")]
    Classes {
        /// The problem.
        problem: String,
    },
    /// It was stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl SupportSetError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Dataset(error) => error.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Images(error) => error.hint(),
            Self::Stopped(_) => "start it again",
            Self::Classes { .. } => "give each class at least one image, and each image its class",
        }
    }
}

impl SupportSet {
    /// All images of a folder or tar archive laid out `class/image.(jpg|png)`.
    ///
    /// # Errors
    /// A data set that cannot be opened, has a class without images, or an image that cannot be read;
    /// [`SupportSetError::Stopped`].
    pub fn read(
        path: &Path,
        preprocess: &Preprocess,
        watch: &Watch,
    ) -> Result<Self, SupportSetError> {
        let dataset = Dataset::open(path)?;
        dataset.check_empty()?;
        let all: Vec<usize> = (0..dataset.len()).collect();
        let bar = bar::images(all.len(), watch);
        let mut pixels = Vec::with_capacity(all.len());
        let unreadable = dataset.for_each(
            &all,
            |_, image| preprocess.pixels(&image),
            |_, image| {
                bar.inc()?;
                pixels.push(image);
                Ok::<_, SupportSetError>(())
            },
        )?;
        bar.finish_and_clear();
        let count = unreadable.len();
        if let Some(source) = unreadable.into_iter().next() {
            return Err(SupportSetError::Image {
                unreadable: count,
                total: all.len(),
                source,
            });
        }
        let classes = dataset.items().iter().map(|item| item.class).collect();
        Ok(Self {
            left_out: dataset.left_out().clone(),
            ..Self::new(dataset.classes().to_vec(), classes, pixels)?
        })
    }

    /// Images that are ready: `pixels` of each, the index of its label in `classes`.
    ///
    /// # Errors
    /// [`SupportSetError::Classes`], [`SupportSetError::Images`].
    pub fn new(
        labels: Vec<String>,
        classes: Vec<usize>,
        pixels: Vec<Vec<u8>>,
    ) -> Result<Self, SupportSetError> {
        let wrong = |problem| Err(SupportSetError::Classes { problem });
        if classes.len() != pixels.len() {
            return wrong(format!(
                "{} classes for {} images",
                classes.len(),
                pixels.len()
            ));
        }
        if let Some(class) = classes.iter().find(|&&class| class >= labels.len()) {
            return wrong(format!(
                "an image of class {class}, there are {}",
                labels.len()
            ));
        }
        if let Some(missing) = (0..labels.len()).find(|class| !classes.contains(class)) {
            return wrong(format!("class {:?} has no image", labels[missing]));
        }
        Ok(Self {
            labels,
            classes,
            images: Images::new(pixels)?,
            unlabelled: Vec::new(),
            left_out: LeftOut::default(),
        })
    }

    /// Adds images whose classes are not known: files, and all JPEG and PNG files of folders, however deep.
    ///
    /// # Errors
    /// A folder or image that cannot be read.
    pub fn add_unlabelled(
        &mut self,
        paths: &[PathBuf],
        preprocess: &Preprocess,
    ) -> Result<(), SupportSetError> {
        let (files, left_out) = folder::images(paths)?;
        self.left_out.extend(left_out);
        for file in &files {
            let image = image_file::open(file).map_err(|source| SupportSetError::Image {
                unreadable: 1,
                total: files.len(),
                source,
            })?;
            self.unlabelled.push(preprocess.pixels(&image));
        }
        Ok(())
    }
}
