//! The values of a site as ONNX nodes take them.

use std::collections::HashSet;

use graft_onnx::build;
use graft_onnx::proto::{DataType, TensorProto};
use graft_patches::BackboneImage;
use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::metadata::{BackboneMetadata, BatchNorm, SiteMetadata};
use graft_patches::records::{Layer, Site};
use graft_runtime::gradient::{Norm, SiteParameters};

use super::nodes;

/// Last words of the names of a site's tensors.
const PARTS: [&str; 8] = [
    ".weight", ".bias", ".gamma", ".beta", ".mean", ".var", ".scale", ".shift",
];

/// An initialiser.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<f32>,
    /// Whether it is the backbone's own, the same for every task.
    pub(super) is_frozen: bool,
}

impl Tensor {
    /// The message with its values in the model.
    pub(super) fn inline(&self) -> TensorProto {
        build::floats(&self.name, &self.dims, &self.values)
    }

    /// The message with its values in a file.
    pub(super) fn external(&self, file: &str, place: [usize; 2]) -> TensorProto {
        build::external(&self.name, &self.dims, DataType::Float, file, place)
    }
}

/// Everything that a site's nodes read.
pub(super) struct SiteTensors {
    /// `[out, in, rows, columns]`, `[out, in]` of a linear layer.
    pub(super) weights: Tensor,
    pub(super) after: After,
}

/// The values behind the weights.
pub(super) enum After {
    /// The layer's own bias, then a batch norm of gamma, beta, mean, variance.
    BatchNorm {
        own: Option<Tensor>,
        norm: Box<[Tensor; 4]>,
        epsilon: f32,
    },
    /// A factor, left out where all are 1, then a summand.
    Affine { scale: Option<Tensor>, bias: Tensor },
}

impl SiteTensors {
    pub(super) fn all(&self) -> Vec<&Tensor> {
        let mut all = vec![&self.weights];
        match &self.after {
            After::BatchNorm { own, norm, .. } => {
                all.extend(own);
                all.extend(norm.iter());
            }
            After::Affine { scale, bias } => {
                all.extend(scale);
                all.push(bias);
            }
        }
        all
    }
}

/// Reads sites out of a backbone, with what a task trained in place of its own values.
pub(super) struct Sites<'a> {
    backbone: BackboneImage<'a>,
    metadata: &'a BackboneMetadata,
    names: Vec<[String; 2]>,
}

impl<'a> Sites<'a> {
    pub(super) fn new(backbone: BackboneImage<'a>, metadata: &'a BackboneMetadata) -> Self {
        Self {
            names: names(backbone.site_count(), &metadata.sites),
            backbone,
            metadata,
        }
    }

    /// The initialisers of a site; `trained` replaces the backbone's own.
    pub(super) fn get(&self, index: usize, trained: Option<&SiteParameters>) -> SiteTensors {
        let site = self.backbone.site(index);
        let own = self.metadata.sites.get(index);
        let trained_weights = trained.and_then(|trained| trained.weights.as_ref());
        let trained_norm = trained.and_then(|trained| trained.norm.as_ref());
        let weights = match trained_weights {
            Some(weights) => weights.clone(),
            None => {
                let packed = self.backbone.weights(&site);
                unpack_weights(packed, site.outputs, site.depth, site.is_depthwise)
            }
        };
        let raw = own.and_then(|own| own.batch_norm.as_ref());
        let norm = match (trained_norm, raw) {
            (Some(norm), _) => norm.clone(),
            (None, Some(norm)) => Norm::Batch(norm.clone()),
            (None, None) => {
                let packed = self.backbone.epilogue(&site);
                let (scale, bias) = unpack_epilogue(packed, site.outputs);
                Norm::Affine { scale, bias }
            }
        };
        SiteTensors {
            weights: self.weights(index, &site, &weights, trained_weights.is_none()),
            after: match &norm {
                Norm::Batch(norm) => {
                    self.batch_norm(index, norm, raw, own.and_then(|own| own.bias.as_ref()))
                }
                Norm::Affine { scale, bias } => {
                    self.affine(index, [scale, bias], trained_norm.is_none())
                }
            },
        }
    }

