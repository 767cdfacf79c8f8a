//! From a decoded image to the network's input, as torchvision does it on PIL images.
//!
//! Sizes and offsets are rounded as torchvision's `Resize` and `CenterCrop` round them, and the
//! resampling is PIL's bicubic (a = -0.5, support scaled when shrinking, rows first, bytes between the
//! passes). Only the window that the centre crop keeps is made, which gives the same pixels as
//! cropping afterwards. They differ from PIL's by at most 2 levels, and more only where Pillow starts
//! with the columns, as version 13 does for some upright images.

use std::ops::Deref;

use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{PixelTrait, Resizer};
pub use graft_patches::metadata::Filter;
use image::{ImageBuffer, Rgb};

use super::resample::{Window, resample};

/// Ways to make an image of any size one of the network's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// Scale until the image just covers this size, then keep the centre: for a square, torchvision's `Resize` of the
    /// shorter side and `CenterCrop`. Where the scaled image is smaller than the input, black is added around it.
    Cover {
        /// Rows to cover.
        height: u32,
        /// Columns to cover.
        width: u32,
    },
    /// Scale the whole image to the input size, whatever its aspect ratio.
    Stretch,
}

/// The channels a network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One: luma (ITU-R 601-2, as PIL's `convert("L")`).
    Grey,
    /// Three: red, green, blue.
    Rgb,
}

impl Channels {
    /// The channels of a network whose input has `count` of them; `None` for anything but 1 and 3.
    pub fn from_count(count: usize) -> Option<Self> {
        match count {
            1 => Some(Self::Grey),
            3 => Some(Self::Rgb),
            _ => None,
        }
    }

    /// Their number.
    pub fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Preprocessing of an image before a network sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    /// Height of the input in pixels.
    pub height: u32,
    /// Width of the input in pixels.
    pub width: u32,
    /// Channels of the input.
    pub channels: Channels,
    /// Way to bring the image to that size.
    pub resize: Resize,
    /// Filter of the resizing.
    pub filter: Filter,
    /// Subtracted from a channel, on the scale 0 to 255. Grey uses the first.
    pub mean: [f32; 3],
    /// Divisor of each channel after that, on the same scale.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Number of values of one input.
    pub fn values(&self) -> usize {
        self.height as usize * self.width as usize * self.channels.count()
    }

    /// The input as bytes, rows of pixels with their channels side by side (NHWC).
    pub fn pixels<C: Deref<Target = [u8]>>(&self, image: &ImageBuffer<Rgb<u8>, C>) -> Vec<u8> {
        match self.channels {
            Channels::Rgb => self.resample::<U8x3>(image.dimensions(), image.as_raw()),
            Channels::Grey => self.resample::<U8>(image.dimensions(), &luma(image.as_raw())),
        }
    }

    /// The normalised input, NHWC: `(pixel - mean) / std`.
    pub fn tensor<C: Deref<Target = [u8]>>(&self, image: &ImageBuffer<Rgb<u8>, C>) -> Vec<f32> {
        let mut tensor = vec![0.0; self.values()];
        self.normalise(&self.pixels(image), &mut tensor);
        tensor
    }

    /// Normalises what [`Self::pixels`] made, or several of them one after the other.
    pub fn normalise(&self, pixels: &[u8], tensor: &mut [f32]) {
        match self.channels {
            Channels::Grey => self.normalise_each::<1>(pixels, tensor),
            Channels::Rgb => self.normalise_each::<3>(pixels, tensor),
        }
    }

    fn normalise_each<const CHANNELS: usize>(&self, pixels: &[u8], tensor: &mut [f32]) {
        let (pixels, tensor) = (
            pixels.as_chunks::<CHANNELS>().0,
            tensor.as_chunks_mut::<CHANNELS>().0,
        );
        for (values, pixel) in tensor.iter_mut().zip(pixels) {
            for channel in 0..CHANNELS {
                values[channel] =
                    (f32::from(pixel[channel]) - self.mean[channel]) / self.std[channel];
            }
        }
    }

    fn resample<P: PixelTrait>(&self, (width, height): (u32, u32), bytes: &[u8]) -> Vec<u8> {
        let (resized_width, resized_height) = self.resized(width, height);
        let across = Span::new(width, resized_width, self.width);
        let down = Span::new(height, resized_height, self.height);
        if across.length == 0 || down.length == 0 || bytes.is_empty() {
            return vec![0; self.values()];
        }
        let mut resizer = Resizer::new();
        // PIL scales rows first and rounds to bytes between the passes; the other order gives other pixels.
        let narrow = resample::<P>(
            &mut resizer,
            (bytes, width, height),
            Window::of(across, Span::whole(height)),
            (across.length, height),
            self.filter,
        );
        let pixels = resample::<P>(
            &mut resizer,
            (&narrow, across.length, height),
            Window::of(Span::whole(across.length), down),
            (across.length, down.length),
            self.filter,
        );
        self.padded(pixels, across, down)
    }

