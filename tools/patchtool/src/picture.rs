//! Pictures of results: drawn without any font of the system, written as PNG.

use std::path::Path;
use std::sync::OnceLock;

use ab_glyph::{Font as _, FontRef, GlyphId};
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageEncoder as _, RgbImage, codecs::png::PngEncoder};
use plotters::backend::BitMapBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea as _};
use plotters::style::text_anchor::Pos;
use plotters::style::{
    Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, TextStyle, register_font,
};

use graft_data::output::{self, OutputError};

/// Drawn this much larger and scaled down: edges of everything are smooth then.
const OVERSAMPLING: u32 = 2;
const FAMILY: &str = "DejaVu Sans";
static FONT: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans.ttf");

/// Lines and text.
pub const INK: RGBColor = RGBColor(38, 38, 38);
/// Colour of things that are less important than ink.
pub const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Okabe and Ito's blue and vermilion: told apart by everyone.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// See [`BLUE`].
pub const VERMILION: RGBColor = RGBColor(213, 94, 0);
/// A pixel, in units of the drawing area.
pub const UNIT: i32 = Picture::SCALE;
/// Size of text at axes and marks.
pub const SMALL: i32 = 13 * UNIT;
/// Size of titles.
pub const MEDIUM: i32 = 16 * UNIT;

/// Area to draw on, in units of [`Picture::SCALE`] a pixel.
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// Errors of drawing.
pub type DrawError =
    DrawingAreaErrorKind<<BitMapBackend<'static> as plotters::backend::DrawingBackend>::ErrorType>;

/// Reasons why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The library that draws refused.
    #[error("cannot draw the picture")]
    Draw(#[from] DrawError),
    /// More rows than a picture has room for.
    #[error("{found} classes are too many for a picture: expected at most {most}")]
    TooManyClasses {
        /// Rows that are needed.
        found: usize,
        /// Rows that there is room for.
        most: usize,
    },
}

impl PictureError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Draw(_) => "leave the picture out; the numbers are in the output of --json",
            Self::TooManyClasses { .. } => {
                "leave the picture out and take the numbers from the output of --json"
            }
        }
    }
}

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture(RgbImage);

impl Picture {
    /// Units of the drawing area in one pixel of the picture.
    pub const SCALE: i32 = OVERSAMPLING as i32;

    /// A white picture of `width` by `height` pixels with what `paint` draws on it.
    ///
    /// # Errors
    /// Errors of the library that draws, or of `paint`.
    pub fn draw(
        width: u32,
        height: u32,
        paint: impl FnOnce(&Area<'_>) -> Result<(), DrawError>,
    ) -> Result<Self, PictureError> {
        let (wide, high) = (width * OVERSAMPLING, height * OVERSAMPLING);
        let mut large = RgbImage::from_pixel(wide, high, image::Rgb([255; 3]));
        {
            let area = BitMapBackend::with_buffer(&mut large, (wide, high)).into_drawing_area();
            paint(&area)?;
            area.present()?;
        }
        Ok(Self(imageops::resize(
            &large,
            width,
            height,
            FilterType::Triangle,
        )))
    }

    /// Writes it as PNG, all or nothing.
    ///
    /// # Errors
    /// As [`output::write_atomically`].
    pub fn write(&self, path: &Path, force: bool) -> Result<(), OutputError> {
        output::write_atomically(path, force, |file| {
            let (width, height) = self.0.dimensions();
            PngEncoder::new(file)
                .write_image(&self.0, width, height, ExtendedColorType::Rgb8)
                .map_err(std::io::Error::other)
        })
    }

    /// Its pixels.
    pub fn pixels(&self) -> &RgbImage {
        &self.0
    }
}

/// Text of `size` units, placed by its point `at`.
pub fn text(size: i32, color: &impl Color, at: Pos) -> TextStyle<'static> {
    font(size).color(color).pos(at)
}

/// Text that is read from below, placed by its point `at` before it is turned.
pub fn upward_text(size: i32, color: &impl Color, at: Pos) -> TextStyle<'static> {
    font(size)
        .transform(FontTransform::Rotate270)
        .color(color)
        .pos(at)
}

fn font(size: i32) -> FontDesc<'static> {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    // A font that cannot be read makes every text an error, which says so.
    REGISTERED.get_or_init(|| drop(register_font(FAMILY, FontStyle::Normal, FONT)));
    FontDesc::new(FontFamily::Name(FAMILY), size.into(), FontStyle::Normal)
}

/// Whether the font has the letter: of others there is nothing to be seen.
pub fn can_write(letter: char) -> bool {
    static OUTLINES: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    let font = OUTLINES.get_or_init(|| FontRef::try_from_slice(FONT).ok());
    font.as_ref()
        .is_some_and(|font| font.glyph_id(letter) != GlyphId(0))
}

/// Width of a text of `size`, in units.
pub fn text_width(size: i32, words: &str) -> i32 {
    font(size)
        .box_size(words)
        .map_or(0, |(width, _)| width as i32)
}

/// `words`, cut with an ellipsis where they are wider than `width` units.
pub fn fitted(size: i32, words: &str, width: i32) -> String {
    if text_width(size, words) <= width {
        return words.to_owned();
    }
    let mut cut: String = words.to_owned();
    while cut.pop().is_some() && text_width(size, &format!("{cut}…")) > width {}
    format!("{cut}…")
}
