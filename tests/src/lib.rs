//! Networks for the tests: small, with random values, and together with every operator.

use std::ops::Range;

use graft_patches::container::{Header, SectionKind};
use graft_patches::geometry::{Activation, Padding, Shape, Window};
use graft_patches::metadata::{BackboneMetadata, PatchMetadata, SiteMetadata};
use graft_patches::records::{Dtype, Input, Kinds, Layer, Op};
use graft_patches::writer::{BackboneWriter, Int8PatchWriter, PatchWriter, SiteValues};
use graft_runtime::{Backbone, Patch};

pub use kept::{kept, kept_copy};
pub use opened::{run_if_small, run_with_own_patches_if_small};

pub mod cases;
pub mod continual;
pub mod int8;
mod kept;
pub mod layers;
pub mod learned;
mod opened;
pub mod operators;
pub mod signed;
pub mod training;

/// A small deterministic random number generator (SplitMix64): the same values on every target.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next value, evenly from -1 to 1.
    pub fn value(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Many values, evenly from -scale to scale.
    pub fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.value()).collect()
    }
}

/// Adds layers with random values.
struct Builder {
    writer: BackboneWriter,
    random: Random,
    shapes: Vec<Shape>,
}

impl Builder {
    fn new(input: Shape, seed: u64) -> Self {
        Self {
            writer: BackboneWriter::new(Input {
                shape: input,
                mean: [127.0; 4],
                std: [128.0; 4],
            }),
            random: Random(seed),
            shapes: vec![input],
        }
    }

    /// A layer on tensor `input`; `outputs` is for sites. Returns the output tensor.
    fn layer(
        &mut self,
        op: Op,
        inputs: [usize; 2],
        window: Window,
        outputs: usize,
        activation: Activation,
    ) -> usize {
        let weights = self.weights(op, inputs[0], window, outputs);
        let scale: Vec<f32> = (0..outputs)
            .map(|_| 1.0 + 0.3 * self.random.value())
            .collect();
        let bias = self.random.values(outputs, 0.3);
        let values = op.is_site().then_some(SiteValues {
            weights: &weights,
            scale: &scale,
            bias: &bias,
        });
        self.push(layer(op, inputs, window, activation), values)
    }

    /// `[outputs][depth]` weights; none where the operator has none.
    fn weights(&mut self, op: Op, input: usize, window: Window, outputs: usize) -> Vec<f32> {
        let taps = window.kernel[0] * window.kernel[1];
        let depth = match op {
            Op::Conv | Op::Pointwise | Op::Linear => taps * self.shapes[input].channels,
            Op::Depthwise => taps,
            Op::Add | Op::Multiply | Op::AveragePool | Op::MaxPool | Op::GlobalAveragePool => 0,
        };
        let scale = (3.0 / depth as f32).sqrt();
        self.random.values(outputs * depth, scale)
    }

    /// Adds a layer and returns its output tensor.
    fn push(&mut self, layer: Layer, values: Option<SiteValues<'_>>) -> usize {
        let (tensor, shape) = self
            .writer
            .push(layer, values)
            .expect("the test network fits together");
        self.shapes.push(shape);
        tensor
    }

    fn point(&mut self, op: Op, input: usize, outputs: usize, activation: Activation) -> usize {
        self.layer(op, [input; 2], Window::POINT, outputs, activation)
    }

    fn sum(&mut self, inputs: [usize; 2]) -> usize {
        self.layer(Op::Add, inputs, Window::POINT, 0, Activation::RELU)
    }

    fn finish(self, max_classes: usize) -> Vec<u8> {
        let sites = vec![SiteMetadata::default(); self.shapes.len()];
        self.finish_with(max_classes, sites)
    }

    fn finish_with(self, max_classes: usize, sites: Vec<SiteMetadata>) -> Vec<u8> {
        let metadata = BackboneMetadata {
            name: "test".into(),
            layers: (1..self.shapes.len())
                .map(|layer| format!("layer{layer}"))
                .collect(),
            sites,
            ..BackboneMetadata::default()
        };
        self.writer
            .finish(max_classes, &metadata)
            .expect("the test network fits the format")
    }
}

fn layer(op: Op, inputs: [usize; 2], window: Window, activation: Activation) -> Layer {
    Layer {
        op,
        inputs,
        site: None,
        window,
        activation,
        count_padding: false,
    }
}

fn window(kernel: usize, stride: usize, padding: Padding) -> Window {
    Window {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding,
    }
}

fn pad(side: usize) -> Padding {
    Padding::Explicit {
        top: side,
        left: side,
        bottom: side,
        right: side,
    }
}

/// A backbone with every operator and activation: stem, inverted residual, squeeze-excite, pools, hidden layer, head
/// of 10 classes.
pub fn every_operator(side: usize, seed: u64) -> Vec<u8> {
    every_operator_with_classes(side, seed, 64)
}