    /// The size of the whole image after scaling, before the crop.
    fn resized(&self, width: u32, height: u32) -> (u64, u64) {
        let Resize::Cover {
            height: rows,
            width: columns,
        } = self.resize
        else {
            return (self.width.into(), self.height.into());
        };
        let [width, height, rows, columns] = [width, height, rows, columns].map(u64::from);
        if rows * width >= columns * height {
            (rows * width / height.max(1), rows)
        } else {
            (columns, columns * height / width.max(1))
        }
    }

    /// Puts the resampled pixels in the middle of a black input, if they do not fill it.
    fn padded(&self, resampled: Vec<u8>, across: Span, down: Span) -> Vec<u8> {
        if resampled.len() == self.values() {
            return resampled;
        }
        let channels = self.channels.count();
        let mut input = vec![0; self.values()];
        let rows = input
            .chunks_exact_mut(self.width as usize * channels)
            .skip(down.margin);
        for (row, pixels) in rows.zip(resampled.chunks_exact(across.length as usize * channels)) {
            row[across.margin * channels..][..pixels.len()].copy_from_slice(pixels);
        }
        input
    }
}

/// One axis of the window that the centre crop keeps.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Start of the window in the source, in source pixels.
    start: f64,
    /// Length of the source that it covers.
    extent: f64,
    /// Number of input pixels that it makes.
    length: u32,
    /// Black pixels before them.
    margin: usize,
}

impl Window {
    fn of(across: Span, down: Span) -> Self {
        Self {
            left: across.start,
            top: down.start,
            width: across.extent,
            height: down.extent,
        }
    }
}

impl Span {
    /// An axis that stays as it is.
    fn whole(length: u32) -> Self {
        Self {
            start: 0.0,
            extent: length.into(),
            length,
            margin: 0,
        }
    }

    fn new(source: u32, resized: u64, input: u32) -> Self {
        let length = resized.min(input.into()) as u32;
        let scale = f64::from(source) / resized.max(1) as f64;
        let start = half_to_even(resized - u64::from(length)) as f64 * scale;
        // Rounding must not carry the window over the edge.
        let extent = (f64::from(length) * scale).min(f64::from(source) - start);
        Self {
            start,
            extent,
            length,
            margin: (input - length) as usize / 2,
        }
    }
}

/// Half of `n`, rounded as Python's `round` does.
fn half_to_even(n: u64) -> u64 {
    let half = n / 2;
    half + (half & n & 1)
}

