//! A board in memory: NOR flash that outlives the device, and a line to a host in the same program.

pub(crate) mod host;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use embedded_storage::nor_flash::{self, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use graft_firmware::{Board, Buffers, Clock, Device, LearnBuffers, MappedFlash, Next};
use graft_link::{FRAME, Memory, Receiver, Reply, Request, encode};
use graft_runtime::Backbone;
use graft_runtime::head_learner::HeadLearner;
use graft_slots::Layout;

pub(crate) const LAYOUT: Layout = Layout {
    slots: 3,
    slot_len: 96 * 1024,
    tasks: 4,
};
const PAGE: usize = 4096;
/// Of what the device is taught.
pub(crate) const DIMENSIONS: usize = 16;
/// Classes that it can be taught.
pub(crate) const CLASSES: usize = 3;
const FLASH: usize = 2 * PAGE + 3 * 96 * 1024;

/// The state that host and board share.
#[derive(Clone, Default)]
pub(crate) struct Wires {
    pub(crate) to_device: Rc<RefCell<VecDeque<u8>>>,
    pub(crate) to_host: Rc<RefCell<VecDeque<u8>>>,
    pub(crate) is_pressed: Rc<Cell<bool>>,
    pub(crate) ticks: Rc<Cell<u32>>,
    /// The time that a frame takes.
    pub(crate) frame_ticks: Rc<Cell<u32>>,
}

pub(crate) struct TestBoard(Wires);

impl Board for TestBoard {
    const NAME: &'static str = "test";
    type Serial = Wires;
    type Flash = Flash;
    type Light = Wires;
    type Button = Wires;
    type Delay = Wires;
    type Clock = Wires;

    fn serial(&mut self) -> &mut Wires {
        &mut self.0
    }
    fn light(&mut self) -> &mut Wires {
        &mut self.0
    }
    fn button(&mut self) -> &mut Wires {
        &mut self.0
    }
    fn delay(&mut self) -> &mut Wires {
        &mut self.0
    }
    fn clock(&mut self) -> &mut Wires {
        &mut self.0
    }
    fn memory(&self) -> Memory {
        Memory {
            code: 1,
            backbone: 0,
            statics: 2,
            arena: 0,
            arena_used: 0,
            stack: 3,
            stack_used: 4,
        }
    }
    fn capture(&mut self, _: &mut [u8]) -> bool {
        false
    }
}

impl ErrorType for Wires {
    type Error = Infallible;
}

impl Read for Wires {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, Infallible> {
        let mut line = self.to_device.borrow_mut();
        let count = bytes.len().min(line.len());
        for (byte, sent) in bytes.iter_mut().zip(line.drain(..count)) {
            *byte = sent;
        }
        Ok(count)
    }
}

impl ReadReady for Wires {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.to_device.borrow().is_empty())
    }
}

impl Write for Wires {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.to_host.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl digital::ErrorType for Wires {
    type Error = Infallible;
}

impl digital::OutputPin for Wires {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.ticks
            .set(self.ticks.get().wrapping_add(self.frame_ticks.get()));
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        self.ticks
            .set(self.ticks.get().wrapping_add(self.frame_ticks.get()));
        Ok(())
    }
}

impl digital::InputPin for Wires {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.is_pressed.get())
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.is_pressed.get())
    }
}

impl DelayNs for Wires {
    fn delay_ns(&mut self, _: u32) {}
}

impl Clock for Wires {
    const TICKS_PER_SECOND: u32 = 1000;
    fn ticks(&mut self) -> u32 {
        self.ticks.set(self.ticks.get().wrapping_add(1));
        self.ticks.get()
    }
}

/// NOR flash in memory that is never freed.
#[derive(Clone, Copy)]
pub(crate) struct Flash(*mut Cells);

#[repr(C, align(64))]
struct Cells {
    bytes: [u8; FLASH],
    /// Writes and erases so far.
    operations: usize,
    /// The number of them after which the power goes.
    power_goes_at: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Broken;

impl NorFlashError for Broken {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Flash {
    pub(crate) fn blank() -> Self {
        Self(Box::leak(Box::new(Cells {
            bytes: [0xff; FLASH],
            operations: 0,
            power_goes_at: None,
        })))
    }

    /// The same contents in memory of its own.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::blank();
        // SAFETY: nothing else reads or writes the copy.
        unsafe { (*copy.0).bytes = (*self.0).bytes };
        copy
    }

    /// Writes and erases so far.
    pub(crate) fn operations(&self) -> usize {
        // SAFETY: one thread has it.
        unsafe { (*self.0).operations }
    }

    /// After as many more writes and erases the power goes, in the middle of the next one; `None` has it on.
    pub(crate) fn cut_after(&self, operations: Option<usize>) {
        let at = operations.map(|operations| self.operations() + operations);
        // SAFETY: one thread has it.
        unsafe { (*self.0).power_goes_at = at };
    }

    /// Begins a write or an erase; whether it is the one that is cut.
    fn begin(&mut self) -> Result<bool, Broken> {
        let now = self.operations();
        // SAFETY: one thread has it.
        let memory = unsafe { (&raw mut (*self.0).operations, (*self.0).power_goes_at) };
        if memory.1.is_some_and(|at| now > at) {
            return Err(Broken);
        }
        // SAFETY: as above.
        unsafe { *memory.0 += 1 };
        Ok(memory.1 == Some(now))
    }

