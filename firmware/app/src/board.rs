//! The traits of a board. A port implements these traits (`firmware/PORTING.md`).

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_io::{Read, ReadReady, Write};
use embedded_storage::nor_flash::NorFlash;

use graft_link::Memory;

/// NOR flash that the CPU reads in place.
///
/// # Safety
/// From [`MappedFlash::base`] on, as many bytes as the flash has are readable for as long as the program runs, and only the
/// functions of [`NorFlash`] change them.
pub unsafe trait MappedFlash: NorFlash {
    /// Address of its first byte, aligned to 64.
    fn base(&self) -> *const u8;
}

/// Time, to measure by.
pub trait Clock {
    /// Ticks of a second.
    const TICKS_PER_SECOND: u32;

    /// A counter that wraps around: cycles, or those of a timer.
    fn ticks(&mut self) -> u32;
}

/// The parts of a board, and what only it knows.
pub trait Board {
    /// Board and CPU, for people to read.
    const NAME: &'static str;

    /// The link to the host. It keeps what arrives while a frame is run, at least [`graft_link::FRAME`] bytes, and a write
    /// fails after a time where the host takes nothing.
    type Serial: Read + ReadReady + Write;
    /// The flash that patches are stored in.
    type Flash: MappedFlash;
    /// Toggles with every frame.
    type Light: OutputPin;
    /// Low while it is pressed: the next task is served.
    type Button: InputPin;
    /// Waits.
    type Delay: DelayNs;
    /// Counts.
    type Clock: Clock;

    /// The link to the host.
    fn serial(&mut self) -> &mut Self::Serial;
    /// The light.
    fn light(&mut self) -> &mut Self::Light;
    /// The button.
    fn button(&mut self) -> &mut Self::Button;
    /// Waits.
    fn delay(&mut self) -> &mut Self::Delay;
    /// Counts.
    fn clock(&mut self) -> &mut Self::Clock;
    /// The use of memory; the application adds what the session uses of the arena.
    fn memory(&self) -> Memory;
    /// Fills the image with the next frame of a camera. False where there is none: the last image that the host sent, or
    /// at first [`graft_link::test_pattern`], is run again.
    fn capture(&mut self, image: &mut [u8]) -> bool;
}
