//! One image file, JPEG or PNG, to 8-bit RGB.
//!
//! Grey, palette, CMYK and 16-bit images are converted, 16-bit values rounded; an alpha channel is dropped, not blended;
//! colour profiles are not applied. The orientation that a camera recorded in EXIF is applied: a network has to see the
//! photograph upright. Frames of a Motion JPEG, which lack Huffman tables, have the standard ones.
//!
//! A PNG has checksums. Of a JPEG, a missing end is noticed and whatever the decoder refuses; other damage to its pixels
//! is not.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use image::error::ImageError;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::jpeg;

/// The longest side that is decoded, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The most memory that one decoded image, or one encoded file, may take.
pub const MAX_BYTES: u64 = 512 << 20;

/// Reasons why an image cannot be decoded. `name` is the file as the user knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageFileError {
    /// The file cannot be opened or read.
    #[error("cannot read the image {name}")]
    Unreadable {
        /// The file.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The content is neither a JPEG nor a PNG, whatever the extension says.
    #[error("{name} is not an image that can be read: found {found}, expected a JPEG or PNG")]
    NotAnImage {
        /// The file.
        name: String,
        /// Description of its first bytes.
        found: String,
    },
    /// Decoding would take more memory than any photograph should.
    #[error("the image {name} is too large: the limit is {MAX_SIDE} pixels a side and {} MiB", MAX_BYTES >> 20)]
    TooLarge {
        /// The file.
        name: String,
    },
    /// The file ends before the image does.
    #[error("the image {name} is truncated: the file ends before the picture does")]
    Truncated {
        /// The file.
        name: String,
    },
    /// A kind of JPEG or PNG that the decoder does not know, such as lossless or arithmetically coded ones.
    #[error("the image {name} is of a kind that is not supported")]
    Unsupported {
        /// The file.
        name: String,
        /// The decoder's error.
        source: ImageError,
    },
    /// The decoder refused the content.
    #[error("the image {name} is damaged")]
    Damaged {
        /// The file.
        name: String,
        /// The decoder's error.
        source: ImageError,
    },
}

impl ImageFileError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "check the path and its permissions",
            Self::NotAnImage { .. } => "convert it to JPEG or PNG, or leave it out",
            Self::Unsupported { .. } => {
                "convert it to a baseline or progressive JPEG of 8 bits or to PNG, or leave it out"
            }
            Self::TooLarge { .. } => {
                "scale the image down first: networks look at a few hundred pixels"
            }
            Self::Truncated { .. } | Self::Damaged { .. } => {
                "copy or download the image again, or leave it out"
            }
        }
    }

    /// The file.
    pub fn name(&self) -> &str {
        match self {
            Self::Unreadable { name, .. }
            | Self::NotAnImage { name, .. }
            | Self::TooLarge { name }
            | Self::Truncated { name }
            | Self::Unsupported { name, .. }
            | Self::Damaged { name, .. } => name,
        }
    }

    /// The error and its cause on one line.
    pub fn reason(&self) -> String {
        match std::error::Error::source(self) {
            Some(cause) => format!("{self}: {cause}"),
            None => self.to_string(),
        }
    }

    /// Sorts the decoder's error into the kinds above.
    fn from_decoder(name: &str, error: ImageError) -> Self {
        let name = name.to_owned();
        let is_cut = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        if matches!(error, ImageError::Limits(_)) {
            Self::TooLarge { name }
        } else if matches!(&error, ImageError::IoError(error) if is_cut(error)) {
            Self::Truncated { name }
        } else if matches!(error, ImageError::Unsupported(_)) {
            Self::Unsupported {
                name,
                source: error,
            }
        } else {
            Self::Damaged {
                name,
                source: error,
            }
        }
    }
}

/// Reads and decodes the image at `path`.
pub fn open(path: &Path) -> Result<RgbImage, ImageFileError> {
    let name = path.display().to_string();
    decode(&name, &read(path)?)
}

/// Reads a file of a size that an image may have.
pub fn read(path: &Path) -> Result<Vec<u8>, ImageFileError> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(source) => Err(ImageFileError::Unreadable { name, source }),
        Ok(length) if length as u64 > MAX_BYTES => Err(ImageFileError::TooLarge { name }),
        Ok(_) => Ok(bytes),
    }
}

/// Decodes `bytes`, the content of the file that errors call `name`.
pub fn decode(name: &str, bytes: &[u8]) -> Result<RgbImage, ImageFileError> {
    let format = recognise(name, bytes)?;
    // The JPEG decoder fills what is missing with grey; a network should not be asked about grey.
    if format == ImageFormat::Jpeg && !jpeg::has_an_end(bytes) {
        return Err(ImageFileError::Truncated {
            name: name.to_owned(),
        });
    }
    let bytes = if format == ImageFormat::Jpeg {
        jpeg::with_huffman_tables(bytes)
    } else {
        bytes.into()
    };
    decode_upright(format, &bytes)
        .map(DynamicImage::into_rgb8)
        .map_err(|error| ImageFileError::from_decoder(name, error))
}

fn recognise(name: &str, bytes: &[u8]) -> Result<ImageFormat, ImageFileError> {
    let found = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => return Ok(format),
        Ok(other) => format!("the format {}", other.to_mime_type()),
        Err(_) if bytes.is_empty() => "an empty file".to_owned(),
        Err(_) => format!("the first bytes {:02x?}", &bytes[..bytes.len().min(4)]),
    };
    Err(ImageFileError::NotAnImage {
        name: name.to_owned(),
        found,
    })
}

