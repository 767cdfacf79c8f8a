//! The stack: where it lies, what stops it at its end, and the most that was ever used of it.
//!
//! It is below all data, so an overflow harms none. But nothing says so by itself: what is below the memory of these boards
//! takes writes and forgets them (QEMU's `hw/arm/mps2.c`, "RESERVED"), and another board may have something there.

use core::ops::Range;

unsafe extern "C" {
    static _stack_start: u32;
    static _stack_end: u32;
}

/// From the lowest address of the stack to the one behind its highest.
pub fn range() -> Range<usize> {
    (&raw const _stack_end).addr()..(&raw const _stack_start).addr()
}

/// Makes every access to the 32 kB below the stack a fault: more than the locals of any function, which could step over less.
#[cfg(not(feature = "an505"))]
pub fn guard(mpu: cortex_m::peripheral::MPU) {
    /// Bytes of the region: a power of two.
    const GUARD: usize = 32 * 1024;
    /// The region's number is in the address, not in another register.
    const VALID: u32 = 1 << 4;
    /// No code in it; its access bits are zero: none for anyone.
    const EXECUTE_NEVER: u32 = 1 << 28;
    const SIZE: u32 = (GUARD.ilog2() - 1) << 1;
    const ENABLE: u32 = 1;
    /// Everywhere else is as without the MPU.
    const DEFAULT_MAP: u32 = 1 << 2;
    let start = range().start - GUARD;
    // SAFETY: takes access from nothing but memory that nothing has a right to.
    unsafe {
        mpu.rbar.write(start as u32 | VALID);
        mpu.rasr.write(EXECUTE_NEVER | SIZE | ENABLE);
        mpu.ctrl.write(DEFAULT_MAP | ENABLE);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// On ARMv8-M the stack pointer itself has a limit, which `cortex-m-rt` sets at the start (`set-msplim`).
#[cfg(feature = "an505")]
pub fn guard(_: cortex_m::peripheral::MPU) {}

/// The most that was ever used, in bytes: what has lost the paint of the start (`cortex-m-rt`, `paint-stack`).
pub fn used() -> usize {
    let Range { start, end } = range();
    let mut lowest = start;
    while lowest < end {
        // SAFETY: a word of the stack, which was painted at the start; what is in use is not changed by a read.
        let word = unsafe { (lowest as *const u32).read_volatile() };
        if word != cortex_m_rt::STACK_PAINT_VALUE {
            break;
        }
        lowest += size_of::<u32>();
    }
    end - lowest
}
