//! A small network around each operator, for gradients: parameters lie before and behind it.

use graft_patches::geometry::{Activation, Padding, Shape, Window};
use graft_patches::metadata::{BackboneMetadata, BatchNorm, SiteMetadata};
use graft_patches::records::{Input, Layer, Op};
use graft_patches::writer::{BackboneWriter, SiteValues};
use graft_runtime::Backbone;

use crate::{Random, pad, window};

/// Input of the networks.
pub const INPUT: Shape = Shape::new(9, 8, 3);

/// A network for each operator and activation, with its name. With `batch_norm`, sites have raw batch norm.
pub fn operators(batch_norm: bool) -> Vec<(&'static str, Backbone)> {
    let same = Padding::Same;
    let uneven = Padding::Explicit {
        top: 0,
        left: 2,
        bottom: 1,
        right: 0,
    };
    let smooth = Activation::HardSwish;
    let build = |name, middle: &dyn Fn(&mut Network, usize) -> usize| {
        let mut network = Network::new(batch_norm);
        let wide = network.site(Op::Pointwise, 0, Window::POINT, 6, smooth);
        let out = middle(&mut network, wide);
        (name, network.finish(out))
    };
    let site = |name, op, window, activation| {
        build(name, &move |network: &mut Network, input| {
            network.site(op, input, window, 6, activation)
        })
    };
    let point = |name, activation| site(name, Op::Pointwise, Window::POINT, activation);
    let pool = |name, op, window, count_padding| {
        build(name, &move |network: &mut Network, input| {
            network.push(op, [input; 2], window, count_padding)
        })
    };
    vec![
        site("convolution", Op::Conv, window(3, 1, same), smooth),
        site(
            "convolution, stride 2",
            Op::Conv,
            window(3, 2, uneven),
            smooth,
        ),
        site("depthwise", Op::Depthwise, window(3, 1, same), smooth),
        site(
            "depthwise, no padding",
            Op::Depthwise,
            window(5, 1, Padding::VALID),
            smooth,
        ),
        site(
            "depthwise, uneven padding",
            Op::Depthwise,
            window(3, 1, uneven),
            smooth,
        ),
        site(
            "depthwise, stride 2",
            Op::Depthwise,
            window(5, 2, same),
            smooth,
        ),
        point("pointwise", Activation::NONE),
        point("ReLU", Activation::RELU),
        point("ReLU6", Activation::RELU6),
        point("hard-swish", Activation::HardSwish),
        point(
            "hard-sigmoid",
            Activation::HardSigmoid {
                alpha: 1.0 / 6.0,
                beta: 0.5,
            },
        ),
        build("linear", &|network, input| {
            let pooled = network.push(Op::GlobalAveragePool, [input; 2], Window::POINT, false);
            network.site(Op::Linear, pooled, Window::POINT, 6, smooth)
        }),
        build("sum", &|network, input| {
            let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
            network.push(Op::Add, [input, other], Window::POINT, false)
        }),
        build("sum with itself", &|network, input| {
            network.push(Op::Add, [input; 2], Window::POINT, false)
        }),
        build("product", &|network, input| {
            let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
            network.push(Op::Multiply, [other, input], Window::POINT, false)
        }),
        build("product with itself", &|network, input| {
            network.push(Op::Multiply, [input; 2], Window::POINT, false)
        }),
        build("product with a gate", &|network, input| {
            let pooled = network.push(Op::GlobalAveragePool, [input; 2], Window::POINT, false);
            let gate = network.site(Op::Linear, pooled, Window::POINT, 6, smooth);
            network.push(Op::Multiply, [input, gate], Window::POINT, false)
        }),
        pool("average pool", Op::AveragePool, window(3, 2, pad(1)), false),
        pool(
            "average pool, padding counts",
            Op::AveragePool,
            window(3, 1, pad(1)),
            true,
        ),
        pool("maximum pool", Op::MaxPool, window(3, 2, pad(1)), false),
        build("sum, ReLU", &|network, input| {
            let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
            network.activated(Op::Add, [input, other], Window::POINT, Activation::RELU)
        }),
        build("product, hard-swish", &|network, input| {
            let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
            network.activated(Op::Multiply, [input, other], Window::POINT, smooth)
        }),
        build("average pool, ReLU6", &|network, input| {
            let pool = window(3, 2, pad(1));
            network.activated(Op::AveragePool, [input; 2], pool, Activation::RELU6)
        }),
    ]
}

/// A small MobileNet with raw batch norm, as a file.
pub fn with_batch_norm() -> Vec<u8> {
    let mut network = Network::new(true);
    let relu6 = Activation::RELU6;
    let stem = network.site(Op::Conv, 0, window(3, 1, Padding::Same), 12, relu6);
    let deep = network.site(Op::Depthwise, stem, window(3, 1, pad(1)), 12, relu6);
    network.bytes(deep)
}

