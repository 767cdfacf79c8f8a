//! A small network with everything that training and export meet, and trained values for it.

use graft_patches::geometry::{Activation, Padding, Shape, Window};
use graft_patches::metadata::{BackboneMetadata, BatchNorm, Resize};
use graft_patches::records::What;
use graft_patches::{BackboneImage, Digest};
use graft_runtime::Backbone;
use graft_runtime::gradient::{Norm, SiteParameters};
use graft_tests::Random;

use crate::import::compile::{Settings, compile};
use crate::import::graph::{Graph, Layer, Op, TensorId, Weights};
use crate::trained::{BackboneRef, ClassWeights, DataRef, Metrics, TrainKind, Trained};

/// Rows and columns of the network's input.
pub(crate) const SIDE: usize = 24;

/// Adds layers with random values.
struct Builder {
    graph: Graph,
    random: Random,
}

/// Parameters that follow the weights of a layer.
#[derive(Clone, Copy, PartialEq)]
enum After {
    /// A raw batch norm.
    Norm,
    /// The layer's own bias, then a raw batch norm.
    BiasAndNorm,
    /// The layer's own bias alone.
    Bias,
}

impl Builder {
    fn weights(&mut self, outputs: usize, depth: usize, after: After) -> Weights {
        let name = format!("layers.{}.weight", self.graph.layers.len());
        let scale = (3.0 / depth as f32).sqrt();
        let mut around = |centre: f32| -> Vec<f32> {
            let values = self.random.values(outputs, 0.3);
            values.into_iter().map(|value| centre + value).collect()
        };
        let bias = (after != After::Norm).then(|| around(0.0));
        let batch_norm = (after != After::Bias).then(|| BatchNorm {
            name: format!("norm{name}"),
            gamma: around(1.0),
            beta: around(0.0),
            mean: around(0.0),
            var: around(1.0),
            epsilon: 1e-3,
        });
        Weights {
            name,
            values: self.random.values(outputs * depth, scale),
            outputs,
            bias,
            batch_norm,
        }
    }

    fn layer(&mut self, op: Op, inputs: &[TensorId], activation: Activation) -> TensorId {
        let input = self.graph.tensors[inputs[0]];
        let windowed = |window: &Window, channels| {
            let [height, width] = window.output(input).expect("the window fits");
            Shape::new(height, width, channels)
        };
        let shape = match &op {
            Op::Conv(window, weights) | Op::Depthwise(window, weights) => {
                windowed(window, weights.outputs)
            }
            Op::Pointwise(weights) => Shape::new(input.height, input.width, weights.outputs),
            Op::Linear(weights) => Shape::new(1, 1, weights.outputs),
            Op::Add | Op::Multiply => input,
            Op::AveragePool(window, _) | Op::MaxPool(window) => windowed(window, input.channels),
            Op::GlobalAveragePool => Shape::new(1, 1, input.channels),
        };
        let output = self.graph.tensors.len();
        self.graph.tensors.push(shape);
        self.graph.layers.push(Layer {
            name: format!("layer{output}"),
            op,
            inputs: inputs.to_vec(),
            output,
            activation,
        });
        output
    }

    fn pointwise(&mut self, input: TensorId, outputs: usize, after: After) -> TensorId {
        let weights = self.weights(outputs, self.graph.tensors[input].channels, after);
        self.layer(Op::Pointwise(weights), &[input], Activation::RELU6)
    }