fn decode_upright(format: ImageFormat, bytes: &[u8]) -> Result<DynamicImage, ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder()?;
    limits.reserve(decoder.total_bytes())?;
    // What is no 8-bit RGB is copied to that.
    if decoder.color_type() != ColorType::Rgb8 {
        let (width, height) = decoder.dimensions();
        limits.reserve(3 * u64::from(width) * u64::from(height))?;
    }
    let orientation = decoder.orientation()?;
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn gradient() -> RgbImage {
        RgbImage::from_fn(24, 16, |x, y| Rgb([x as u8 * 10, y as u8 * 15, 90]))
    }

    #[test]
    fn png_is_exact_and_jpeg_is_close() {
        let image = gradient();
        assert_eq!(
            decode("a", &encoded(image.clone(), ImageFormat::Png)).unwrap(),
            image
        );
        let jpeg = decode("a", &encoded(image.clone(), ImageFormat::Jpeg)).unwrap();
        assert_eq!(jpeg.dimensions(), image.dimensions());
        let far = jpeg
            .as_raw()
            .iter()
            .zip(image.as_raw())
            .filter(|(a, b)| a.abs_diff(**b) > 24);
        assert_eq!(far.count(), 0);
    }

    #[test]
    fn other_pixel_types_become_rgb8() {
        let grey = GrayImage::from_pixel(3, 2, Luma([77]));
        assert_eq!(
            decode("g", &encoded(grey, ImageFormat::Png)).unwrap()[(1, 1)],
            Rgb([77; 3])
        );
        let alpha = ImageBuffer::from_pixel(3, 2, Rgba([200u8, 100, 50, 0]));
        assert_eq!(
            decode("a", &encoded(alpha, ImageFormat::Png)).unwrap()[(1, 1)],
            Rgb([200, 100, 50])
        );
        let grey_alpha = ImageBuffer::from_pixel(3, 2, LumaA([9u8, 0]));
        assert_eq!(
            decode("a", &encoded(grey_alpha, ImageFormat::Png)).unwrap()[(1, 1)],
            Rgb([9; 3])
        );
        let deep = ImageBuffer::from_pixel(3, 2, Rgb([0u16, 0x80_80, 0xFF_FF]));
        assert_eq!(
            decode("d", &encoded(deep, ImageFormat::Png)).unwrap()[(1, 1)],
            Rgb([0, 128, 255])
        );
    }

    #[test]
    fn camera_orientation_is_applied() {
        let mut bytes = encoded(gradient(), ImageFormat::Jpeg);
        // An APP1 segment with one EXIF entry: orientation (0x0112), a short, 6 = rotate by 90 degrees.
        let exif = b"\xFF\xE1\x00\x22Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        bytes.splice(2..2, exif.iter().copied());
        assert_eq!(decode("a", &bytes).unwrap().dimensions(), (16, 24));
    }

    #[test]
    fn every_truncation_is_an_error() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(gradient(), format);
            // The last chunk of a PNG carries nothing; the picture is whole without it.
            let whole = if format == ImageFormat::Png {
                bytes.len() - 12
            } else {
                bytes.len()
            };
            for length in 0..whole {
                assert!(
                    decode("cut.img", &bytes[..length]).is_err(),
                    "{format:?} cut at {length} of {}",
                    bytes.len()
                );
            }
            let half = decode("cut.img", &bytes[..bytes.len() / 2]).unwrap_err();
            assert!(matches!(half, ImageFileError::Truncated { .. }), "{half:?}");
        }
    }

    #[test]
    fn flipped_bytes_never_panic() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let bytes = encoded(gradient(), format);
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0xA5;
                let _ = decode("damaged", &damaged);
            }
        }
    }

    #[test]
    fn errors_name_the_file_and_what_was_found() {
        let empty = decode("nothing.jpg", b"").unwrap_err().to_string();
        assert!(
            empty.contains("nothing.jpg") && empty.contains("an empty file"),
            "{empty}"
        );
        let text = decode("notes.png", b"hello world").unwrap_err().to_string();
        assert!(text.contains("68, 65, 6c, 6c"), "{text}");
        let gif = decode("a.gif", b"GIF89a..").unwrap_err().to_string();
        assert!(gif.contains("image/gif"), "{gif}");
        let missing = open(Path::new("/no/such.png")).unwrap_err();
        assert!(
            matches!(missing, ImageFileError::Unreadable { .. })
                && missing.to_string().contains("/no/such.png")
        );
        assert!(matches!(
            open(Path::new("/")).unwrap_err(),
            ImageFileError::Unreadable { .. }
        ));
    }

    #[test]
    fn huge_images_are_refused_before_they_are_decoded() {
        let mut jpeg = encoded(gradient(), ImageFormat::Jpeg);
        let frame = jpeg
            .windows(2)
            .position(|pair| pair == [0xFF, 0xC0])
            .unwrap();
        jpeg[frame + 5..frame + 9].fill(0xFF);
        assert!(matches!(
            decode("bomb.jpg", &jpeg),
            Err(ImageFileError::TooLarge { .. })
        ));
    }
}
