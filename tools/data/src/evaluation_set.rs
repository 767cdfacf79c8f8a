//! Images to test with: exactly the inputs that an evaluation of the original files sees.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::Path;

use image::RgbImage;

use super::ImageView;
use super::cache::{Cache, CacheError, Form};
use super::dataset::Dataset;
use super::preprocess::Preprocess;

/// Network inputs as [`Preprocess::pixels`] makes them of the original images. Whichever is smaller is kept: the
/// original image, to make the input of when it is asked for, or the input.
#[derive(Debug)]
pub struct EvaluationSet {
    cache: Cache,
    inputs: Inputs,
}

impl EvaluationSet {
    /// The images `indices` of the data set. Otherwise as [`super::training_set::TrainingSet::open`], but a class may
    /// be missing.
    ///
    /// # Errors
    /// Nothing to test with.
    pub fn open(
        dataset: &Dataset,
        indices: &[usize],
        preprocess: &Preprocess,
        folder: Option<&Path>,
        progress: impl FnMut(usize) -> bool,
    ) -> Result<Self, CacheError> {
        let inputs = Inputs(preprocess.clone());
        let cache = Cache::open(dataset, indices, &inputs, folder, progress)?;
        Ok(Self { cache, inputs })
    }

    /// The input that image `index` makes, in bytes (NHWC), as `Session::run` takes it.
    ///
    /// # Panics
    /// If `index` is not below [`Cache::len`], as indexing a slice does.
    pub fn input(&self, index: usize) -> Cow<'_, [u8]> {
        let (width, height, bytes) = self.cache.kept(index);
        match ImageView::from_raw(width, height, bytes) {
            Some(image) if self.inputs.keeps_image(width, height) => {
                Cow::Owned(self.inputs.0.pixels(&image))
            }
            _ => Cow::Borrowed(bytes),
        }
    }
}

impl Deref for EvaluationSet {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}

/// Inputs, or the images they are made of.
#[derive(Debug)]
struct Inputs(Preprocess);

impl Inputs {
    fn keeps_image(&self, width: u32, height: u32) -> bool {
        u64::from(width) * u64::from(height) <= self.0.values() as u64 / 3
    }
}

impl Form for Inputs {
    fn parameters(&self) -> String {
        let Preprocess {
            height,
            width,
            channels,
            resize,
            filter,
            ..
        } = &self.0;
        format!("inputs of {width} by {height}, {channels:?}, {resize:?}, {filter:?}")
    }

    fn keep(&self, image: RgbImage) -> (u32, u32, Vec<u8>) {
        let (width, height) = image.dimensions();
        let bytes = if self.keeps_image(width, height) {
            image.into_raw()
        } else {
            self.0.pixels(&image)
        };
        (width, height, bytes)
    }

    fn length(&self, width: u32, height: u32) -> Option<usize> {
        Some(if self.keeps_image(width, height) {
            3 * width as usize * height as usize
        } else {
            self.0.values()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::preprocess::{Channels, Filter, Resize};

    #[test]
    fn inputs_are_those_of_the_original_files() {
        let (data, folder) = (fixture::folder(&[2, 2], 16), tempfile::tempdir().unwrap());
        for (class, side, file) in [(0, 40, "jpeg.jpg"), (0, 17, "a.png"), (1, 15, "b.png")] {
            let path = data.path().join(format!("class{class}/{file}"));
            fixture::image(side, 77).save(path).unwrap();
        }
        let dataset = Dataset::open(data.path()).unwrap();
        let indices = [6, 0, 5, 1, 3, 2];
        for channels in [Channels::Rgb, Channels::Grey] {
            for resize in [
                Resize::Stretch,
                Resize::Cover {
                    height: 18,
                    width: 18,
                },
            ] {
                let preprocess = Preprocess {
                    height: 16,
                    width: 16,
                    channels,
                    resize,
                    filter: Filter::Bicubic,
                    mean: [0.0; 3],
                    std: [1.0; 3],
                };
                for _ in ["decoded", "from the cache file"] {
                    let folder = Some(folder.path());
                    let set =
                        EvaluationSet::open(&dataset, &indices, &preprocess, folder, |_| true);
                    let set = set.unwrap();
                    assert_eq!(set.len(), indices.len());
                    for (found, &index) in indices.iter().enumerate() {
                        let expected = preprocess.pixels(&dataset.decode(index).unwrap());
                        assert_eq!(*set.input(found), expected, "{channels:?} {resize:?}");
                        assert_eq!(set.class(found), dataset.items()[index].class);
                    }
                }
            }
        }
    }
}
