//! The end of a program that has failed: say so, and start anew. A patch on trial is rolled back by that.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::peripheral::SCB;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    restart_after(|| {
        let message = info.message().as_str().unwrap_or("a panic");
        match info.location() {
            Some(at) => defmt::error!("{=str}:{=u32}: {=str}", at.file(), at.line(), message),
            None => defmt::error!("{=str}", message),
        }
    })
}

/// Logs, and restarts; at once where the log itself has failed.
fn restart_after(log: impl FnOnce()) -> ! {
    static HAS_FAILED: AtomicBool = AtomicBool::new(false);
    if !HAS_FAILED.swap(true, Ordering::Relaxed) {
        log();
        defmt::flush();
    }
    SCB::sys_reset()
}

/// Bytes of stack for [`report`]: after an overflow there is no other.
const STACK: usize = 1024;

#[repr(align(8))]
struct Stack(#[expect(dead_code, reason = "only its address is used")] [u8; STACK]);

static mut FAULT_STACK: Stack = Stack([0; STACK]);

/// The exception: goes on to [`report`] on a stack of its own, with the stack pointer of the fault. It is written to the vector
/// table by its name; the attribute of `cortex-m-rt` would push to the stack that has overflowed.
#[unsafe(export_name = "HardFault")]
#[unsafe(naked)]
unsafe extern "C" fn hard_fault() -> ! {
    core::arch::naked_asm!(
        "mrs r0, msp",
        // On cores with a limit of the stack (ARMv8-M) it is another one now.
        #[cfg(feature = "an505")]
        "movs r1, #0",
        #[cfg(feature = "an505")]
        "msr msplim, r1",
        "ldr r1, ={stack}",
        "add r1, #{length}",
        "msr msp, r1",
        "b {report}",
        stack = sym FAULT_STACK,
        length = const STACK,
        report = sym report,
    )
}

/// The faults of an access to the guard below the stack (`stack::guard`), by the program or by an exception, and on ARMv8-M
/// that of its limit: bits of the SCB's register CFSR.
const STACK_FAULTS: u32 = 1 << 1 | 1 << 4 | 1 << 20;

extern "C" fn report(stack_pointer: usize) -> ! {
    // SAFETY: reading the register changes nothing.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    restart_after(|| {
        if status & STACK_FAULTS != 0 {
            defmt::error!(
                "stack overflow: the stack pointer was {=usize:#x}",
                stack_pointer
            );
        } else {
            defmt::error!(
                "hard fault: CFSR {=u32:#x}, the stack pointer was {=usize:#x}",
                status,
                stack_pointer
            );
        }
    })
}
