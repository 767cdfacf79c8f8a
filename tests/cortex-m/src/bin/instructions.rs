//! Counts the instructions of int8 layers, on a machine where each takes one nanosecond (QEMU with `-icount shift=0`), and
//! compares those of a multiply-accumulate operation (MAC) with bounds. No measure of time: real cores take more for some.
#![no_std]
#![no_main]

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hprintln};
use graft_patches::geometry::Padding;
use graft_runtime::kernels::int8::{
    Conv, Epilogue, Kernels, Pointwise, Quantized, RequantizePanel, Scratch, available,
};
use graft_runtime::kernels::{Shape, Window};
use panic_semihosting as _;

/// Instructions in a tick of the timer: the boards run at 25 MHz.
const TICK: u32 = 40;

/// Pixels on a side, channels before and after, how often the network has the layer.
type PointwiseLayer = [usize; 4];
/// Pixels on a side before, channels, stride, how often the network has the layer.
type DepthwiseLayer = [usize; 4];

struct Network {
    name: &'static str,
    pointwise: &'static [PointwiseLayer],
    depthwise: &'static [DepthwiseLayer],
    /// The most that pointwise and depthwise layers may take, in thousandths of an instruction a MAC.
    bounds: [u64; 2],
    /// The most instructions that all layers may take together.
    most: Option<u64>,
}

/// The instructions that CMSIS-NN takes for the layers of [`MOBILENET_V1`].
const CMSIS_NN: u64 = 15_300_000;

/// With a quarter of the channels, at 96 pixels.
const MOBILENET_V1: Network = Network {
    name: "MobileNetV1",
    pointwise: &[
        [48, 8, 16, 1],
        [24, 16, 32, 1],
        [24, 32, 32, 1],
        [12, 32, 64, 1],
        [12, 64, 64, 1],
        [6, 64, 128, 1],
        [6, 128, 128, 1],
        [3, 128, 256, 1],
        [3, 256, 256, 1],
    ],
    depthwise: &[
        [48, 8, 1, 1],
        [48, 16, 2, 1],
        [24, 32, 1, 1],
        [12, 64, 1, 1],
        [6, 128, 1, 1],
        [3, 256, 1, 1],
    ],
    bounds: [1220, 3300],
    most: Some(CMSIS_NN / 2),
};

/// The demo backbone (`tools/assets/demo`).
const DEMO: Network = Network {
    name: "demo",
    pointwise: &[
        [24, 16, 16, 1],
        [24, 16, 48, 2],
        [24, 48, 16, 2],
        [24, 16, 96, 1],
        [12, 96, 24, 1],
        [12, 24, 144, 3],
        [12, 144, 24, 2],
        [6, 144, 32, 1],
        [6, 32, 192, 4],
        [6, 192, 32, 3],
        [6, 192, 56, 1],
        [6, 56, 336, 3],
        [6, 336, 56, 2],
        [6, 336, 80, 1],
        [6, 80, 480, 1],
        [6, 480, 80, 1],
        [6, 80, 320, 1],
    ],
    depthwise: &[
        [24, 16, 1, 1],
        [24, 48, 1, 2],
        [24, 96, 2, 1],
        [12, 144, 1, 2],
        [12, 144, 2, 1],
        [6, 192, 1, 4],
        [6, 336, 1, 3],
        [6, 480, 1, 1],
    ],
    bounds: [1100, 3430],
    most: None,
};

/// Room for the largest layers. Weights are aligned to words as in files, behind what is.
#[repr(C)]
struct Memory {
    table: [RequantizePanel; 32],
    weights: [i8; 64 * 1024],
    input: [i8; 56 * 1024],
    output: [i8; 56 * 1024],
    scratch: [u8; Scratch::HERE.dense(480)],
}

impl Memory {
    const EMPTY: Self = Self {
        table: [RequantizePanel {
            multiplier: [1e-3; _],
            bias: [10; _],
        }; _],
        weights: [-2; _],
        input: [3; _],
        output: [0; _],
        scratch: [0; _],
    };
}

/// The range that an activation such as ReLU6 leaves: all of it.
const OUTPUT: Quantized = Quantized {
    zero_point: -128,
    min: -128,
    max: 127,
};