/// [`every_operator`] with room for heads of `max_classes` classes.
pub fn every_operator_with_classes(side: usize, seed: u64, max_classes: usize) -> Vec<u8> {
    let hard_sigmoid = Activation::HardSigmoid {
        alpha: 1.0 / 6.0,
        beta: 0.5,
    };
    let mut b = Builder::new(Shape::new(side, side, 3), seed);
    let stem = b.layer(
        Op::Conv,
        [0; 2],
        window(3, 2, Padding::Same),
        12,
        Activation::RELU6,
    );
    let wide = b.point(Op::Pointwise, stem, 36, Activation::HardSwish);
    let deep = b.layer(
        Op::Depthwise,
        [wide; 2],
        window(5, 1, pad(2)),
        36,
        Activation::RELU,
    );
    let squeezed = b.point(Op::GlobalAveragePool, deep, 0, Activation::NONE);
    let hidden = b.point(Op::Linear, squeezed, 9, Activation::RELU);
    let gate = b.point(Op::Linear, hidden, 36, hard_sigmoid);
    let excited = b.layer(
        Op::Multiply,
        [deep, gate],
        Window::POINT,
        0,
        Activation::NONE,
    );
    let narrow = b.point(Op::Pointwise, excited, 12, Activation::NONE);
    let sum = b.layer(Op::Add, [stem, narrow], Window::POINT, 0, Activation::NONE);
    let most = b.layer(
        Op::MaxPool,
        [sum; 2],
        window(3, 2, pad(1)),
        0,
        Activation::NONE,
    );
    let mean = b.layer(
        Op::AveragePool,
        [most; 2],
        window(2, 1, Padding::Same),
        0,
        Activation::NONE,
    );
    let strided = b.layer(
        Op::Depthwise,
        [mean; 2],
        window(3, 2, Padding::Same),
        12,
        Activation::RELU6,
    );
    let last = b.point(Op::Pointwise, strided, 40, Activation::HardSwish);
    let pooled = b.point(Op::GlobalAveragePool, last, 0, Activation::NONE);
    b.point(Op::Linear, pooled, 10, Activation::NONE);
    b.finish(max_classes)
}

/// A backbone of blocks that are computed in rows: a stem with a separable convolution, inverted residuals with and without
/// a sum, kernels of 3 and 5, strides of 1 and 2, both paddings.
pub fn blocks(side: usize, seed: u64) -> Vec<u8> {
    let mut b = Builder::new(Shape::new(side, side + 3, 3), seed);
    let mut input = b.layer(
        Op::Conv,
        [0; 2],
        window(3, 2, Padding::Same),
        20,
        Activation::RELU6,
    );
    for (kernel, stride, padding, activation) in [
        (3, 1, pad(1), Activation::RELU6),
        (5, 1, Padding::Same, Activation::HardSwish),
        (5, 2, pad(2), Activation::RELU),
        (3, 1, Padding::Same, Activation::RELU6),
        (3, 2, pad(0), Activation::RELU6),
        (3, 2, Padding::Same, Activation::RELU6),
    ] {
        let is_first = b.shapes.len() == 2;
        let outputs = if is_first {
            12
        } else {
            b.shapes[input].channels
        };
        let wide = match is_first {
            true => input,
            false => b.point(Op::Pointwise, input, 37, activation),
        };
        let channels = b.shapes[wide].channels;
        let window = window(kernel, stride, padding);
        let deep = b.layer(Op::Depthwise, [wide; 2], window, channels, activation);
        let narrow = b.point(Op::Pointwise, deep, outputs, Activation::NONE);
        input = match b.shapes[narrow] == b.shapes[input] {
            true if kernel == 3 => b.sum([input, narrow]),
            true => b.sum([narrow, input]),
            false => narrow,
        };
    }
    let pooled = b.point(Op::GlobalAveragePool, input, 0, Activation::NONE);
    b.point(Op::Linear, pooled, 10, Activation::NONE);
    b.finish(10)
}

/// A backbone that ends in a pool: no head, no depthwise site.
pub fn without_head() -> Backbone {
    let mut b = Builder::new(Shape::new(8, 8, 3), 1);
    let wide = b.point(Op::Pointwise, 0, 20, Activation::RELU);
    b.point(Op::GlobalAveragePool, wide, 0, Activation::NONE);
    Backbone::from_bytes(&b.finish(64)).expect("the test network is valid")
}

/// A backbone that ends in a pointwise head of 10 classes without a pool: it scores each pixel of its 8 x 8 input.
pub fn without_pool() -> Backbone {
    let mut b = Builder::new(Shape::new(8, 8, 3), 1);
    let wide = b.point(Op::Pointwise, 0, 20, Activation::RELU);
    b.point(Op::Pointwise, wide, 10, Activation::NONE);
    Backbone::from_bytes(&b.finish(64)).expect("the test network is valid")
}

