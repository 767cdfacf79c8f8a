//! The addresses of the boards' devices (Arm's application notes AN385, AN386, AN500, AN505; QEMU's `hw/arm/mps2.c` and
//! `hw/arm/mps2-tz.c`).

/// Board and CPU.
#[cfg(feature = "an385")]
pub const NAME: &str = "mps2-an385, Cortex-M3";
/// Board and CPU.
#[cfg(feature = "an386")]
pub const NAME: &str = "mps2-an386, Cortex-M4";
/// Board and CPU.
#[cfg(feature = "an500")]
pub const NAME: &str = "mps2-an500, Cortex-M7";
/// Board and CPU.
#[cfg(feature = "an505")]
pub const NAME: &str = "mps2-an505, Cortex-M33";

#[cfg(not(feature = "an505"))]
mod board {
    pub const UART: usize = 0x4000_4000;
    pub const UART_RECEIVED: i16 = 0;
    pub const TIMER: usize = 0x4000_0000;
    pub const TIMER_HZ: u32 = 25_000_000;
    pub const FPGAIO: usize = 0x4002_8000;
    #[cfg(not(feature = "an500"))]
    pub const PSRAM: usize = 0x2100_0000;
    #[cfg(feature = "an500")]
    pub const PSRAM: usize = 0x6000_0000;
}

// The secure aliases.
#[cfg(feature = "an505")]
mod board {
    pub const UART: usize = 0x5020_0000;
    pub const UART_RECEIVED: i16 = 32;
    pub const TIMER: usize = 0x5000_0000;
    pub const TIMER_HZ: u32 = 20_000_000;
    pub const FPGAIO: usize = 0x5030_2000;
    pub const PSRAM: usize = 0x8000_0000;
}

/// The block with LEDs and buttons.
pub use board::FPGAIO;
/// Its PSRAM, of 16 MB.
pub use board::PSRAM;
/// Timer 0.
pub use board::TIMER;
/// Its ticks in a second.
pub use board::TIMER_HZ;
/// UART 0.
pub use board::UART;
/// Its interrupt for a byte that was received.
pub use board::UART_RECEIVED;
