//! The segments of a JPEG file, as far as its decoder does not look at them.

use std::borrow::Cow;

const FRAMES: [u8; 2] = [0xC0, 0xC1];
const HUFFMAN_TABLES: u8 = 0xC4;
const END_OF_IMAGE: u8 = 0xD9;
const SCAN: u8 = 0xDA;

/// Whether the end-of-image marker follows the segments, read from the front: an embedded thumbnail or a video that a
/// phone appended has an end of its own, which does not count.
pub(super) fn has_an_end(bytes: &[u8]) -> bool {
    markers(bytes).any(|(marker, _)| marker == END_OF_IMAGE)
}

/// The file, with the standard Huffman tables where it has none at all: cameras leave them out of the frames of a
/// Motion JPEG. Only sequential frames may: others choose their tables scan by scan, or do without.
pub(super) fn with_huffman_tables(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut is_sequential = false;
    for (marker, at) in markers(bytes) {
        match marker {
            HUFFMAN_TABLES => break,
            SCAN if is_sequential => {
                return Cow::Owned([&bytes[..at], &STANDARD_TABLES, &bytes[at..]].concat());
            }
            SCAN => break,
            marker => is_sequential |= FRAMES.contains(&marker),
        }
    }
    Cow::Borrowed(bytes)
}

/// The markers and where they are, without those inside of compressed pixels.
fn markers(bytes: &[u8]) -> impl Iterator<Item = (u8, usize)> {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
            let found = at;
            match bytes.get(at + 1..) {
                Some([END_OF_IMAGE, ..]) => {
                    // Nothing behind it belongs to the picture.
                    at = bytes.len();
                    return Some((END_OF_IMAGE, found));
                }
                Some([0xFF, ..]) => at += 1,
                // An escaped data byte or a restart marker inside the compressed pixels: neither has a length.
                Some([0x00 | 0x01 | 0xD0..=0xD7, ..]) => at += 2,
                Some([marker, high, low, ..]) => {
                    at += 2 + usize::from(u16::from_be_bytes([*high, *low]));
                    return Some((*marker, found));
                }
                _ => return None,
            }
        }
    })
}

/// The segment of the tables that ITU-T T.81 gives as typical in K.3.3, and which Motion JPEG means by none: of the
/// brightness and the colours, for DC and AC. Each is its class and number, how many codes have 1 to 16 bits, and the
/// values of the codes.
#[rustfmt::skip]
const STANDARD_TABLES: [u8; 420] = [
    0xFF, HUFFMAN_TABLES, 0x01, 0xA2,
    0x00,
    0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    0x01,
    0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0,
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
    0x10,
    0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125,
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
    0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xA1, 0x08, 0x23, 0x42, 0xB1, 0xC1, 0x15, 0x52, 0xD1, 0xF0,
    0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0A, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x25, 0x26, 0x27, 0x28,
    0x29, 0x2A, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
    0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
    0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
    0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7,
    0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3, 0xC4, 0xC5,
    0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA, 0xE1, 0xE2,
    0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
    0x11,
    0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119,
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
    0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xA1, 0xB1, 0xC1, 0x09, 0x23, 0x33, 0x52, 0xF0,
    0x15, 0x62, 0x72, 0xD1, 0x0A, 0x16, 0x24, 0x34, 0xE1, 0x25, 0xF1, 0x17, 0x18, 0x19, 0x1A, 0x26,
    0x27, 0x28, 0x29, 0x2A, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3A, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4A, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5A, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
    0x69, 0x6A, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7A, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8A, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0xA2, 0xA3, 0xA4, 0xA5,
    0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8, 0xB9, 0xBA, 0xC2, 0xC3,
    0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xCA, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8, 0xD9, 0xDA,
    0xE2, 0xE3, 0xE4, 0xE5, 0xE6, 0xE7, 0xE8, 0xE9, 0xEA, 0xF2, 0xF3, 0xF4, 0xF5, 0xF6, 0xF7, 0xF8,
    0xF9, 0xFA,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// A gradient, whose encoder writes the standard tables.
    fn encoded(is_grey: bool) -> Vec<u8> {
        let image = image::RgbImage::from_fn(48, 32, |x, y| {
            [5 * x as u8, 7 * y as u8, 200 - x as u8].into()
        });
        let mut image = image::DynamicImage::from(image);
        if is_grey {
            image = image.into_luma8().into();
        }
        let mut bytes = std::io::Cursor::new(Vec::new());
        let format = image::ImageFormat::Jpeg;
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// The file without one of its kinds of segments.
    fn without(unwanted: u8, bytes: &[u8]) -> Vec<u8> {
        let mut kept = bytes[..2].to_vec();
        let mut found = markers(bytes).peekable();
        while let Some((marker, at)) = found.next() {
            let end = found.peek().map_or(bytes.len(), |&(_, next)| next);
            if marker != unwanted {
                kept.extend_from_slice(&bytes[at..end]);
            }
        }
        kept
    }

    #[test]
    fn frames_without_tables_have_the_standard_ones() {
        for is_grey in [false, true] {
            let whole = encoded(is_grey);
            assert!(matches!(with_huffman_tables(&whole), Cow::Borrowed(_)));
            let frame = without(HUFFMAN_TABLES, &whole);
            assert!(frame.len() + 28 < whole.len());
            let decoded = |bytes: &[u8]| crate::image_file::decode("a", bytes).unwrap();
            assert_eq!(decoded(&frame), decoded(&whole));
        }
    }

    #[test]
    fn tables_are_added_to_sequential_frames_only() {
        let mut frame = without(HUFFMAN_TABLES, &encoded(false));
        let (_, at) = markers(&frame).find(|&(marker, _)| marker == 0xC0).unwrap();
        for (marker, expected) in [(0xC0, true), (0xC1, true), (0xC2, false), (0xC9, false)] {
            frame[at + 1] = marker;
            let added = matches!(with_huffman_tables(&frame), Cow::Owned(_));
            assert_eq!(added, expected, "{marker:x}");
        }
        assert!(crate::image_file::decode("a", &frame).is_err());
    }
}
