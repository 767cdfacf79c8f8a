//! Images changed at random while training, so that a network learns what stays the same.
//!
//! An image goes straight from its stored bytes to the network's normalised input. What is drawn depends on the
//! generator alone ([`super::random`]): not on the thread, nor on the images before.

use std::fmt;
use std::str::FromStr;

use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{PixelTrait, Resizer};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::ImageView;
use super::colour::Colour;
use super::preprocess::{Channels, Preprocess, Resize, luma};
use super::resample::{Window, resample};

/// The share of the largest possible crop's area that a crop has.
const CROP_AREA: std::ops::Range<f64> = 0.7..1.0;
/// Factor by which a crop may be wider than the input, before it is scaled to it; also narrower.
const CROP_STRETCH: f64 = 4.0 / 3.0;

/// Choice of augmentations. Written `default` (all of it), `none`, or a list such as `crop,color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// A window of 70 to 100 % of the image, anywhere in it, up to a third wider or narrower than the input.
    pub crop: bool,
    /// Every other image is mirrored left to right: not for digits, letters and whatever else has a handedness.
    pub flip: bool,
    /// Brightness, contrast and saturation, each up or down by as much as a fifth.
    pub color: bool,
}

impl Augment {
    /// Images stay as they are.
    pub const NONE: Self = Self {
        crop: false,
        flip: false,
        color: false,
    };
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop: true,
            flip: true,
            color: true,
        }
    }
}

/// A word that names no augmentation.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no augmentation is called {found:?}: expected default, none, or some of crop, flip and color"
)]
pub struct UnknownAugmentation {
    /// The value that was asked for.
    pub found: String,
}

impl FromStr for Augment {
    type Err = UnknownAugmentation;

    /// Reads `default` (or `on`), `none` (or `off`), or names with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "default" | "on" => return Ok(Self::default()),
            "none" | "off" => return Ok(Self::NONE),
            _ => {}
        }
        let mut augment = Self::NONE;
        for name in text.split(',').map(str::trim) {
            match name {
                "crop" => augment.crop = true,
                "flip" => augment.flip = true,
                "color" => augment.color = true,
                _ => {
                    return Err(UnknownAugmentation {
                        found: name.to_owned(),
                    });
                }
            }
        }
        Ok(augment)
    }
}

impl fmt::Display for Augment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.crop, "crop"),
            (self.flip, "flip"),
            (self.color, "color"),
        ];
        let chosen: Vec<&str> = names
            .into_iter()
            .filter_map(|(on, name)| on.then_some(name))
            .collect();
        formatter.write_str(if chosen.is_empty() { "none" } else { "" })?;
        formatter.write_str(&chosen.join(","))
    }
}

/// Makes network inputs of training images, one thread's worth: it keeps its buffers.
#[derive(Clone, Debug)]
pub struct Augmenter {
    augment: Augment,
    preprocess: Preprocess,
    resizer: Resizer,
}

impl Augmenter {
    /// For inputs as `preprocess` makes them: size, channels, filter and normalisation are the same.
    pub fn new(augment: Augment, preprocess: Preprocess) -> Self {
        Self {
            augment,
            preprocess,
            resizer: Resizer::new(),
        }
    }

    /// Preprocessing that makes the inputs.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Number of values of one input.
    pub fn values(&self) -> usize {
        self.preprocess.values()
    }

    /// Writes the normalised input (NHWC, [`Self::values`] values) of `image`, changed as `generator` draws.
    ///
    /// With [`Augment::NONE`] it is the input that an evaluation sees.
    pub fn write(&mut self, image: &ImageView<'_>, mut generator: ChaCha8Rng, input: &mut [f32]) {
        let empty = image.as_raw().is_empty() || self.values() == 0;
        let mut pixels = if self.augment.crop && !empty {
            self.crop(image, &mut generator)
        } else {
            self.preprocess.pixels(image)
        };
        if self.augment.flip && generator.random() {
            self.mirror(&mut pixels);
        }
        if self.augment.color {
            Colour::random(&mut generator).normalise(&self.preprocess, &pixels, input);
        } else {
            self.preprocess.normalise(&pixels, input);
        }
    }

    fn crop(&mut self, image: &ImageView<'_>, generator: &mut ChaCha8Rng) -> Vec<u8> {
        let window = self.window(image.dimensions(), generator);
        match self.preprocess.channels {
            Channels::Rgb => self.resample::<U8x3>(image, image.as_raw(), window),
            Channels::Grey => self.resample::<U8>(image, &luma(image.as_raw()), window),
        }
    }

    fn resample<P: PixelTrait>(
        &mut self,
        image: &ImageView<'_>,
        bytes: &[u8],
        window: Window,
    ) -> Vec<u8> {
        resample::<P>(
            &mut self.resizer,
            (bytes, image.width(), image.height()),
            window,
            (self.preprocess.width, self.preprocess.height),
            self.preprocess.filter,
        )
    }

    /// A random window of an image of this size.
    fn window(&self, (width, height): (u32, u32), generator: &mut ChaCha8Rng) -> Window {
        let [width, height] = [width, height].map(f64::from);
        let aspect = match self.preprocess.resize {
            Resize::Stretch => width / height,
            Resize::Cover { .. } => {
                f64::from(self.preprocess.width) / f64::from(self.preprocess.height)
            }
        };
        let (widest, highest) = (width.min(height * aspect), height.min(width / aspect));
        let area = generator.random_range(CROP_AREA);
        let stretch = CROP_STRETCH.powf(generator.random_range(-1.0..1.0));
        let across = (widest * (area * stretch).sqrt()).min(width);
        let down = (highest * (area / stretch).sqrt()).min(height);
        let (x, y): (f64, f64) = (generator.random(), generator.random());
        Window {
            left: x * (width - across),
            top: y * (height - down),
            width: across,
            height: down,
        }
    }