#[entry]
fn main() -> ! {
    let mut counts = [0, 0];
    let memory = cortex_m::singleton!(: Memory = Memory::EMPTY);
    if let (Some(kernels), Some(memory), Some(timer)) =
        (available().next(), memory, cortex_m::Peripherals::take())
    {
        let mut counter = Counter::new(timer.SYST);
        hprintln!("{:12} {:10} {:18} {:>12} {:>9} {:>8}", "network", "operator", "shape", "instructions", "MACs", "per MAC");
        for network in [MOBILENET_V1, DEMO] {
            for is_met in network.count(kernels, memory, &mut counter).into_iter().flatten() {
                counts[usize::from(!is_met)] += 1;
            }
        }
    }
    let [passed, failed] = counts;
    hprintln!("{} passed, {} failed", passed, failed);
    let is_ok = failed == 0 && passed > 0;
    debug::exit(if is_ok { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

impl Network {
    /// Whether the pointwise, the depthwise and all layers keep to their bounds, where they have one.
    fn count(&self, kernels: &Kernels, memory: &mut Memory, counter: &mut Counter) -> [Option<bool>; 3] {
        let mut totals = [Total::default(); 2];
        for &[side, inputs, outputs, times] in self.pointwise {
            let shape = Shape::new(side, side, outputs);
            let instructions = counter.count(|| pointwise(kernels, memory, shape, inputs));
            let macs = shape.len() * inputs;
            hprintln!(
                "{:12} {:10} {:2}x{:2}x{:3} -> {:3}   {}",
                self.name, "pointwise", side, side, inputs, outputs, Total::of(instructions, macs, 1)
            );
            totals[0].add(Total::of(instructions, macs, times));
        }
        for &[side, channels, stride, times] in self.depthwise {
            let mut macs = 0;
            let instructions = counter.count(|| macs = depthwise(kernels, memory, side, channels, stride));
            hprintln!(
                "{:12} {:10} {:2}x{:2}x{:3} stride {} {}",
                self.name, "depthwise", side, side, channels, stride, Total::of(instructions, macs, 1)
            );
            totals[1].add(Total::of(instructions, macs, times));
        }
        let [pointwise, depthwise] = core::array::from_fn(|i| {
            let is_met = totals[i].per_mac() <= self.bounds[i];
            let bound = Thousandths(self.bounds[i]);
            let operator = ["pointwise", "depthwise"][i];
            hprintln!("{:12} {:29} {} {} {}", self.name, operator, totals[i], verdict(is_met), bound);
            Some(is_met)
        });
        let all = self.most.map(|most| {
            let instructions = totals[0].instructions + totals[1].instructions;
            let is_met = instructions <= most;
            hprintln!("{:12} {:29} {:>12} {} {}", self.name, "both", instructions, verdict(is_met), most);
            is_met
        });
        [pointwise, depthwise, all]
    }
}

fn verdict(is_met: bool) -> &'static str {
    if is_met { "at most" } else { "MORE THAN" }
}

fn pointwise(kernels: &Kernels, memory: &mut Memory, shape: Shape, inputs: usize) {
    let task = Pointwise {
        input: &memory.input[..shape.pixels() * inputs],
        inputs,
        outputs: shape.channels,
        weights: &memory.weights,
        epilogue: Epilogue { table: &memory.table, output: OUTPUT },
    };
    (kernels.pointwise)(&task, 0, &mut memory.output[..shape.len()], &mut memory.scratch);
}

/// Returns its MACs, those with padding among them.
fn depthwise(kernels: &Kernels, memory: &mut Memory, side: usize, channels: usize, stride: usize) -> usize {
    let output_side = side.div_ceil(stride);
    let output_shape = Shape::new(output_side, output_side, channels);
    let input_shape = Shape::new(side, side, channels);
    let task = Conv {
        input: &memory.input[..input_shape.len()],
        input_shape,
        output_shape,
        window: Window { kernel: [3; 2], stride: [stride; 2], padding: Padding::Same },
        padding: -128,
        weights: &memory.weights,
        epilogue: Epilogue { table: &memory.table, output: OUTPUT },
    };
    (kernels.depthwise)(&task, 0, &mut memory.output[..output_shape.len()]);
    9 * output_shape.len()
}

/// Counts by the timer of the core.
struct Counter(SYST);

impl Counter {
    fn new(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(0x00ff_ffff);
        timer.enable_counter();
        Self(timer)
    }

    /// Instructions that `run` takes, to the tick; fewer than 2^24 ticks.
    fn count(&mut self, run: impl FnOnce()) -> u32 {
        self.0.clear_current();
        let before = SYST::get_current();
        run();
        let ticks = before.wrapping_sub(SYST::get_current()) & 0x00ff_ffff;
        ticks * TICK
    }
}

#[derive(Clone, Copy, Default)]
struct Total {
    instructions: u64,
    macs: u64,
}

impl Total {
    fn of(instructions: u32, macs: usize, times: usize) -> Self {
        Self {
            instructions: u64::from(instructions) * times as u64,
            macs: (macs * times) as u64,
        }
    }

    fn add(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.macs += other.macs;
    }

    /// In thousandths, rounded up.
    fn per_mac(self) -> u64 {
        (self.instructions * 1000).div_ceil(self.macs)
    }
}

impl core::fmt::Display for Total {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let per_mac = Thousandths(self.per_mac());
        write!(f, "{:>12} {:>9}    {}", self.instructions, self.macs, per_mac)
    }
}

struct Thousandths(u64);

impl core::fmt::Display for Thousandths {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}