/// Luma of RGB pixels with PIL's fixed-point weights.
pub(super) fn luma(image: &[u8]) -> Vec<u8> {
    let weigh = |&[red, green, blue]: &[u8; 3]| {
        (u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000)
            >> 16
    };
    let pixels = image.as_chunks().0.iter();
    pixels.map(|pixel| weigh(pixel) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn cover(side: u32) -> Resize {
        Resize::Cover {
            height: side,
            width: side,
        }
    }

    fn rgb(height: u32, width: u32, resize: Resize) -> Preprocess {
        Preprocess {
            height,
            width,
            channels: Channels::Rgb,
            resize,
            filter: Filter::Bicubic,
            mean: [127.0; 3],
            std: [128.0; 3],
        }
    }

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x + y) as u8]))
    }

    #[test]
    fn the_centre_is_kept_as_it_is_when_no_scaling_is_needed() {
        // 341 - 224 = 117: torchvision starts at round(58.5) = 58; 256 - 224 = 32 starts at 16.
        let pixels = rgb(224, 224, cover(256)).pixels(&gradient(341, 256));
        assert_eq!(pixels[..3], [58, 16, 58 + 16]);
        assert_eq!(
            pixels[pixels.len() - 3..],
            [(58 + 223) as u8, 16 + 223, (58 + 16 + 446) as u8]
        );
    }

    #[test]
    fn offsets_round_half_to_even() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 117].map(half_to_even),
            [0, 0, 1, 2, 2, 2, 58]
        );
    }

    #[test]
    fn longer_side_is_truncated() {
        let preprocess = rgb(224, 224, cover(256));
        assert_eq!(preprocess.resized(500, 375), (341, 256));
        assert_eq!(preprocess.resized(375, 500), (256, 341));
        assert_eq!(preprocess.resized(32, 32), (256, 256));
    }

    #[test]
    fn flat_images_stay_flat_at_every_size() {
        let colour = Rgb([200, 3, 90]);
        for (width, height) in [
            (1, 1),
            (1, 300),
            (300, 1),
            (7, 5),
            (31, 32),
            (33, 97),
            (640, 480),
        ] {
            let image = RgbImage::from_pixel(width, height, colour);
            for resize in [Resize::Stretch, cover(20), cover(31)] {
                let pixels = rgb(17, 19, resize).pixels(&image);
                assert!(
                    pixels.chunks_exact(3).all(|pixel| pixel == colour.0),
                    "{width}x{height} {resize:?}"
                );
            }
        }
    }

    #[test]
    fn an_image_scaled_below_the_input_gets_a_black_margin() {
        let pixels = rgb(8, 6, cover(4)).pixels(&RgbImage::from_pixel(4, 4, Rgb([255; 3])));
        let bright = |x: usize, y: usize| pixels[(y * 6 + x) * 3] == 255;
        assert_eq!(pixels.len(), 8 * 6 * 3);
        assert!(
            bright(1, 2)
                && bright(4, 5)
                && !bright(0, 2)
                && !bright(5, 5)
                && !bright(1, 1)
                && !bright(4, 6)
        );
    }

    #[test]
    fn resampling_agrees_with_pil() {
        let pattern = |width, height| {
            RgbImage::from_fn(width, height, |x, y| Rgb([(x * 37 + y * 91) as u8; 3]))
        };
        let check = |made: Vec<u8>, expected: &[u8]| {
            assert_eq!(made.len(), expected.len() * 3);
            for (pixel, &value) in made.chunks_exact(3).zip(expected) {
                assert!(pixel[0].abs_diff(value) <= 1, "{made:?}");
            }
        };
        // CenterCrop(5)(Resize(6, BICUBIC)(image)) of torchvision 0.29 on Pillow 13.0.
        let shrunk = rgb(5, 5, cover(6)).pixels(&pattern(14, 9));
        check(
            shrunk,
            &[
                168, 150, 92, 65, 142, 112, 105, 136, 151, 83, 127, 141, 120, 88, 140, 87, 92, 144,
                169, 96, 152, 129, 54, 118, 158,
            ],
        );
        // image.resize((5, 4), BICUBIC).
        let enlarged = rgb(4, 5, Resize::Stretch).pixels(&pattern(3, 2));
        check(
            enlarged,
            &[
                0, 3, 29, 55, 69, 18, 30, 56, 82, 96, 70, 83, 109, 135, 149, 96, 110, 136, 162, 176,
            ],
        );
    }

    #[test]
    fn stretch_shows_the_whole_image() {
        let halves = RgbImage::from_fn(90, 30, |x, _| Rgb([if x < 45 { 0 } else { 255 }; 3]));
        let pixels = rgb(10, 10, Resize::Stretch).pixels(&halves);
        assert_eq!((pixels[0], pixels[9 * 3]), (0, 255));
    }

    #[test]
    fn values_are_normalised_per_channel() {
        let mut preprocess = rgb(2, 2, Resize::Stretch);
        (preprocess.mean, preprocess.std) = ([0.0, 100.0, 127.0], [1.0, 10.0, 128.0]);
        let tensor = preprocess.tensor(&RgbImage::from_pixel(2, 2, Rgb([5, 50, 255])));
        assert_eq!(tensor, [5.0, -5.0, 1.0].repeat(4));
    }

    #[test]
    fn grey_networks_see_luma() {
        let mut preprocess = rgb(1, 1, Resize::Stretch);
        preprocess.channels = Channels::Grey;
        for (colour, luma) in [
            ([255, 255, 255], 255),
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
        ] {
            assert_eq!(
                preprocess.pixels(&RgbImage::from_pixel(3, 3, Rgb(colour))),
                [luma]
            );
        }
        assert_eq!(
            preprocess.tensor(&RgbImage::from_pixel(3, 3, Rgb([255; 3]))),
            [1.0]
        );
    }

    #[test]
    fn empty_images_and_inputs_do_not_panic() {
        assert_eq!(
            rgb(2, 2, Resize::Stretch).pixels(&RgbImage::new(0, 0)),
            [0; 12]
        );
        assert_eq!(rgb(2, 2, cover(4)).pixels(&RgbImage::new(0, 5)), [0; 12]);
        assert!(
            rgb(0, 2, Resize::Stretch)
                .pixels(&gradient(4, 4))
                .is_empty()
        );
        assert_eq!(rgb(2, 2, cover(0)).pixels(&gradient(4, 4)), [0; 12]);
    }
}
