//! Compares the int8 kernels of this CPU with the reference on random layers, byte for byte.

use cortex_m_semihosting::hprintln;
use graft_patches::geometry::Padding;
use graft_runtime::kernels::int8::{
    Conv, Epilogue, Kernels, Pointwise, Quantized, RequantizePanel, Scratch, available,
};
use graft_runtime::kernels::{Shape, Window};

/// Random layers of each operator.
const CASES: usize = 40;

/// Memory for the operands of the largest layer.
#[repr(C)]
pub struct Memory {
    table: [RequantizePanel; 4],
    /// Behind what is aligned to words, and so aligned to words, too; one more, as below.
    weights: [i8; 16 * 1024 + 1],
    input: [i8; 8 * 1024],
    outputs: [[i8; 8 * 1024]; 2],
    /// One more, so that it can begin anywhere.
    scratch: [u8; Scratch::HERE.dense(7 * 7 * 4) + 1],
}

impl Memory {
    pub const EMPTY: Self = Self {
        table: [RequantizePanel {
            multiplier: [0.0; _],
            bias: [0; _],
        }; _],
        weights: [0; _],
        input: [0; _],
        outputs: [[0; _]; _],
        scratch: [0; _],
    };
}

/// Numbers of layers that give the same bytes, and that do not.
pub fn run(memory: &mut Memory) -> [usize; 2] {
    let mut counts = [0, 0];
    let (Some(best), Some(reference)) = (available().next(), available().last()) else {
        return [0, 1];
    };
    if best.name != env!("KERNELS") || reference.name != "reference" {
        hprintln!("int8 kernels `{}` instead of `{}`", best.name, env!("KERNELS"));
        counts[1] += 1;
    }
    let operators: [(&str, Operator); 4] = [
        ("pointwise", pointwise),
        ("linear", linear),
        ("conv", conv),
        ("depthwise", depthwise),
    ];
    let mut random = Random(1);
    for (name, operator) in operators {
        let mut is_same = 0;
        for _ in 0..CASES {
            random.fill(memory);
            is_same += usize::from(operator(memory, &mut random, [best, reference]));
        }
        hprintln!(
            "int8 {}: {} of {} layers as the reference",
            name,
            is_same,
            CASES
        );
        counts[0] += is_same;
        counts[1] += CASES - is_same;
    }
    counts
}

/// Runs both kernels on a random layer; whether they write the same.
type Operator = fn(&mut Memory, &mut Random, [&Kernels; 2]) -> bool;

fn pointwise(memory: &mut Memory, random: &mut Random, kernels: [&Kernels; 2]) -> bool {
    let [pixels, inputs, outputs] = [
        random.below(9) + 1,
        random.below(70) + 1,
        random.below(50) + 1,
    ];
    // Not all of the pixels: kernels compute a part of a layer.
    let first = random.below(pixels);
    let Memory {
        input,
        weights,
        table,
        outputs: out,
        scratch,
    } = memory;
    let epilogue = Epilogue {
        table,
        output: random.output(),
    };
    let input = &input[1..][..pixels * inputs];
    let task = Pointwise {
        input,
        inputs,
        outputs,
        weights: &weights[random.below(2)..],
        epilogue,
    };
    both(out, (pixels - first) * outputs, kernels, |kernels, out| {
        let scratch = &mut scratch[1..][..Scratch::HERE.dense(inputs)];
        (kernels.pointwise)(&task, first, out, scratch);
    })
}

fn linear(memory: &mut Memory, random: &mut Random, kernels: [&Kernels; 2]) -> bool {
    let [inputs, outputs] = [random.below(190) + 1, random.below(60) + 1];
    let Memory {
        input,
        weights,
        table,
        outputs: out,
        scratch,
    } = memory;
    let epilogue = Epilogue {
        table,
        output: random.output(),
    };
    let input = &input[3..][..inputs];
    let task = Pointwise {
        input,
        inputs,
        outputs,
        weights,
        epilogue,
    };
    both(out, outputs, kernels, |kernels, out| {
        let scratch = &mut scratch[1..][..Scratch::HERE.linear(inputs)];
        (kernels.linear)(&task, 0, out, scratch);
    })
}