/// A backbone whose linear layers are wide enough to be worth sharing among threads.
pub fn wide_linear() -> Backbone {
    let mut b = Builder::new(Shape::new(8, 8, 3), 1);
    let wide = b.point(Op::Pointwise, 0, 500, Activation::RELU);
    let pooled = b.point(Op::GlobalAveragePool, wide, 0, Activation::NONE);
    let hidden = b.point(Op::Linear, pooled, 410, Activation::HardSwish);
    b.point(Op::Linear, hidden, 301, Activation::NONE);
    Backbone::from_bytes(&b.finish(301)).expect("the test network is valid")
}

/// [`every_operator`], opened.
pub fn backbone(side: usize, seed: u64) -> Backbone {
    Backbone::from_bytes(&every_operator(side, seed)).expect("the test network is valid")
}

/// A patch of these kinds with the backbone's own values.
pub fn identity_patch(backbone: &Backbone, kinds: Kinds) -> Vec<u8> {
    PatchWriter::identity(backbone.image(), kinds)
        .finish(&PatchMetadata::default())
        .expect("metadata can be encoded")
}

/// A bn+head patch of `classes` classes with random values.
pub fn random_patch(backbone: &Backbone, classes: usize, seed: u64) -> Vec<u8> {
    random_patch_as(Dtype::F32, backbone, classes, seed)
}

/// [`random_patch`], stored in this way.
pub fn random_patch_as(dtype: Dtype, backbone: &Backbone, classes: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let image = backbone.image();
    let mut writer = PatchWriter::new(image, Kinds::BN.with(Kinds::HEAD));
    writer.dtype(dtype);
    for index in 0..image.site_count() {
        let site = image.site(index);
        let outputs = if site.is_head { classes } else { site.outputs };
        let scale: Vec<f32> = (0..outputs).map(|_| 1.0 + 0.3 * random.value()).collect();
        let bias = random.values(outputs, 0.3);
        writer
            .epilogue(index, &scale, &bias)
            .expect("as many biases as scales");
        if site.is_head {
            let weights = random.values(outputs * site.depth, 0.2);
            writer
                .weights(index, &weights)
                .expect("whole output channels");
        }
    }
    writer
        .finish(&PatchMetadata::default())
        .expect("metadata can be encoded")
}

/// A bn+head patch with the backbone's own values before a site, and random scales and biases from it on; `is_half` stores
/// all of them in half precision.
pub fn patch_from_site(backbone: &Backbone, first: usize, seed: u64, is_half: bool) -> Vec<u8> {
    let image = backbone.image();
    let kinds = Kinds::BN.with(Kinds::HEAD);
    let mut random = Random(seed);
    let sites = (first..image.site_count()).map(|index| {
        let outputs = image.site(index).outputs;
        let scale: Vec<f32> = (0..outputs).map(|_| 1.0 + 0.3 * random.value()).collect();
        (index, scale, random.values(outputs, 0.3))
    });
    let bytes = match image.dtype() {
        Dtype::F32 | Dtype::F16 => {
            let mut writer = PatchWriter::identity(image, kinds);
            writer.dtype(if is_half { Dtype::F16 } else { Dtype::F32 });
            for (index, scale, bias) in sites {
                writer
                    .epilogue(index, &scale, &bias)
                    .expect("as many biases as scales");
            }
            writer.finish(&PatchMetadata::default())
        }
        Dtype::I8 | Dtype::I8Half => {
            let mut writer = Int8PatchWriter::identity(image, kinds);
            writer.dtype(if is_half { Dtype::I8Half } else { Dtype::I8 });
            for (index, scale, bias) in sites {
                writer
                    .epilogue(index, &scale, &bias)
                    .expect("the backbone has this site");
            }
            writer.finish(&PatchMetadata::default())
        }
    };
    bytes.expect("metadata can be encoded")
}

/// [`random_patch`], bound.
pub fn patch(backbone: &Backbone, classes: usize, seed: u64) -> Patch {
    Patch::from_bytes(&random_patch(backbone, classes, seed), backbone).expect("the patch fits")
}

/// A deterministic image for a patch's input.
pub fn image(patch: &Patch, seed: u64) -> Vec<f32> {
    Random(seed).values(patch.input().shape.len(), 1.0)
}

/// The place of a section in an image that has it.
pub fn section(bytes: &[u8], kind: SectionKind) -> Range<usize> {
    let header = Header::parse(bytes).expect("a whole header");
    let record = header.section(kind).expect("the image has this section");
    let start = record.offset.get() as usize;
    start..start + record.length.get() as usize
}