    fn weights(&self, index: usize, site: &Site, rows: &[f32], is_frozen: bool) -> Tensor {
        let layer = self.backbone.layer(site.layer);
        Tensor {
            name: self.names[index][0].clone(),
            dims: weight_dims(&layer, site, rows.len() / site.depth),
            values: channels_first(rows, &layer, site),
            is_frozen,
        }
    }

    fn batch_norm(
        &self,
        index: usize,
        norm: &BatchNorm,
        raw: Option<&BatchNorm>,
        own: Option<&Vec<f32>>,
    ) -> After {
        // Values that training left as they were, such as mean and variance, are shared.
        let vector = |part, values: fn(&BatchNorm) -> &Vec<f32>| {
            let is_frozen = raw.is_some_and(|raw| values(raw) == values(norm));
            self.vector(index, part, values(norm), is_frozen)
        };
        After::BatchNorm {
            own: own.map(|own| self.vector(index, "bias", own, true)),
            norm: Box::new([
                vector("gamma", |norm| &norm.gamma),
                vector("beta", |norm| &norm.beta),
                vector("mean", |norm| &norm.mean),
                vector("var", |norm| &norm.var),
            ]),
            epsilon: norm.epsilon,
        }
    }

    fn affine(&self, index: usize, [scale, bias]: [&Vec<f32>; 2], is_frozen: bool) -> After {
        let is_one = scale.iter().all(|&scale| scale == 1.0);
        After::Affine {
            scale: (!is_one).then(|| self.vector(index, "scale", scale, is_frozen)),
            bias: self.vector(index, "shift", bias, is_frozen),
        }
    }

    fn vector(&self, index: usize, part: &str, values: &[f32], is_frozen: bool) -> Tensor {
        Tensor {
            name: format!("{}.{part}", self.names[index][1]),
            dims: vec![values.len()],
            values: values.to_vec(),
            is_frozen,
        }
    }
}

/// The names of each site's weights and, without the last word, of its other tensors: those of the imported model
/// where they can be told apart.
pub(super) fn names(count: usize, sites: &[SiteMetadata]) -> Vec<[String; 2]> {
    let mut stems = HashSet::new();
    (0..count)
        .map(|index| {
            let weights = sites.get(index).map_or("", |site| site.weight.as_str());
            let stem = weights.strip_suffix(".weight").unwrap_or(weights);
            // The model has names of its own, and a stem that ends like another's part might become its name.
            let is_reserved = weights.is_empty() || super::document::is_reserved(weights);
            let is_part = PARTS.iter().any(|part| stem.ends_with(part));
            if !is_reserved && !is_part && stems.insert(stem) {
                [weights.to_owned(), stem.to_owned()]
            } else {
                let stem = format!("graft.site.{index:03}");
                [format!("{stem}.weight"), stem]
            }
        })
        .collect()
}

/// The shape of a site's weights: `[outputs, inputs]` of a layer on rows, else `[outputs, inputs, rows, columns]`.
pub(super) fn weight_dims(layer: &Layer, site: &Site, outputs: usize) -> Vec<usize> {
    let [height, width] = layer.window.kernel;
    let mut dims = vec![outputs, inputs(layer, site)];
    if !nodes::is_row(layer.op) {
        dims.extend([height, width]);
    }
    dims
}

/// Input channels of a filter.
fn inputs(layer: &Layer, site: &Site) -> usize {
    match site.is_depthwise {
        true => 1,
        false => site.depth / layer.window.kernel.iter().product::<usize>(),
    }
}

/// `[out][taps][in]` to `[out][in][taps]`.
pub(super) fn channels_first<T: Copy>(rows: &[T], layer: &Layer, site: &Site) -> Vec<T> {
    let inputs = inputs(layer, site);
    let taps: usize = layer.window.kernel.iter().product();
    if taps == 1 || inputs == 1 {
        return rows.to_vec();
    }
    rows.chunks_exact(inputs * taps)
        .flat_map(|row| {
            (0..inputs).flat_map(move |input| (0..taps).map(move |tap| row[tap * inputs + input]))
        })
        .collect()
}
