//! Reads and writes of any length on flash of any granularity, through a small buffer.

use core::ops::Range;

use crc::{CRC_32_ISO_HDLC, Crc, NoTable};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// Bytes that are read at once, to the stack.
const READ_BUFFER: usize = 128;

/// The longest word of flash that can be written.
const MAX_WORD: usize = 256;

/// The value of erased bytes.
const BLANK: u8 = 0xff;

/// CRC-32 of records and of what is uploaded, the one of Ethernet and zip.
pub(crate) static CRC: Crc<u32, NoTable> = Crc::<u32, NoTable>::new(&CRC_32_ISO_HDLC);

/// Whether this module can drive flash of these granularities.
pub(crate) const fn is_supported<F: NorFlash>() -> bool {
    F::READ_SIZE.is_power_of_two()
        && F::READ_SIZE <= 32
        && F::WRITE_SIZE.is_power_of_two()
        && F::WRITE_SIZE <= MAX_WORD
        && F::ERASE_SIZE != 0
        && F::ERASE_SIZE.is_multiple_of(unit::<F>() as usize)
}

/// The unit of flash, in bytes: records and parts of an upload begin at its multiples.
pub(crate) const fn unit<F: NorFlash>() -> u32 {
    if F::WRITE_SIZE > 32 {
        F::WRITE_SIZE as u32
    } else {
        32
    }
}

/// Hands the bytes of a range to `take`, piece by piece. Stops when it returns false.
fn read<F: ReadNorFlash>(
    flash: &mut F,
    range: Range<u32>,
    mut take: impl FnMut(&[u8]) -> bool,
) -> Result<(), F::Error> {
    let mut buffer = [0; READ_BUFFER];
    let mut at = range.start;
    while at < range.end {
        let skip = at as usize % F::READ_SIZE;
        let wanted = (range.end - at) as usize;
        let aligned = (skip + wanted)
            .next_multiple_of(F::READ_SIZE)
            .min(READ_BUFFER);
        flash.read(at - skip as u32, &mut buffer[..aligned])?;
        let piece = &buffer[skip..aligned.min(skip + wanted)];
        if !take(piece) {
            break;
        }
        at += piece.len() as u32;
    }
    Ok(())
}

/// Fills `bytes` from an offset.
pub(crate) fn fill<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    bytes: &mut [u8],
) -> Result<(), F::Error> {
    let mut filled = 0;
    read(flash, offset..offset + bytes.len() as u32, |piece| {
        bytes[filled..filled + piece.len()].copy_from_slice(piece);
        filled += piece.len();
        true
    })
}

/// CRC-32 of a range.
pub(crate) fn checksum<F: ReadNorFlash>(flash: &mut F, range: Range<u32>) -> Result<u32, F::Error> {
    let mut digest = CRC.digest();
    read(flash, range, |piece| {
        digest.update(piece);
        true
    })?;
    Ok(digest.finalize())
}

/// BLAKE3 digest of a range. Its state is most of the stack that this crate takes: kept out of its callers' frames.
#[inline(never)]
pub(crate) fn digest<F: ReadNorFlash>(
    flash: &mut F,
    range: Range<u32>,
) -> Result<[u8; 32], F::Error> {
    let mut hasher = blake3::Hasher::new();
    read(flash, range, |piece| {
        hasher.update(piece);
        true
    })?;
    Ok(hasher.finalize().into())
}

/// Whether a range holds these bytes.
pub(crate) fn holds<F: ReadNorFlash>(
    flash: &mut F,
    offset: u32,
    bytes: &[u8],
) -> Result<bool, F::Error> {
    let mut same = true;
    let mut rest = bytes;
    read(flash, offset..offset + bytes.len() as u32, |piece| {
        let (expected, after) = rest.split_at(piece.len());
        same = piece == expected;
        rest = after;
        same
    })?;
    Ok(same)
}

/// Whether a range is erased.
pub(crate) fn is_blank<F: ReadNorFlash>(
    flash: &mut F,
    range: Range<u32>,
) -> Result<bool, F::Error> {
    let mut blank = true;
    read(flash, range, |piece| {
        blank = all_blank(piece);
        blank
    })?;
    Ok(blank)
}

fn all_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == BLANK)
}

/// Writes `bytes` to erased flash at a multiple of [`unit`]; pads the end to whole words.
///
/// Words of nothing but 0xff are left out, so a word that reads as erased was not written since: flash with error
/// correction would not take it twice. (Flash of words below four bytes has none.)
pub(crate) fn write<F: NorFlash>(flash: &mut F, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
    let grain = F::WRITE_SIZE.max(4);
    let mut at = 0;
    while at < bytes.len() {
        let words = bytes[at..]
            .chunks(grain)
            .take_while(|word| !all_blank(word));
        let length: usize = words.map(<[u8]>::len).sum();
        write_padded(flash, offset + at as u32, &bytes[at..at + length])?;
        at += length.max(grain);
    }
    Ok(())
}

fn write_padded<F: NorFlash>(flash: &mut F, offset: u32, bytes: &[u8]) -> Result<(), F::Error> {
    let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % F::WRITE_SIZE);
    if !words.is_empty() {
        flash.write(offset, words)?;
    }
    if !rest.is_empty() {
        let mut word = [BLANK; MAX_WORD];
        word[..rest.len()].copy_from_slice(rest);
        flash.write(offset + words.len() as u32, &word[..F::WRITE_SIZE])?;
    }
    Ok(())
}
