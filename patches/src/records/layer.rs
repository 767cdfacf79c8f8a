//! The record of one layer.

use zerocopy::little_endian::{F32, U16};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::geometry::{Activation, Padding, Shape, Window};

use crate::coded::coded;

use super::field::{MAX_SIDE, is_canonical};

/// "No tensor" in [`LayerRecord::inputs`], "no site" in [`LayerRecord::site`].
pub const NONE: u16 = u16::MAX;
/// Most layers: checking a plan takes time with their square.
pub const MAX_LAYERS: usize = 4096;

coded! { u8:
/// Operators, by their code in [`LayerRecord::op`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// k x k convolution.
    Conv = 1,
    /// Depthwise convolution.
    Depthwise = 2,
    /// 1 x 1 convolution of stride 1.
    Pointwise = 3,
    /// Fully connected layer on a 1 x 1 activation.
    Linear = 4,
    /// Sum of two activations.
    Add = 5,
    /// Product of two activations, the second perhaps 1 x 1 (squeeze-excite).
    Multiply = 6,
    /// Average pool.
    AveragePool = 7,
    /// Maximum pool.
    MaxPool = 8,
    /// Mean over all pixels.
    GlobalAveragePool = 9,
}
}

impl Op {
    /// Whether layers of this operator are sites: they have weights and an epilogue.
    pub fn is_site(self) -> bool {
        match self {
            Self::Conv | Self::Depthwise | Self::Pointwise | Self::Linear => true,
            Self::Add
            | Self::Multiply
            | Self::AveragePool
            | Self::MaxPool
            | Self::GlobalAveragePool => false,
        }
    }

    /// Whether layers of this operator slide a window over their input.
    fn is_windowed(self) -> bool {
        match self {
            Self::Conv | Self::Depthwise | Self::AveragePool | Self::MaxPool => true,
            Self::Pointwise
            | Self::Linear
            | Self::Add
            | Self::Multiply
            | Self::GlobalAveragePool => false,
        }
    }

    /// Operands.
    pub fn arity(self) -> usize {
        match self {
            Self::Add | Self::Multiply => 2,
            Self::Conv
            | Self::Depthwise
            | Self::Pointwise
            | Self::Linear
            | Self::AveragePool
            | Self::MaxPool
            | Self::GlobalAveragePool => 1,
        }
    }

    /// Lower-case name, as `patchtool` shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Depthwise => "depthwise",
            Self::Pointwise => "pointwise",
            Self::Linear => "linear",
            Self::Add => "add",
            Self::Multiply => "multiply",
            Self::AveragePool => "average-pool",
            Self::MaxPool => "max-pool",
            Self::GlobalAveragePool => "global-average-pool",
        }
    }
}

/// One layer. Layer i writes tensor i + 1; tensor 0 is the input.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LayerRecord {
    /// [`Op`].
    pub op: u8,
    /// 0 clamp (`params`: min, max), 1 hard-swish, 2 hard-sigmoid (`params`: alpha, beta).
    pub activation: u8,
    /// 0 explicit (`padding`), 1 TensorFlow's SAME.
    pub padding_mode: u8,
    /// Average pool: 1 where padding counts in the divisor.
    pub count_padding: u8,
    /// Tensors read; [`NONE`] where the operator has one operand.
    pub inputs: [U16; 2],
    /// Site, or [`NONE`].
    pub site: U16,
    /// Kernel height and width.
    pub kernel: [u8; 2],
    /// Vertical and horizontal stride.
    pub stride: [u8; 2],
    /// Top, left, bottom, right.
    pub padding: [u8; 4],
    /// Zero.
    pub reserved: [u8; 6],
    /// Of the activation.
    pub params: [F32; 2],
}

/// A decoded layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// The operator.
    pub op: Op,
    /// Tensors it reads. The second is meaningful for operators with two operands.
    pub inputs: [usize; 2],
    /// Its site, if it has weights.
    pub site: Option<usize>,
    /// Of a convolution or pool; 1 x 1 otherwise.
    pub window: Window,
    /// Fused activation.
    pub activation: Activation,
    /// Average pool: whether padding counts in the divisor.
    pub count_padding: bool,
}

impl Layer {
    /// Weights per output channel of a site, on an input of `channels` channels.
    pub(crate) fn depth(&self, channels: usize) -> usize {
        let [height, width] = self.window.kernel;
        match self.op {
            Op::Depthwise => height * width,
            Op::Conv
            | Op::Pointwise
            | Op::Linear
            | Op::Add
            | Op::Multiply
            | Op::AveragePool
            | Op::MaxPool
            | Op::GlobalAveragePool => height * width * channels,
        }
    }

