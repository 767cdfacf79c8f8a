//! Images to train on: whole, because every epoch looks at another part, and no larger than it needs.

use std::ops::Deref;
use std::path::Path;

use fast_image_resize::Resizer;
use fast_image_resize::pixels::U8x3;
use image::RgbImage;

use super::ImageView;
use super::cache::{Cache, CacheError, Form};
use super::dataset::Dataset;
use super::preprocess::{Filter, Preprocess};
use super::resample::{Window, resample};

/// RGB images for [`super::augment`]. Large ones are scaled down until they only just cover the input by a fifth more
/// than its size, which leaves the smallest crops sharp; small ones are kept as they are.
#[derive(Debug)]
pub struct TrainingSet {
    cache: Cache,
}

impl TrainingSet {
    /// The images `indices` of the data set, for inputs as `preprocess` makes them.
    ///
    /// Images that cannot be read are left out ([`Cache::unreadable`]). With a `folder`, such as
    /// [`super::cache::default_folder`], they are decoded once for all runs. `progress` hears how many there are so far,
    /// and says whether to go on.
    ///
    /// Must not be called from a thread of rayon's global pool.
    ///
    /// # Errors
    /// Nothing to train on.
    pub fn open(
        dataset: &Dataset,
        indices: &[usize],
        preprocess: &Preprocess,
        folder: Option<&Path>,
        progress: impl FnMut(usize) -> bool,
    ) -> Result<Self, CacheError> {
        let cache = Cache::open(dataset, indices, &Whole::new(preprocess), folder, progress)?;
        Ok(Self { cache })
    }

    /// The pixels of image `index`.
    ///
    /// # Panics
    /// If `index` is not below [`Cache::len`], as indexing a slice does.
    pub fn image(&self, index: usize) -> ImageView<'_> {
        let (width, height, bytes) = self.cache.kept(index);
        ImageView::from_raw(width, height, bytes).expect("an image has the bytes its size says")
    }
}

impl Deref for TrainingSet {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}

/// Whole images that cover this size, if they did before.
struct Whole {
    width: u32,
    height: u32,
    filter: Filter,
}

impl Whole {
    fn new(preprocess: &Preprocess) -> Self {
        let with_room = |side: u32| side.saturating_mul(6).div_ceil(5);
        Self {
            width: with_room(preprocess.width),
            height: with_room(preprocess.height),
            filter: preprocess.filter,
        }
    }

    /// The size to scale an image to, if it is larger than needed.
    fn smaller(&self, width: u32, height: u32) -> Option<(u32, u32)> {
        let share = |needed: u32, found: u32| f64::from(needed) / f64::from(found);
        let scale = share(self.width, width).max(share(self.height, height));
        let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        (scale < 1.0).then(|| (scaled(width), scaled(height)))
    }
}

impl Form for Whole {
    fn parameters(&self) -> String {
        let Self {
            width,
            height,
            filter,
        } = self;
        format!("whole images, covering {width} by {height}, {filter:?}")
    }

    fn keep(&self, image: RgbImage) -> (u32, u32, Vec<u8>) {
        let (width, height) = image.dimensions();
        let Some(target) = self.smaller(width, height) else {
            return (width, height, image.into_raw());
        };
        let bytes = resample::<U8x3>(
            &mut Resizer::new(),
            (image.as_raw(), width, height),
            Window {
                left: 0.0,
                top: 0.0,
                width: width.into(),
                height: height.into(),
            },
            target,
            self.filter,
        );
        (target.0, target.1, bytes)
    }

    fn length(&self, width: u32, height: u32) -> Option<usize> {
        (width as usize)
            .checked_mul(height as usize)?
            .checked_mul(3)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::preprocess::{Channels, Resize};

    fn preprocess(height: u32, width: u32) -> Preprocess {
        Preprocess {
            height,
            width,
            channels: Channels::Rgb,
            resize: Resize::Stretch,
            filter: Filter::Bicubic,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    #[test]
    fn large_images_are_scaled_until_they_just_cover_what_is_needed() {
        let whole = Whole::new(&preprocess(100, 50));
        assert_eq!(whole.smaller(600, 240), Some((300, 120)));
        assert_eq!(whole.smaller(120, 1200), Some((60, 600)));
        assert_eq!(whole.smaller(120, 120), None);
        assert_eq!(whole.smaller(61, 121), Some((60, 120)));
        assert_eq!(whole.smaller(1, 1), None);
        let (width, height, bytes) = whole.keep(RgbImage::from_pixel(601, 242, [7, 8, 9].into()));
        assert_eq!((width, height), (298, 120));
        assert_eq!(whole.length(width, height), Some(bytes.len()));
        assert_eq!(bytes, [7, 8, 9].repeat(298 * 120));
    }

    #[test]
    fn small_images_stay_as_they_are() {
        let data = fixture::folder(&[2, 2], 20);
        let dataset = Dataset::open(data.path()).unwrap();
        let set =
            TrainingSet::open(&dataset, &[3, 1], &preprocess(96, 96), None, |_| true).unwrap();
        assert_eq!(set.len(), 2);
        assert_eq!((set.name(0), set.class(0)), ("class1/1.png", 1));
        assert_eq!(set.image(0).as_raw(), fixture::image(20, 3).as_raw());
        assert_eq!(set.image(1).as_raw(), fixture::image(20, 1).as_raw());
    }
}
