//! NOR flash for patches. The board has none that QEMU models, so this is PSRAM with the rules of NOR flash, whose contents
//! a file of the host keeps (`flash.bin` in QEMU's working directory, by semihosting): to kill QEMU is to pull the plug.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read,
    check_write,
};
use graft_firmware::MappedFlash;
use graft_slots::Layout;
use semihosting::fs::{File, OpenOptions};
use semihosting::io::{Read as _, Seek as _, SeekFrom, Write as _};

use crate::addresses;

/// Bytes that are erased at once.
const PAGE: usize = 4096;

/// Slots that hold patches of the demo's size, and larger ones.
pub const LAYOUT: Layout = Layout {
    slots: 4,
    slot_len: 128 * 1024,
    tasks: 16,
};

const LENGTH: usize = 2 * PAGE + LAYOUT.slots as usize * LAYOUT.slot_len as usize;

/// The flash.
pub struct Flash {
    file: File,
}

/// The reason why the flash does not do something. No variant has a field: to print one takes 200 bytes of code.
#[derive(Debug, defmt::Format)]
pub enum FlashError {
    /// Not whole words or pages.
    NotAligned,
    /// Not of the flash.
    OutOfBounds,
    /// A word that was written already.
    NotErased,
    /// The host's file.
    File,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotErased | Self::File => NorFlashErrorKind::Other,
        }
    }
}

/// That of a check of the range.
impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        match kind {
            NorFlashErrorKind::NotAligned => Self::NotAligned,
            _ => Self::OutOfBounds,
        }
    }
}

impl From<semihosting::io::Error> for FlashError {
    fn from(_: semihosting::io::Error) -> Self {
        Self::File
    }
}

impl Flash {
    /// Takes the contents of the file; without a file the flash is blank.
    ///
    /// # Errors
    /// [`FlashError::File`].
    pub fn open() -> Result<Self, FlashError> {
        // SAFETY: the board has PSRAM of that length there, and nothing else uses it; no patch is bound yet.
        let memory =
            unsafe { core::slice::from_raw_parts_mut(addresses::PSRAM as *mut u8, LENGTH) };
        memory.fill(0xff);
        let path = c"flash.bin";
        if let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) {
            let mut at = 0;
            while at < LENGTH {
                match file.read(&mut memory[at..])? {
                    0 => break,
                    count => at += count,
                }
            }
            return Ok(Self { file });
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all(memory)?;
        Ok(Self { file })
    }

    /// Writes to memory and file.
    fn set(
        &mut self,
        offset: u32,
        bytes: impl Fn(usize) -> u8,
        length: usize,
    ) -> Result<(), FlashError> {
        // SAFETY: the caller has checked the range; a patch that is bound does not lie in it.
        let place = unsafe { core::slice::from_raw_parts_mut(self.address(offset), length) };
        for (at, byte) in place.iter_mut().enumerate() {
            *byte = bytes(at);
        }
        self.file.seek(SeekFrom::Start(offset.into()))?;
        self.file.write_all(place)?;
        Ok(())
    }

    fn address(&self, offset: u32) -> *mut u8 {
        (addresses::PSRAM + offset as usize) as *mut u8
    }
}

// SAFETY: PSRAM is always readable, and only `set` changes this part of it.
unsafe impl MappedFlash for Flash {
    fn base(&self) -> *const u8 {
        self.address(0)
    }
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, bytes.len())?;
        // SAFETY: in range, and nothing writes at the same time.
        unsafe {
            self.address(offset)
                .copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len())
        };
        Ok(())
    }

    fn capacity(&self) -> usize {
        LENGTH
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
        self.set(from, |_| 0xff, (to - from) as usize)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, bytes.len())?;
        // SAFETY: in range, and nothing writes at the same time.
        let place = unsafe { core::slice::from_raw_parts(self.address(offset), bytes.len()) };
        if place.iter().any(|&byte| byte != 0xff) {
            return Err(FlashError::NotErased);
        }
        self.set(offset, |at| bytes[at], bytes.len())
    }
}