    /// The device does not run meanwhile.
    pub(crate) fn flip(&mut self, offset: u32) {
        // SAFETY: nothing else reads or writes the flash.
        unsafe { (*self.0).bytes[offset as usize] ^= 1 };
    }
}

// SAFETY: the memory is never freed, and only changed below (and by `flip`, while no device runs).
unsafe impl MappedFlash for Flash {
    fn base(&self) -> *const u8 {
        self.0.cast()
    }
}

impl nor_flash::ErrorType for Flash {
    type Error = Broken;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        let end = offset as usize + bytes.len();
        if end > FLASH {
            return Err(Broken);
        }
        // SAFETY: in range, and nothing writes at the same time.
        unsafe {
            self.base()
                .add(offset as usize)
                .copy_to(bytes.as_mut_ptr(), bytes.len())
        };
        Ok(())
    }
    fn capacity(&self) -> usize {
        FLASH
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = PAGE;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        nor_flash::check_erase(self, from, to).map_err(|_| Broken)?;
        let is_cut = self.begin()?;
        let length = (to - from) as usize >> u8::from(is_cut);
        // SAFETY: in range; no patch that is bound lies here.
        unsafe {
            self.0
                .cast::<u8>()
                .add(from as usize)
                .write_bytes(0xff, length)
        };
        if is_cut { Err(Broken) } else { Ok(()) }
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        nor_flash::check_write(self, offset, bytes.len()).map_err(|_| Broken)?;
        let is_cut = self.begin()?;
        let length = bytes.len() >> u8::from(is_cut);
        for (at, &byte) in (offset as usize..).zip(&bytes[..length]) {
            // SAFETY: as above.
            let place = unsafe { &mut *self.0.cast::<u8>().add(at) };
            assert_eq!(*place, 0xff, "byte {at} is written twice without an erase");
            *place = byte;
        }
        if is_cut { Err(Broken) } else { Ok(()) }
    }
}

/// A device and its host.
pub(crate) struct Setup {
    pub(crate) device: Device<TestBoard>,
    pub(crate) wires: Wires,
    pub(crate) flash: Flash,
    id: u16,
}

impl Setup {
    /// Power on.
    pub(crate) fn start(backbone: &Backbone, flash: Flash) -> Self {
        let wires = Wires::default();
        let buffers = Buffers {
            arena: aligned_arena(graft_runtime::Session::arena_len(backbone)),
            patches: vec![None; LAYOUT.slots.into()].leak(),
            image: vec![0; backbone.image().input().shape.len()].leak(),
            scores: vec![0.0; backbone.image().max_classes()].leak(),
            layers: vec![0; 64].leak(),
            learn: LearnBuffers {
                sums: vec![0; HeadLearner::words_len(DIMENSIONS, CLASSES)].leak(),
                dimensions: DIMENSIONS,
                labels: (0..CLASSES)
                    .map(|_| Default::default())
                    .collect::<Vec<_>>()
                    .leak(),
            },
        };
        let board = TestBoard(wires.clone());
        let device = Device::start(board, backbone.clone(), flash, LAYOUT, buffers);
        Self {
            device: device.expect("everything fits"),
            wires,
            flash,
            id: 0,
        }
    }

    /// Sends a request and gives the reply to `read`.
    pub(crate) fn ask<T>(&mut self, request: Request<'_>, read: impl FnOnce(Reply<'_>) -> T) -> T {
        self.id += 1;
        let mut buffer = [0; FRAME];
        let frame = encode(self.id, &request, &mut buffer).expect("it fits");
        self.wires.to_device.borrow_mut().extend(frame);
        while !self.wires.to_device.borrow().is_empty() {
            self.device.poll();
        }
        let (id, bytes) = self.reply().expect("an answer");
        assert_eq!(id, self.id);
        let mut receiver = Receiver::new();
        for &byte in &bytes {
            if let Some(Ok(frame)) = receiver.push(byte) {
                return read(frame.message().expect("a reply"));
            }
        }
        unreachable!("there was a frame");
    }

    /// The id of the next frame of the device, and the frame.
    pub(crate) fn reply(&mut self) -> Option<(u16, Vec<u8>)> {
        let bytes: Vec<u8> = self.wires.to_host.borrow_mut().drain(..).collect();
        let mut receiver = Receiver::new();
        let ids = bytes.iter().filter_map(|&byte| match receiver.push(byte)? {
            Ok(frame) => Some(frame.id),
            Err(_) => None,
        });
        let ids: Vec<u16> = ids.collect();
        assert!(ids.len() <= 1, "one answer a request");
        ids.first().map(|&id| (id, bytes))
    }

    /// Polls until the clock has gone on by `seconds`.
    pub(crate) fn wait(&mut self, seconds: u32) {
        let end = self.wires.ticks.get() + seconds * Wires::TICKS_PER_SECOND;
        while self.wires.ticks.get() < end {
            assert_ne!(self.device.poll(), Next::Restart);
        }
    }

    /// Power off and on.
    pub(crate) fn restart(self, backbone: &Backbone) -> Self {
        Self::start(backbone, self.flash)
    }
}

fn aligned_arena(length: usize) -> &'static mut [u8] {
    let bytes = vec![0; length + 64].leak();
    let start = bytes.as_ptr().align_offset(64);
    &mut bytes[start..][..length]
}