fn conv(memory: &mut Memory, random: &mut Random, kernels: [&Kernels; 2]) -> bool {
    let channels = [random.below(4) + 1, random.below(40) + 1];
    sliding(
        memory,
        random,
        channels,
        kernels,
        |kernels, task, out, scratch| {
            let [height, width] = task.window.kernel;
            let length = Scratch::HERE.dense(height * width * task.input_shape.channels);
            (kernels.conv)(task, 0, out, &mut scratch[1..][..length]);
        },
    )
}

fn depthwise(memory: &mut Memory, random: &mut Random, kernels: [&Kernels; 2]) -> bool {
    let channels = random.below(40) + 1;
    sliding(
        memory,
        random,
        [channels; 2],
        kernels,
        |kernels, task, out, _| {
            (kernels.depthwise)(task, 0, out);
        },
    )
}

/// A layer with a random window.
fn sliding(
    memory: &mut Memory,
    random: &mut Random,
    [inputs, outputs]: [usize; 2],
    kernels: [&Kernels; 2],
    run: fn(&Kernels, &Conv, &mut [i8], &mut [u8]),
) -> bool {
    let side = [1, 3, 3, 5, 7][random.below(5)];
    let window = Window {
        kernel: [side; 2],
        stride: [random.below(2) + 1; 2],
        padding: if random.below(3) > 0 {
            Padding::Same
        } else {
            Padding::VALID
        },
    };
    // Not smaller than the window, which without padding would fit nowhere.
    let input_shape = Shape::new(side + random.below(5), side + random.below(5), inputs);
    let Some([height, width]) = window.output(input_shape) else {
        return false;
    };
    let output_shape = Shape::new(height, width, outputs);
    let Memory {
        input,
        weights,
        table,
        outputs: out,
        scratch,
    } = memory;
    let task = Conv {
        input: &input[1..][..input_shape.len()],
        input_shape,
        output_shape,
        window,
        padding: random.next() as i8,
        weights,
        epilogue: Epilogue {
            table,
            output: random.output(),
        },
    };
    both(out, output_shape.len(), kernels, |kernels, out| {
        run(kernels, &task, out, scratch)
    })
}

/// Whether both kernels write the same to an output of this length, and nothing behind it.
fn both<const N: usize>(
    outputs: &mut [[i8; N]; 2],
    length: usize,
    kernels: [&Kernels; 2],
    mut run: impl FnMut(&Kernels, &mut [i8]),
) -> bool {
    for (out, kernels) in outputs.iter_mut().zip(kernels) {
        out.fill(0x55);
        run(kernels, &mut out[..length]);
    }
    outputs[0] == outputs[1] && outputs[0][length..].iter().all(|&byte| byte == 0x55)
}

/// Xorshift.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 >> 8
    }

    fn below(&mut self, bound: usize) -> usize {
        self.next() as usize % bound
    }

    fn fill(&mut self, memory: &mut Memory) {
        memory.input.fill_with(|| self.next() as i8);
        memory.weights.fill_with(|| (self.next() as i8).max(-127));
        for panel in &mut memory.table {
            // Some products are beyond all integers, and some biases near the ends of an i32.
            panel.multiplier.fill_with(|| match self.below(16) {
                0 => [1e9, f32::MAX, f32::MIN, 0.0][self.below(4)],
                // Ties, some of them.
                1..4 => 1.0 / 64.0,
                _ => self.below(1000) as f32 * 3e-6,
            });
            panel.bias.fill_with(|| match self.below(16) {
                0 => i32::MAX.wrapping_add(self.below(20_000) as i32 - 10_000),
                _ => self.below(20_000) as i32 - 10_000,
            });
        }
    }

    /// Half of them with bounds; of half, 0 is the least byte, as after a ReLU.
    fn output(&mut self) -> Quantized {
        let [a, b] = [self.next() as i8, self.next() as i8];
        let (min, max) = if self.below(2) > 0 {
            (a.min(b), a.max(b))
        } else {
            (-128, 127)
        };
        let zero_point = if self.below(2) > 0 {
            self.next() as i8
        } else {
            -128
        };
        Quantized {
            zero_point,
            min,
            max,
        }
    }
}