    /// The shape of its output for these operands; `outputs` is the channel count of its site.
    ///
    /// # Errors
    /// The misfit, in words.
    pub fn output_shape(
        &self,
        left: Shape,
        right: Shape,
        outputs: Option<usize>,
    ) -> Result<Shape, &'static str> {
        let windowed = |channels| match self.window.output(left) {
            Some([height @ 1..=MAX_SIDE, width @ 1..=MAX_SIDE]) => {
                Ok(Shape::new(height, width, channels))
            }
            _ => Err("the window does not fit its input"),
        };
        let outputs = outputs.unwrap_or(left.channels);
        match self.op {
            Op::Conv | Op::Pointwise => windowed(outputs),
            Op::Depthwise if outputs != left.channels => {
                Err("a depthwise site with other channels than its input")
            }
            Op::Depthwise | Op::AveragePool | Op::MaxPool => windowed(left.channels),
            Op::Linear if left.pixels() != 1 => Err("a linear layer on more than one pixel"),
            Op::Linear => Ok(Shape::new(1, 1, outputs)),
            Op::GlobalAveragePool => Ok(Shape::new(1, 1, left.channels)),
            Op::Add if left == right => Ok(left),
            Op::Multiply if left == right || right == Shape::new(1, 1, left.channels) => Ok(left),
            Op::Add | Op::Multiply => Err("operands of different shapes"),
        }
    }
}

impl LayerRecord {
    pub(crate) fn decode(&self) -> Result<Layer, &'static str> {
        let op = Op::from_code(self.op).ok_or("unknown operator")?;
        let params = self.params.map(F32::get);
        let activation = match self.activation {
            0 => Activation::Clamp {
                min: params[0],
                max: params[1],
            },
            1 => Activation::HardSwish,
            2 => Activation::HardSigmoid {
                alpha: params[0],
                beta: params[1],
            },
            _ => return Err("unknown activation"),
        };
        if params.iter().any(|p| p.is_nan()) {
            return Err("an activation parameter is not a number");
        }
        let layer = Layer {
            op,
            inputs: self.inputs.map(|input| input.get().into()),
            site: (self.site != NONE).then(|| self.site.get().into()),
            window: self.window(op)?,
            activation,
            count_padding: self.count_padding == 1,
        };
        is_canonical(self, &Self::from(&layer))?;
        Ok(layer)
    }

    fn window(&self, op: Op) -> Result<Window, &'static str> {
        let kernel = self.kernel.map(usize::from);
        let [top, left, bottom, right] = self.padding.map(usize::from);
        let padding = match self.padding_mode {
            0 => Padding::Explicit {
                top,
                left,
                bottom,
                right,
            },
            1 => Padding::Same,
            _ => return Err("unknown padding mode"),
        };
        let window = Window {
            kernel,
            stride: self.stride.map(usize::from),
            padding,
        };
        if kernel.contains(&0) || window.stride.contains(&0) {
            return Err("a kernel side or stride of zero");
        }
        // Every window then covers at least one real row and column, so an average never divides by zero.
        if top >= kernel[0] || bottom >= kernel[0] || left >= kernel[1] || right >= kernel[1] {
            return Err("padding as large as the kernel");
        }
        if !op.is_windowed() && window != Window::POINT {
            return Err("a window on an operator that has none");
        }
        Ok(window)
    }
}

impl From<&Layer> for LayerRecord {
    fn from(layer: &Layer) -> Self {
        let (activation, params) = match layer.activation {
            Activation::Clamp { min, max } => (0, [min, max]),
            Activation::HardSwish => (1, [0.0; 2]),
            Activation::HardSigmoid { alpha, beta } => (2, [alpha, beta]),
        };
        let (padding_mode, padding) = match layer.window.padding {
            Padding::Explicit {
                top,
                left,
                bottom,
                right,
            } => (0, [top, left, bottom, right]),
            Padding::Same => (1, [0; 4]),
        };
        let mut inputs = layer.inputs.map(|input| U16::new(input as u16));
        if layer.op.arity() == 1 {
            inputs[1] = NONE.into();
        }
        Self {
            op: layer.op as u8,
            activation,
            padding_mode,
            // Without a meaning elsewhere: its one value there.
            count_padding: (layer.op == Op::AveragePool && layer.count_padding).into(),
            inputs,
            site: layer.site.map_or(NONE, |site| site as u16).into(),
            kernel: layer.window.kernel.map(|k| k as u8),
            stride: layer.window.stride.map(|s| s as u8),
            padding: padding.map(|p| p as u8),
            reserved: [0; 6],
            params: params.map(F32::new),
        }
    }
}
