//! A device's register of 32 bits.

/// A register at an address that the board has for as long as it runs.
#[derive(Clone, Copy)]
pub struct Register(*mut u32);

impl Register {
    /// The register at `offset` of the device at `base`.
    ///
    /// # Safety
    /// The board has such a register, and reading or writing it touches no memory.
    pub const unsafe fn new(base: usize, offset: usize) -> Self {
        Self((base + offset) as *mut u32)
    }

    /// Its value.
    pub fn read(self) -> u32 {
        // SAFETY: by the promise to `new`.
        unsafe { self.0.read_volatile() }
    }

    /// Sets it.
    pub fn write(self, value: u32) {
        // SAFETY: by the promise to `new`.
        unsafe { self.0.write_volatile(value) }
    }
}
