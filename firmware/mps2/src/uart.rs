//! The serial line to the host: UART 0 (CMSDK), which an interrupt reads.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use heapless::spsc::{Consumer, Producer, Queue};
use static_cell::StaticCell;

use crate::register::Register;
use crate::{addresses, timer};

/// Bytes that may arrive while the network runs: more than three frames.
const BUFFER: usize = 2048;

// SAFETY: the registers of UART 0.
const DATA: Register = unsafe { Register::new(addresses::UART, 0x0) };
// SAFETY: as above.
const STATE: Register = unsafe { Register::new(addresses::UART, 0x4) };
// SAFETY: as above.
const CONTROL: Register = unsafe { Register::new(addresses::UART, 0x8) };
// SAFETY: as above.
const INTERRUPT_CLEAR: Register = unsafe { Register::new(addresses::UART, 0xc) };
// SAFETY: as above.
const BAUD_DIVIDER: Register = unsafe { Register::new(addresses::UART, 0x10) };

const CAN_NOT_SEND: u32 = 1 << 0;
const HAS_RECEIVED: u32 = 1 << 1;
const HAS_LOST: u32 = 1 << 3;
const SEND: u32 = 1 << 0;
const RECEIVE: u32 = 1 << 1;
const RECEIVE_INTERRUPT: u32 = 1 << 3;
const RECEIVE_INTERRUPT_IS_PENDING: u32 = 1 << 1;

const BAUD: u32 = 115_200;

static QUEUE: StaticCell<Queue<u8, BUFFER>> = StaticCell::new();

/// The queue that the interrupt writes to; set before it is enabled, and touched by nothing else after.
static mut RECEIVED: Option<Producer<'static, u8>> = None;

/// Bytes that have arrived and found no room, until the next read.
static LOST: AtomicU32 = AtomicU32::new(0);

/// UART 0.
pub struct Uart {
    received: Consumer<'static, u8>,
}

#[derive(Clone, Copy)]
struct Received;

// SAFETY: the number of an interrupt of this board.
unsafe impl InterruptNumber for Received {
    fn number(self) -> u16 {
        addresses::UART_RECEIVED as u16
    }
}

impl Uart {
    /// Enables it. There is one: a second call panics.
    pub fn take() -> Self {
        let (producer, received) = QUEUE.init(Queue::new()).split();
        // SAFETY: its interrupt is not enabled yet.
        unsafe { RECEIVED = Some(producer) };
        BAUD_DIVIDER.write(addresses::TIMER_HZ / BAUD);
        CONTROL.write(SEND | RECEIVE | RECEIVE_INTERRUPT);
        // SAFETY: no critical section is there to be broken.
        unsafe { NVIC::unmask(Received) };
        Self { received }
    }
}

/// Reads what has arrived; called by the interrupt, and by nothing else.
pub fn on_received() {
    INTERRUPT_CLEAR.write(RECEIVE_INTERRUPT_IS_PENDING);
    let received = &raw mut RECEIVED;
    // SAFETY: only this interrupt, which does not interrupt itself, touches it once it is enabled.
    let Some(received) = (unsafe { (*received).as_mut() }) else {
        return;
    };
    while STATE.read() & HAS_RECEIVED != 0 {
        if received.enqueue(DATA.read() as u8).is_err() {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
    if STATE.read() & HAS_LOST != 0 {
        // Written, the bit is cleared.
        STATE.write(HAS_LOST);
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// A lost byte damages its frame, and the host asks again.
fn report_lost() {
    let lost = LOST.swap(0, Ordering::Relaxed);
    if lost != 0 {
        defmt::warn!("{=u32} bytes of the host were lost, at least", lost);
    }
}

/// The host has taken no byte for half a second.
#[derive(Clone, Copy, Debug)]
pub struct HostIsDeaf;

impl core::fmt::Display for HostIsDeaf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the host takes no bytes")
    }
}

impl core::error::Error for HostIsDeaf {}

impl embedded_io::Error for HostIsDeaf {
    fn kind(&self) -> ErrorKind {
        ErrorKind::TimedOut
    }
}

impl ErrorType for Uart {
    type Error = HostIsDeaf;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, HostIsDeaf> {
        Ok(self.received.ready())
    }
}

impl Read for Uart {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, HostIsDeaf> {
        if bytes.is_empty() {
            return Ok(0);
        }
        report_lost();
        while !self.received.ready() {
            // Unlike WFI it does not miss an interrupt that came just before.
            cortex_m::asm::wfe();
        }
        let mut count = 0;
        for byte in bytes {
            let Some(received) = self.received.dequeue() else {
                break;
            };
            *byte = received;
            count += 1;
        }
        Ok(count)
    }
}

/// Waits until a byte can be sent, but not for a host that does not listen.
fn wait_to_send() -> Result<(), HostIsDeaf> {
    let start = timer::now();
    while STATE.read() & CAN_NOT_SEND != 0 {
        if timer::now().wrapping_sub(start) > addresses::TIMER_HZ / 2 {
            return Err(HostIsDeaf);
        }
    }
    Ok(())
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, HostIsDeaf> {
        for &byte in bytes {
            wait_to_send()?;
            DATA.write(byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), HostIsDeaf> {
        wait_to_send()
    }
}
