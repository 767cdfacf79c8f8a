//! LED and button of the board (FPGAIO).

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, Ordering};

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};

use crate::addresses;
use crate::register::Register;

// SAFETY: the registers of FPGAIO.
const LEDS: Register = unsafe { Register::new(addresses::FPGAIO, 0x0) };
// SAFETY: as above.
const BUTTONS: Register = unsafe { Register::new(addresses::FPGAIO, 0x8) };

const FIRST: u32 = 1;

/// Whether the button is held by a debugger: QEMU has no button that could be pressed, its register reads as zero.
#[unsafe(no_mangle)]
static BUTTON_HELD: AtomicBool = AtomicBool::new(false);

/// LED 0.
pub struct Led(pub(crate) ());

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        LEDS.write(LEDS.read() & !FIRST);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        LEDS.write(LEDS.read() | FIRST);
        Ok(())
    }
}

/// Button 0, whose bit is set while it is pressed.
pub struct Button(pub(crate) ());

impl ErrorType for Button {
    type Error = Infallible;
}

impl InputPin for Button {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        self.is_low().map(|is_pressed| !is_pressed)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(BUTTONS.read() & FIRST != 0 || BUTTON_HELD.load(Ordering::Relaxed))
    }
}
