//! A simulated NOR flash whose power can be cut.

#![allow(dead_code, reason = "not every test cuts the power")]

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// NOR flash that reads `READ`, writes `WRITE` and erases `ERASE` bytes at a time. Panics where a word is written twice
/// without an erase, or anything is misaligned or out of bounds.
#[derive(Clone)]
pub(crate) struct Flash<const READ: usize, const WRITE: usize, const ERASE: usize> {
    pub(crate) bytes: Vec<u8>,
    /// Words that were written, completely or not, since they were erased.
    written: Vec<bool>,
    /// Bits that a cut has left half way: they read at random, anew after each power-up.
    weak: Vec<u8>,
    /// There are such bits only below this offset.
    pub(crate) weak_below: usize,
    /// Writes and erases so far.
    pub(crate) operations: usize,
    /// Pages erased so far, by index.
    pub(crate) erased: Vec<usize>,
    /// Operations left before the power goes; the one that finds zero is torn.
    left: Option<usize>,
    off: bool,
    /// Offset of a byte that reads as zero once it is written.
    pub(crate) stuck: Option<usize>,
    /// One write in this number is torn though the power stays; 0 is none.
    pub(crate) torn_writes: u32,
    rng: ChaCha8Rng,
}

/// There is no power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Off;

impl NorFlashError for Off {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Flash<READ, WRITE, ERASE> {
    /// Flash with these contents. Nothing says which words can still be written, so those that read as erased can.
    pub(crate) fn new(bytes: Vec<u8>, rng: ChaCha8Rng) -> Self {
        assert!(bytes.len().is_multiple_of(ERASE));
        let written = bytes.chunks(WRITE).map(|word| !is_blank(word)).collect();
        let (weak, erased) = (vec![0; bytes.len()], vec![0; bytes.len() / ERASE]);
        Self {
            bytes,
            written,
            weak,
            weak_below: 0,
            operations: 0,
            erased,
            left: None,
            off: false,
            stuck: None,
            torn_writes: 0,
            rng,
        }
    }

    /// Cuts the power in the operation after `operations` others.
    pub(crate) fn cut_after(&mut self, operations: Option<&usize>) {
        self.left = operations.copied();
    }

    /// Other torn bits.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.rng = ChaCha8Rng::seed_from_u64(seed);
    }

    /// Turns the power on.
    pub(crate) fn power_up(&mut self) {
        self.off = false;
        for (i, word) in self.bytes.chunks_mut(WRITE).enumerate() {
            let weak = &mut self.weak[i * WRITE..][..WRITE];
            if weak.iter().all(|&bits| bits == 0) {
                continue;
            }
            for (byte, &mut weak) in word.iter_mut().zip(&mut *weak) {
                *byte = *byte & !weak | self.rng.random::<u8>() & weak;
            }
            // A word that reads as erased cannot be told from one that is: it stays so.
            if is_blank(word) {
                self.written[i] = false;
                weak.fill(0);
            }
        }
    }

    /// Counts an operation. Whether it is torn.
    fn begin(&mut self) -> Result<bool, Off> {
        if self.off {
            return Err(Off);
        }
        self.operations += 1;
        if let Some(left) = &mut self.left {
            self.off = *left == 0;
            *left = left.saturating_sub(1);
        }
        Ok(self.off)
    }

    /// Changes some bits of a range to what they should become, and leaves others, or one that may read as either.
    fn tear(&mut self, at: usize, target: &[u8]) {
        if at < self.weak_below && self.rng.random() {
            return self.weaken(at, target);
        }
        // From nothing done to all done.
        let done = self.rng.random::<u8>();
        for (i, &target) in target.iter().enumerate() {
            let byte = &mut self.bytes[at + i];
            let mut change = 0;
            for bit in 0..8 {
                change |= u8::from(self.rng.random::<u8>() < done) << bit;
            }
            *byte ^= (*byte ^ target) & change;
        }
    }

    /// Does it all but for one bit, which is left undecided.
    fn weaken(&mut self, at: usize, target: &[u8]) {
        let bytes = &mut self.bytes[at..at + target.len()];
        let differs = (0..8 * target.len())
            .filter(|bit| (bytes[bit / 8] ^ target[bit / 8]) >> (bit % 8) & 1 != 0);
        let differs: Vec<_> = differs.collect();
        bytes.copy_from_slice(target);
        if !differs.is_empty() {
            let bit = differs[self.rng.random_range(0..differs.len())];
            self.weak[at + bit / 8] |= 1 << (bit % 8);
        }
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ErrorType
    for Flash<READ, WRITE, ERASE>
{
    type Error = Off;
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ReadNorFlash
    for Flash<READ, WRITE, ERASE>
{
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Off> {
        if self.off {
            return Err(Off);
        }
        let offset = offset as usize;
        assert!(
            offset.is_multiple_of(READ) && bytes.len().is_multiple_of(READ),
            "misaligned read"
        );
        bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> NorFlash
    for Flash<READ, WRITE, ERASE>
{
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Off> {
        let (from, to) = (from as usize, to as usize);
        assert!(
            from < to && from.is_multiple_of(ERASE) && to.is_multiple_of(ERASE),
            "misaligned erase"
        );
        for page in from / ERASE..to / ERASE {
            let torn = self.begin()?;
            let start = page * ERASE;
            self.erased[page] += 1;
            if torn {
                self.tear(start, &[0xff; ERASE]);
                return Err(Off);
            }
            self.bytes[start..start + ERASE].fill(0xff);
            self.weak[start..start + ERASE].fill(0);
            self.written[start / WRITE..(start + ERASE) / WRITE].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Off> {
        let offset = offset as usize;
        assert!(
            offset.is_multiple_of(WRITE) && bytes.len().is_multiple_of(WRITE),
            "misaligned write"
        );
        let fails = self.torn_writes != 0 && self.rng.random_ratio(1, self.torn_writes);
        let torn = self.begin()? || fails;
        let words = bytes.len() / WRITE;
        // Weak bits in the last word are what a record survives by.
        let last = (offset < self.weak_below && self.rng.random()).then_some(words - 1);
        let done = match torn {
            // The driver fails, the flash memory does not.
            true if fails && self.rng.random() => words,
            true => last.unwrap_or_else(|| self.rng.random_range(0..=words)),
            false => words,
        };
        for (i, word) in bytes.chunks(WRITE).enumerate().take(done) {
            let at = offset + i * WRITE;
            assert!(
                !self.written[at / WRITE],
                "the word at byte {at} is written twice without an erase"
            );
            // Flash of so small words has no error correction, by which it could tell.
            self.written[at / WRITE] = WRITE >= 4 || !is_blank(word);
            self.bytes[at..at + WRITE].copy_from_slice(word);
            if let Some(stuck) = self.stuck
                && (at..at + WRITE).contains(&stuck)
            {
                self.bytes[stuck] = 0;
            }
        }
        if torn && done < words {
            let word = &bytes[done * WRITE..][..WRITE];
            let at = offset + done * WRITE;
            self.tear(at, word);
            self.written[at / WRITE] = !is_blank(&self.bytes[at..at + WRITE]);
        }
        if torn { Err(Off) } else { Ok(()) }
    }
}

fn is_blank(word: &[u8]) -> bool {
    word.iter().all(|&byte| byte == 0xff)
}

/// `length` random bytes.
pub(crate) fn random_bytes(rng: &mut impl Rng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rng.fill_bytes(&mut bytes);
    bytes
}