    fn mirror(&self, pixels: &mut [u8]) {
        let row = self.preprocess.width as usize * self.preprocess.channels.count();
        for row in pixels.chunks_exact_mut(row.max(1)) {
            match self.preprocess.channels {
                Channels::Rgb => row.as_chunks_mut::<3>().0.reverse(),
                Channels::Grey => row.reverse(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Filter;
    use crate::random::{Purpose, generator};
    use image::{Rgb, RgbImage};
    use proptest::prelude::*;

    fn preprocess(channels: Channels, resize: Resize) -> Preprocess {
        Preprocess {
            height: 12,
            width: 8,
            channels,
            resize,
            filter: Filter::Bicubic,
            mean: [127.0, 100.0, 50.0],
            std: [128.0, 60.0, 30.0],
        }
    }

    fn drawn(image: usize) -> ChaCha8Rng {
        generator(1, Purpose::Augment { epoch: 0, image })
    }

    fn written(
        augment: Augment,
        preprocess: &Preprocess,
        image: &RgbImage,
        drawing: usize,
    ) -> Vec<f32> {
        let mut input = vec![f32::NAN; preprocess.values()];
        let view = ImageView::from_raw(image.width(), image.height(), image.as_raw()).unwrap();
        Augmenter::new(augment, preprocess.clone()).write(&view, drawn(drawing), &mut input);
        input
    }

    /// Red grows to the right, green downwards.
    fn slopes(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90])
        })
    }

    const COVER: Resize = Resize::Cover {
        height: 14,
        width: 10,
    };

    #[test]
    fn names_are_read_and_written() {
        for text in ["crop,flip,color", "crop,color", "flip", "none"] {
            assert_eq!(text.parse::<Augment>().unwrap().to_string(), text);
        }
        for (same, text) in [
            ("default", "crop,flip,color"),
            ("on", "color, crop ,flip"),
            ("off", "none"),
        ] {
            assert_eq!(same.parse::<Augment>(), text.parse());
        }
        for (text, unknown) in [("", ""), ("crop,spin", "spin"), ("none,flip", "none")] {
            assert_eq!(text.parse::<Augment>().unwrap_err().found, unknown);
        }
    }

    #[test]
    fn without_augmentation_the_input_is_that_of_an_evaluation() {
        for channels in [Channels::Rgb, Channels::Grey] {
            for resize in [COVER, Resize::Stretch] {
                let (preprocess, image) = (preprocess(channels, resize), slopes(31, 23));
                assert_eq!(
                    written(Augment::NONE, &preprocess, &image, 3),
                    preprocess.tensor(&image)
                );
            }
        }
    }

    #[test]
    fn flipping_mirrors_about_half_of_the_images() {
        let (preprocess, image) = (preprocess(Channels::Rgb, COVER), slopes(32, 32));
        let flip: Augment = "flip".parse().unwrap();
        let plain = preprocess.tensor(&image);
        let mirrored = preprocess.tensor(&image::imageops::flip_horizontal(&image));
        let flipped = (0..200)
            .map(|drawing| written(flip, &preprocess, &image, drawing))
            .inspect(|input| assert!(*input == plain || *input == mirrored));
        let flipped = flipped.filter(|input| *input == mirrored).count();
        assert!((70..130).contains(&flipped), "{flipped}");
    }

    #[test]
    fn crops_differ_and_keep_left_and_right_in_place() {
        let (preprocess, image) = (preprocess(Channels::Rgb, COVER), slopes(64, 40));
        let crop: Augment = "crop".parse().unwrap();
        let red_and_green = |input: &[f32]| {
            let pixels = input.as_chunks::<3>().0;
            let (first, last) = (pixels[0], pixels[pixels.len() - 1]);
            (first[0] < last[0]) && (first[1] < last[1])
        };
        let inputs: Vec<_> = (0..20)
            .map(|drawing| written(crop, &preprocess, &image, drawing))
            .collect();
        assert!(inputs.iter().all(|input| red_and_green(input)));
        assert!(inputs.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(inputs[7], written(crop, &preprocess, &image, 7));
    }

    proptest! {
        #[test]
        fn windows_lie_inside_the_image(
            width in 1..5000u32, height in 1..5000u32, drawing in 0..100_000usize, stretch: bool,
        ) {
            let resize = if stretch { Resize::Stretch } else { COVER };
            let augmenter = Augmenter::new(Augment::default(), preprocess(Channels::Rgb, resize));
            let window = augmenter.window((width, height), &mut drawn(drawing));
            prop_assert!(window.left >= 0.0 && window.width > 0.0);
            prop_assert!(window.top >= 0.0 && window.height > 0.0);
            prop_assert!(window.left + window.width <= f64::from(width));
            prop_assert!(window.top + window.height <= f64::from(height));
        }

        #[test]
        fn images_of_any_size_become_inputs(
            width in 0..70u32, height in 0..70u32, drawing in 0..1000usize, grey: bool,
        ) {
            let channels = if grey { Channels::Grey } else { Channels::Rgb };
            let preprocess = preprocess(channels, COVER);
            let image = RgbImage::from_pixel(width, height, Rgb([200; 3]));
            let crop = written("crop,flip".parse().unwrap(), &preprocess, &image, drawing);
            prop_assert_eq!(crop, preprocess.tensor(&image));
            let all = written(Augment::default(), &preprocess, &image, drawing);
            prop_assert!(all.iter().all(|value| value.is_finite()));
        }
    }
}