    fn linear(&mut self, input: TensorId, outputs: usize, activation: Activation) -> TensorId {
        let weights = self.weights(outputs, self.graph.tensors[input].channels, After::Bias);
        self.layer(Op::Linear(weights), &[input], activation)
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

/// Every operator and activation; raw batch norms with and without a bias before them, and plain biases; 10 classes.
pub(crate) fn graph(seed: u64) -> Graph {
    let mut b = Builder {
        graph: Graph {
            tensors: vec![Shape::new(SIDE, SIDE, 3)],
            layers: Vec::new(),
        },
        random: Random(seed),
    };
    let hard_sigmoid = Activation::HardSigmoid {
        alpha: 1.0 / 6.0,
        beta: 0.5,
    };
    let weights = b.weights(12, 27, After::Norm);
    let stem = Op::Conv(window(3, 2, Padding::Same), weights);
    let stem = b.layer(stem, &[0], Activation::RELU6);
    let wide = b.pointwise(stem, 20, After::BiasAndNorm);
    let weights = b.weights(20, 25, After::Norm);
    let deep = Op::Depthwise(window(5, 1, pad(2)), weights);
    let deep = b.layer(deep, &[wide], Activation::HardSwish);
    let pooled = b.layer(Op::GlobalAveragePool, &[deep], Activation::NONE);
    let hidden = b.linear(pooled, 7, Activation::RELU);
    let gate = b.linear(hidden, 20, hard_sigmoid);
    let excited = b.layer(Op::Multiply, &[deep, gate], Activation::NONE);
    let narrow = b.pointwise(excited, 12, After::Norm);
    let sum = b.layer(Op::Add, &[stem, narrow], Activation::NONE);
    let most = b.layer(Op::MaxPool(window(3, 2, pad(1))), &[sum], Activation::NONE);
    let mean = Op::AveragePool(window(2, 1, Padding::Same), false);
    let mean = b.layer(mean, &[most], Activation::NONE);
    let weights = b.weights(12, 9, After::Bias);
    let strided = Op::Depthwise(window(3, 2, Padding::Same), weights);
    let clamp = Activation::Clamp {
        min: -1.5,
        max: 4.0,
    };
    let strided = b.layer(strided, &[mean], clamp);
    let last = b.pointwise(strided, 24, After::Norm);
    let pooled = b.layer(Op::GlobalAveragePool, &[last], Activation::NONE);
    b.linear(pooled, 10, Activation::NONE);
    b.graph
}

/// [`graph`] as a backbone.
pub(crate) fn backbone(seed: u64) -> Backbone {
    let settings = Settings {
        mean: [127.0, 120.0, 110.0, 0.0],
        std: [128.0, 60.0, 55.5, 1.0],
        max_classes: 64,
        metadata: BackboneMetadata {
            name: "small net".into(),
            ..BackboneMetadata::default()
        },
    };
    let image = compile(&graph(seed), settings).expect("the network fits the format");
    Backbone::from_bytes(&image).expect("the network is valid")
}

/// A training run of this kind that left every value it may change a little off; 7 classes.
pub(crate) fn trained(backbone: &BackboneImage<'_>, kind: TrainKind, seed: u64) -> Trained {
    let mut random = Random(seed);
    let metadata = backbone.metadata().expect("it was just written");
    let sites = (0..backbone.site_count()).filter_map(|index| {
        let site = backbone.site(index);
        let outputs = if site.is_head { 7 } else { site.outputs };
        let mut around = |centre: &[f32]| -> Vec<f32> {
            let off = random.values(centre.len(), 0.1);
            centre
                .iter()
                .zip(off)
                .map(|(value, off)| value + off)
                .collect()
        };
        let weights = kind.replaces(&site, What::Weights).then(|| {
            let (packed, depth) = (backbone.weights(&site), site.depth);
            let own = graft_patches::layout::unpack_weights(
                packed,
                site.outputs,
                depth,
                site.is_depthwise,
            );
            around(&own[..outputs * depth])
        });
        let norm =
            kind.replaces(&site, What::Epilogue)
                .then(|| match &metadata.sites[index].batch_norm {
                    Some(norm) => Norm::Batch(BatchNorm {
                        gamma: around(&norm.gamma),
                        beta: around(&norm.beta),
                        mean: around(&norm.mean),
                        var: around(&norm.var),
                        ..norm.clone()
                    }),
                    None => Norm::Affine {
                        scale: around(&vec![1.0; outputs]),
                        bias: around(&vec![0.0; outputs]),
                    },
                });
        let values = SiteParameters { weights, norm };
        (values != SiteParameters::default()).then_some((index, values))
    });
    Trained {
        kind,
        name: "flowers".into(),
        tool: crate::TOOL.into(),
        backbone: BackboneRef {
            name: metadata.name.clone(),
            id: backbone.id(),
        },
        from_layer: 0,
        input: backbone.input(),
        resize: Resize::default(),
        labels: (0..7).map(|class| format!("class {class}")).collect(),
        seed,
        class_weights: ClassWeights::Balanced,
        data: DataRef {
            path: "data/flowers".into(),
            digest: Digest::of(b"flowers"),
            images: 700,
            validation_images: 77,
            test_images: 70,
        },
        metrics: Metrics {
            epochs: 10,
            best_epoch: 8,
            validation_accuracy: Some(0.925),
            validation_loss: Some(0.375),
            temperature: Some(1.25),
            test_accuracy: 0.9125,
            trainable_params: 1234,
            seconds: 56.78,
        },
        sites: sites.collect(),
    }
}
