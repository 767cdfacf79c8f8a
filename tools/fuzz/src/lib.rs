//! What the fuzz targets share: files in memory, and checksums made right.

use std::fs;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file of these bytes, in memory where there is a folder for that.
///
/// # Panics
/// Where none can be written.
pub fn file(bytes: &[u8]) -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    let file = match memory.is_dir() {
        true => NamedTempFile::new_in(memory),
        false => NamedTempFile::new(),
    };
    let file = file.expect("a temporary file");
    fs::write(file.path(), bytes).expect("it can be written");
    file
}

/// Makes the checksums of an archive right, tar or zip.
pub fn seal(bytes: &mut [u8]) {
    match bytes.starts_with(b"PK") {
        true => seal_zip(bytes),
        false => seal_tar(bytes),
    }
}

/// The number in a field of a tar header: octal digits.
fn octal(field: &[u8]) -> u64 {
    let digits = field.iter().filter(|byte| (b'0'..=b'7').contains(byte));
    digits.fold(0_u64, |sum, digit| {
        sum.wrapping_mul(8).wrapping_add(u64::from(digit - b'0'))
    })
}

/// Makes the checksums of the headers of a tar archive right, one behind the other as their sizes say.
fn seal_tar(bytes: &mut [u8]) {
    const BLOCK: usize = 512;
    const SUM: Range<usize> = 148..156;
    let mut at = 0;
    while let Some(header) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..BLOCK)) {
        if header.iter().any(|&byte| byte != 0) {
            header[SUM].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[SUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let data = octal(&header[124..136]).div_ceil(BLOCK as u64);
        let next = data.saturating_add(1).saturating_mul(BLOCK as u64);
        at = at.saturating_add(usize::try_from(next).unwrap_or(usize::MAX));
    }
}

/// Makes the CRC-32 of the files of a zip archive right, in the central directory and before each file.
fn seal_zip(bytes: &mut [u8]) {
    const MOST: u64 = 1 << 20;
    let u16_at = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_le_bytes(*field)))
    };
    let u32_at = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*field) as usize)
    };
    let entries: Vec<usize> = (bytes.windows(4).enumerate())
        .filter_map(|(at, mark)| (mark == b"PK\x01\x02").then_some(at))
        .collect();
    for entry in entries {
        let checksum = || {
            let local = u32_at(bytes, entry + 42)?;
            let names = u16_at(bytes, local + 26)? + u16_at(bytes, local + 28)?;
            let start = local + 30 + names;
            let stored = bytes.get(start..start.checked_add(u32_at(bytes, entry + 20)?)?)?;
            let crc = match u16_at(bytes, entry + 10)? {
                0 => crc32fast::hash(stored),
                _ => {
                    let mut whole = Vec::new();
                    let inflated = flate2::read::DeflateDecoder::new(stored);
                    inflated.take(MOST).read_to_end(&mut whole).ok()?;
                    crc32fast::hash(&whole)
                }
            };
            Some((local, crc))
        };
        if let Some((local, crc)) = checksum() {
            for at in [entry + 16, local + 14] {
                bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
            }
        }
    }
}

/// Whether a picture is small enough to decode many a second.
pub fn is_small(picture: &[u8]) -> bool {
    let reader = image::ImageReader::new(std::io::Cursor::new(picture)).with_guessed_format();
    let dimensions = reader.ok().and_then(|reader| reader.into_dimensions().ok());
    dimensions.is_none_or(|(width, height)| u64::from(width) * u64::from(height) <= 1 << 16)
}
