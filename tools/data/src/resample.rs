//! A window of an image, brought to another size.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};
use graft_patches::metadata::Filter;

/// Part of an image, in its pixels; edges may lie between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The pixels inside the window, `target` columns and rows of them. An image is its bytes, width and height.
///
/// # Panics
/// If the bytes are not those of an image of that size, or the window does not lie inside it.
pub(super) fn resample<P: PixelTrait>(
    resizer: &mut Resizer,
    (bytes, width, height): (&[u8], u32, u32),
    window: Window,
    target: (u32, u32),
    filter: Filter,
) -> Vec<u8> {
    let source = TypedImageRef::<P>::from_buffer(width, height, bytes)
        .expect("an image has the bytes its size says");
    let mut pixels = vec![0; target.0 as usize * target.1 as usize * P::size()];
    let mut made = TypedImage::<P>::from_buffer(target.0, target.1, &mut pixels)
        .expect("allocated for this size");
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(match filter {
            Filter::Bicubic => FilterType::CatmullRom,
            Filter::Bilinear => FilterType::Bilinear,
        }))
        .crop(window.left, window.top, window.width, window.height);
    resizer
        .resize_typed(&source, &mut made, &options)
        .expect("the window lies inside the image");
    pixels
}
