//! Graft on the MPS2 boards of QEMU: an int8 backbone is executed in place from its region of flash, patches from their
//! slots. `firmware/README.md` says how to run it, `firmware/PORTING.md` what another board needs.
#![no_std]
#![no_main]

mod addresses;
mod board;
mod fault;
mod flash;
mod io;
#[cfg(feature = "learn")]
mod learn;
mod memory;
mod register;
mod stack;
mod timer;
#[cfg(feature = "trust")]
mod trust;
mod uart;

use cortex_m::peripheral::SCB;
use cortex_m_rt::{entry, exception};
use defmt::{Display2Format, error, info};
use defmt_semihosting as _;
use graft_firmware::{Buffers, Device, Next};
use graft_patches::container::Header;
use graft_runtime::{Backbone, Patch, Verify};
use static_cell::{ConstStaticCell, StaticCell};

use crate::board::Mps2;
use crate::flash::Flash;

/// Bytes of the arena: of the demo's backbone 36 kB (`patchtool inspect`).
const ARENA: usize = 40 * 1024;
/// Bytes of an image: up to 48 x 48 pixels.
const IMAGE: usize = 48 * 48 * 3;
/// Classes of a task.
const CLASSES: usize = 256;
/// Layers of the backbone.
const LAYERS: usize = 128;

#[repr(align(64))]
struct Arena([u8; ARENA]);

static ARENA_BYTES: ConstStaticCell<Arena> = ConstStaticCell::new(Arena([0; ARENA]));
static PATCHES: ConstStaticCell<[Option<Patch>; flash::LAYOUT.slots as usize]> =
    ConstStaticCell::new([const { None }; flash::LAYOUT.slots as usize]);
static IMAGE_BYTES: ConstStaticCell<[u8; IMAGE]> = ConstStaticCell::new([0; IMAGE]);
static SCORES: ConstStaticCell<[f32; CLASSES]> = ConstStaticCell::new([0.0; CLASSES]);
static LAYER_TICKS: ConstStaticCell<[u32; LAYERS]> = ConstStaticCell::new([0; LAYERS]);
static DEVICE: StaticCell<Device<Mps2>> = StaticCell::new();

#[entry]
fn main() -> ! {
    if let Some(core) = cortex_m::Peripherals::take() {
        stack::guard(core.MPU);
        timer::wake(core.SYST);
    }
    let Ok(device) = start() else { stop() };
    report(device);
    loop {
        match device.poll() {
            Next::Poll => {}
            // A byte of the host, or SysTick, ends it.
            Next::Wait => cortex_m::asm::wfi(),
            Next::Restart => SCB::sys_reset(),
        }
    }
}

/// Its own frame, so that the stack that it needs is free again when frames are run.
#[inline(never)]
fn start() -> Result<&'static mut Device<Mps2>, ()> {
    let backbone =
        backbone().map_err(|e| error!("the backbone cannot be used: {}", Display2Format(&e)))?;
    #[cfg(feature = "trust")]
    let backbone = backbone.trusting(trust::TRUST);
    let flash = Flash::open().map_err(|e| error!("no flash for patches: {}", e))?;
    let buffers = Buffers {
        arena: &mut ARENA_BYTES.take().0,
        patches: PATCHES.take(),
        image: IMAGE_BYTES.take(),
        scores: SCORES.take(),
        layers: LAYER_TICKS.take(),
        #[cfg(feature = "learn")]
        learn: learn::buffers(),
    };
    let device = Device::start(Mps2::take(), backbone, flash, flash::LAYOUT, buffers)
        .map_err(|e| error!("the device does not start: {}", Display2Format(&e)))?;
    Ok(DEVICE.init(device))
}

/// The backbone in its region of flash, checked.
fn backbone() -> Result<Backbone, graft_runtime::Error> {
    let region = memory::backbone();
    let length = Header::parse(region).map_or(0, |header| header.length.get());
    let bytes = usize::try_from(length)
        .ok()
        .and_then(|length| region.get(..length));
    Backbone::from_static(bytes.unwrap_or(region), Verify::Full)
}

fn report(device: &Device<Mps2>) {
    let memory = device.memory();
    info!("{=str}", addresses::NAME);
    info!(
        "flash: {=u32} bytes of code, {=u32} of the backbone",
        memory.code, memory.backbone
    );
    info!(
        "static memory: {=u32} bytes, {=u32} of them the arena, of which {=u32} are used",
        memory.statics, memory.arena, memory.arena_used
    );
    info!(
        "stack: {=u32} bytes, at most {=u32} used so far",
        memory.stack, memory.stack_used
    );
}

/// There is nothing to serve: whoever is at the console has to see to it.
fn stop() -> ! {
    defmt::flush();
    loop {
        cortex_m::asm::wfi();
    }
}

/// Ends the wait for the next frame.
#[exception]
fn SysTick() {}

/// All interrupts.
#[exception]
unsafe fn DefaultHandler(number: i16) {
    match number {
        addresses::UART_RECEIVED => uart::on_received(),
        _ => panic!("an interrupt that nothing has enabled"),
    }
}
