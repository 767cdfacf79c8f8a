//! Time: timer 0 (CMSDK) counts down from the highest value, again and again.
//!
//! QEMU does not model cycles (DWT reads as zero). With `-icount shift=0` an instruction takes a nanosecond of its time, so
//! a tick is 40 instructions, or 50 on mps2-an505.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use embedded_hal::delay::DelayNs;
use graft_firmware::Clock;

use crate::addresses;
use crate::register::Register;

// SAFETY: the registers of timer 0.
const CONTROL: Register = unsafe { Register::new(addresses::TIMER, 0x0) };
// SAFETY: as above.
const VALUE: Register = unsafe { Register::new(addresses::TIMER, 0x4) };
// SAFETY: as above.
const RELOAD: Register = unsafe { Register::new(addresses::TIMER, 0x8) };

const ENABLE: u32 = 1;

/// Timer 0.
pub struct Timer(());

impl Timer {
    /// Starts it.
    pub fn start() -> Self {
        RELOAD.write(u32::MAX);
        VALUE.write(u32::MAX);
        CONTROL.write(ENABLE);
        Self(())
    }
}

/// Ticks, once it was started.
pub fn now() -> u32 {
    !VALUE.read()
}

/// Has SysTick interrupt a thousand times a second, so that a wait for an interrupt ends in time for the next frame.
pub fn wake(mut timer: SYST) {
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload(addresses::TIMER_HZ / 1000 - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

impl Clock for Timer {
    const TICKS_PER_SECOND: u32 = addresses::TIMER_HZ;

    fn ticks(&mut self) -> u32 {
        now()
    }
}

impl DelayNs for Timer {
    fn delay_ns(&mut self, nanoseconds: u32) {
        let ticks = u64::from(nanoseconds) * u64::from(Self::TICKS_PER_SECOND) / 1_000_000_000;
        let start = self.ticks();
        while u64::from(self.ticks().wrapping_sub(start)) <= ticks {}
    }
}
