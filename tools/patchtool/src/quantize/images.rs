//! The images that scales are chosen by.

use std::path::Path;

use anyhow::Result;
use graft_patches::Digest;
use graft_patches::metadata::Resize;
use graft_patches::records::Input;

use super::QuantizeError;
use crate::bar;
use crate::task;
use crate::watch::Watch;
use graft_data::dataset::Dataset;
use graft_data::left_out::LeftOut;

/// Images of one size, ready for the input.
#[derive(Debug)]
pub struct Images {
    /// 8-bit pixels of each, NHWC.
    pub pixels: Vec<Vec<u8>>,
    /// Of all pixels.
    pub digest: Digest,
    /// What else the data set has.
    pub left_out: LeftOut,
}

impl Images {
    /// At most `count` images of a data set, evenly spread over it, prepared for an input. Unreadable ones are left out with
    /// a warning.
    ///
    /// # Errors
    /// A data set that cannot be opened or has no readable image.
    pub fn read(
        path: &Path,
        count: usize,
        input: &Input,
        resize: Resize,
        watch: &Watch,
    ) -> Result<Self> {
        let preprocess = task::preprocess(input, resize)?;
        let dataset = Dataset::open(path)?;
        let count = count.min(dataset.len());
        let indices: Vec<usize> = (0..count).map(|i| i * dataset.len() / count).collect();
        let bar = bar::images(count, watch);
        let mut pixels = Vec::with_capacity(count);
        let unreadable = dataset.for_each(
            &indices,
            |_, image| preprocess.pixels(&image),
            |_, image| {
                bar.inc()?;
                pixels.push(image);
                Ok::<_, QuantizeError>(())
            },
        )?;
        bar.finish_and_clear();
        for error in &unreadable {
            tracing::warn!("left out: {}", error.reason());
        }
        let mut left_out = dataset.left_out().clone();
        left_out.add_unreadable(&unreadable);
        Ok(Self {
            left_out,
            ..Self::new(pixels)?
        })
    }

    /// Images that are ready.
    ///
    /// # Errors
    /// [`QuantizeError::NoImages`].
    pub fn new(pixels: Vec<Vec<u8>>) -> Result<Self, QuantizeError> {
        if pixels.is_empty() {
            return Err(QuantizeError::NoImages);
        }
        let mut hasher = blake3::Hasher::new();
        for image in &pixels {
            hasher.update(image);
        }
        Ok(Self {
            pixels,
            digest: Digest(*hasher.finalize().as_bytes()),
            left_out: LeftOut::default(),
        })
    }
}
