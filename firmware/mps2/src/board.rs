//! The board as the application sees it.

use graft_firmware::Board;
use graft_link::Memory;

use crate::flash::Flash;
use crate::io::{Button, Led};
use crate::timer::Timer;
use crate::uart::Uart;
use crate::{addresses, memory};

/// An MPS2 board.
pub struct Mps2 {
    serial: Uart,
    led: Led,
    button: Button,
    delay: Timer,
    clock: Timer,
}

impl Mps2 {
    /// Starts its devices. There is one board: a second call panics.
    pub fn take() -> Self {
        Self {
            serial: Uart::take(),
            led: Led(()),
            button: Button(()),
            delay: Timer::start(),
            clock: Timer::start(),
        }
    }
}

impl Board for Mps2 {
    const NAME: &'static str = addresses::NAME;

    type Serial = Uart;
    type Flash = Flash;
    type Light = Led;
    type Button = Button;
    type Delay = Timer;
    type Clock = Timer;

    fn serial(&mut self) -> &mut Uart {
        &mut self.serial
    }

    fn light(&mut self) -> &mut Led {
        &mut self.led
    }

    fn button(&mut self) -> &mut Button {
        &mut self.button
    }

    fn delay(&mut self) -> &mut Timer {
        &mut self.delay
    }

    fn clock(&mut self) -> &mut Timer {
        &mut self.clock
    }

    fn memory(&self) -> Memory {
        memory::report()
    }

    /// It has no camera.
    fn capture(&mut self, _: &mut [u8]) -> bool {
        false
    }
}