/// A network with a site whose output nothing reads, the second one.
pub fn with_dead_site() -> Backbone {
    let mut network = Network::new(true);
    let wide = network.site(Op::Pointwise, 0, Window::POINT, 6, Activation::HardSwish);
    network.site(Op::Pointwise, wide, Window::POINT, 5, Activation::NONE);
    network.finish(wide)
}

/// A network of pointwise sites, the metadata of the first changed.
pub fn with_metadata(change: impl FnOnce(&mut SiteMetadata)) -> Backbone {
    let mut network = Network::new(true);
    let wide = network.site(Op::Pointwise, 0, Window::POINT, 6, Activation::NONE);
    change(&mut network.sites[0]);
    network.finish(wide)
}

struct Network {
    writer: BackboneWriter,
    random: Random,
    shapes: Vec<Shape>,
    sites: Vec<SiteMetadata>,
    batch_norm: bool,
}

impl Network {
    fn new(batch_norm: bool) -> Self {
        let input = Input {
            shape: INPUT,
            mean: [127.0; 4],
            std: [128.0; 4],
        };
        Self {
            writer: BackboneWriter::new(input),
            random: Random(7),
            shapes: vec![INPUT],
            sites: Vec::new(),
            batch_norm,
        }
    }

    fn site(
        &mut self,
        op: Op,
        input: usize,
        window: Window,
        outputs: usize,
        activation: Activation,
    ) -> usize {
        let taps = window.kernel[0] * window.kernel[1];
        let channels = self.shapes[input].channels;
        let depth = if op == Op::Depthwise {
            taps
        } else {
            taps * channels
        };
        let weights = self
            .random
            .values(outputs * depth, (3.0 / depth as f32).sqrt());
        let near_one =
            |random: &mut Random| (0..outputs).map(|_| 1.0 + 0.3 * random.value()).collect();
        let norm = BatchNorm {
            name: "norm".into(),
            gamma: near_one(&mut self.random),
            beta: self.random.values(outputs, 0.3),
            mean: self.random.values(outputs, 0.3),
            var: near_one(&mut self.random),
            epsilon: 1e-3,
        };
        let own = self.random.values(outputs, 0.3);
        let (scale, bias) = norm.fold(Some(&own));
        self.sites.push(SiteMetadata {
            weight: "weight".into(),
            bias: self.batch_norm.then_some(own),
            batch_norm: self.batch_norm.then_some(norm),
        });
        let values = SiteValues {
            weights: &weights,
            scale: &scale,
            bias: &bias,
        };
        self.layer(plain(op, [input; 2], window, activation), Some(values))
    }

    fn push(&mut self, op: Op, inputs: [usize; 2], window: Window, count_padding: bool) -> usize {
        self.layer(
            Layer {
                count_padding,
                ..plain(op, inputs, window, Activation::NONE)
            },
            None,
        )
    }

    fn activated(
        &mut self,
        op: Op,
        inputs: [usize; 2],
        window: Window,
        activation: Activation,
    ) -> usize {
        self.layer(plain(op, inputs, window, activation), None)
    }

    fn layer(&mut self, layer: Layer, values: Option<SiteValues<'_>>) -> usize {
        let (tensor, shape) = self
            .writer
            .push(layer, values)
            .expect("the test network fits together");
        self.shapes.push(shape);
        tensor
    }

    /// [`Self::bytes`], opened.
    fn finish(self, input: usize) -> Backbone {
        Backbone::from_bytes(&self.bytes(input)).expect("the test network is valid")
    }

    /// Another pointwise layer, a pool and the head.
    fn bytes(mut self, input: usize) -> Vec<u8> {
        let last = self.site(
            Op::Pointwise,
            input,
            Window::POINT,
            7,
            Activation::HardSwish,
        );
        let pooled = self.push(Op::GlobalAveragePool, [last; 2], Window::POINT, false);
        self.site(Op::Linear, pooled, Window::POINT, 4, Activation::NONE);
        let metadata = BackboneMetadata {
            name: "test".into(),
            layers: (1..self.shapes.len())
                .map(|layer| format!("layer{layer}"))
                .collect(),
            sites: self.sites,
            ..BackboneMetadata::default()
        };
        self.writer
            .finish(4, &metadata)
            .expect("the test network fits the format")
    }
}

fn plain(op: Op, inputs: [usize; 2], window: Window, activation: Activation) -> Layer {
    Layer {
        op,
        inputs,
        site: None,
        window,
        activation,
        count_padding: false,
    }
}
