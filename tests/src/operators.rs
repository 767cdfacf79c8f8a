//! Small networks around each operator: parameters lie before and behind it.

use graft_patches::geometry::{Activation, Padding, Shape, Window};
use graft_patches::metadata::{BatchNorm, SiteMetadata};
use graft_patches::records::{Layer, Op};
use graft_patches::writer::SiteValues;
use graft_runtime::Backbone;

use crate::{Builder, Random, layer, pad, window};

/// Input of the networks.
pub const INPUT: Shape = Shape::new(9, 8, 3);

/// Networks around all operators and activations, with their names. With `batch_norm`, sites have raw batch norm.
pub fn operators(batch_norm: bool) -> Vec<(&'static str, Backbone)> {
    let all = Op::ALL.into_iter();
    all.flat_map(|op| around(op, batch_norm)).collect()
}

/// Networks around one operator.
pub fn around(op: Op, batch_norm: bool) -> Vec<(&'static str, Backbone)> {
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
    let site = |name, window, activation| {
        build(name, &move |network: &mut Network, input| {
            network.site(op, input, window, 6, activation)
        })
    };
    let point = |name, activation| site(name, Window::POINT, activation);
    let pool = |name, window, count_padding| {
        build(name, &move |network: &mut Network, input| {
            network.push(op, [input; 2], window, count_padding)
        })
    };
    let with_itself = |name| {
        build(name, &move |network: &mut Network, input| {
            network.push(op, [input; 2], Window::POINT, false)
        })
    };
    let with_another = |name, activation| {
        build(name, &move |network: &mut Network, input| {
            let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
            network.activated(op, [other, input], Window::POINT, activation)
        })
    };
    match op {
        Op::Conv => vec![
            site("convolution", window(3, 1, same), smooth),
            site("convolution, stride 2", window(3, 2, uneven), smooth),
        ],
        Op::Depthwise => vec![
            site("depthwise", window(3, 1, same), smooth),
            site(
                "depthwise, no padding",
                window(5, 1, Padding::VALID),
                smooth,
            ),
            site("depthwise, uneven padding", window(3, 1, uneven), smooth),
            site("depthwise, stride 2", window(5, 2, same), smooth),
        ],
        Op::Pointwise => vec![
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
        ],
        Op::Linear => vec![build("linear", &|network, input| {
            let pooled = network.push(Op::GlobalAveragePool, [input; 2], Window::POINT, false);
            network.site(Op::Linear, pooled, Window::POINT, 6, smooth)
        })],
        Op::Add => vec![
            with_another("sum", Activation::NONE),
            with_itself("sum with itself"),
            with_another("sum, ReLU", Activation::RELU),
        ],
        Op::Multiply => vec![
            with_another("product", Activation::NONE),
            with_itself("product with itself"),
            build("product with a gate", &|network, input| {
                let pooled = network.push(Op::GlobalAveragePool, [input; 2], Window::POINT, false);
                let gate = network.site(Op::Linear, pooled, Window::POINT, 6, smooth);
                network.push(Op::Multiply, [input, gate], Window::POINT, false)
            }),
            build("product, hard-swish", &|network, input| {
                let other = network.site(Op::Pointwise, input, Window::POINT, 6, Activation::NONE);
                network.activated(Op::Multiply, [input, other], Window::POINT, smooth)
            }),
        ],
        Op::AveragePool => vec![
            pool("average pool", window(3, 2, pad(1)), false),
            pool("average pool, padding counts", window(3, 1, pad(1)), true),
            build("average pool, ReLU6", &|network, input| {
                let pool = window(3, 2, pad(1));
                network.activated(Op::AveragePool, [input; 2], pool, Activation::RELU6)
            }),
        ],
        Op::MaxPool => vec![pool("maximum pool", window(3, 2, pad(1)), false)],
        Op::GlobalAveragePool => vec![pool("global average pool", Window::POINT, false)],
    }
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
    builder: Builder,
    sites: Vec<SiteMetadata>,
    batch_norm: bool,
}

impl Network {
    fn new(batch_norm: bool) -> Self {
        Self {
            builder: Builder::new(INPUT, 7),
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
        let weights = self.builder.weights(op, input, window, outputs);
        let random = &mut self.builder.random;
        let near_one =
            |random: &mut Random| (0..outputs).map(|_| 1.0 + 0.3 * random.value()).collect();
        let norm = BatchNorm {
            name: "norm".into(),
            gamma: near_one(random),
            beta: random.values(outputs, 0.3),
            mean: random.values(outputs, 0.3),
            var: near_one(random),
            epsilon: 1e-3,
        };
        let own = random.values(outputs, 0.3);
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
        let layer = layer(op, [input; 2], window, activation);
        self.builder.push(layer, Some(values))
    }

    fn push(&mut self, op: Op, inputs: [usize; 2], window: Window, count_padding: bool) -> usize {
        let layer = Layer {
            count_padding,
            ..layer(op, inputs, window, Activation::NONE)
        };
        self.builder.push(layer, None)
    }

    fn activated(
        &mut self,
        op: Op,
        inputs: [usize; 2],
        window: Window,
        activation: Activation,
    ) -> usize {
        let layer = layer(op, inputs, window, activation);
        self.builder.push(layer, None)
    }

    /// [`Self::bytes`], opened.
    fn finish(self, input: usize) -> Backbone {
        Backbone::from_bytes(&self.bytes(input)).expect("the test network is valid")
    }

    /// Another pointwise layer, a pool and the head.
    fn bytes(mut self, input: usize) -> Vec<u8> {
        let smooth = Activation::HardSwish;
        let last = self.site(Op::Pointwise, input, Window::POINT, 7, smooth);
        let pooled = self.push(Op::GlobalAveragePool, [last; 2], Window::POINT, false);
        self.site(Op::Linear, pooled, Window::POINT, 4, Activation::NONE);
        self.builder.finish_with(4, self.sites)
    }
}
