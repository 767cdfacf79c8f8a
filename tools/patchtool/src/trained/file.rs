//! Trained files: safetensors with a tensor for each trained array and everything else as JSON in `__metadata__`.
//!
//! Tensors are f32 and named `site.012.weights` (`[outputs, depth]`, depth over kernel row, kernel column, input
//! channel; of a depthwise site over row and column), `.gamma`, `.beta`, `.mean`, `.var` of a raw batch norm, or
//! `.scale` and `.bias` of a plain epilogue. The key `graft` has the rest, `graft.digest` the BLAKE3 over that text and
//! then each tensor's name and bytes, in the order of names. A file by another tool may leave the digest out.

use std::collections::{BTreeMap, HashMap};

use graft_patches::metadata::{BatchNorm, Resize};
use graft_patches::records::{Input, Site};
use graft_patches::{BackboneImage, Digest, geometry::Shape};
use graft_runtime::gradient::{Norm, SiteParameters};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{BackboneRef, ClassWeights, DataRef, Metrics, Trained, TrainedError};

const HEADER: &str = "graft";
const DIGEST: &str = "graft.digest";

/// Everything that is no tensor.
#[derive(Serialize, Deserialize)]
struct Header {
    kind: String,
    name: String,
    tool: String,
    backbone: BackboneRef,
    #[serde(default)]
    from_layer: usize,
    input: InputHeader,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    class_weights: ClassWeights,
    #[serde(default)]
    data: DataRef,
    #[serde(default)]
    metrics: Metrics,
    /// By site.
    #[serde(default)]
    batch_norms: BTreeMap<usize, NormHeader>,
}

#[derive(Serialize, Deserialize)]
struct InputHeader {
    height: usize,
    width: usize,
    channels: usize,
    mean: [f32; 4],
    std: [f32; 4],
    resize: String,
}

#[derive(Default, Serialize, Deserialize)]
struct NormHeader {
    name: String,
    epsilon: f32,
}

impl Trained {
    /// The bytes of a trained file.
    ///
    /// # Errors
    /// Whatever [`Trained::check`] refuses.
    pub fn to_bytes(&self, backbone: &BackboneImage<'_>) -> Result<Vec<u8>, TrainedError> {
        self.check(backbone)?;
        let header = serde_json::to_string(&self.header())?;
        let mut tensors = BTreeMap::new();
        for (&index, values) in &self.sites {
            let site = backbone.site(index);
            for (part, values) in parts(values) {
                tensors.insert(tensor_name(index, part), tensor(&site, part, values));
            }
        }
        let views = tensors
            .iter()
            .map(|(name, (shape, bytes))| {
                let view = TensorView::new(Dtype::F32, shape.clone(), bytes)?;
                Ok((name.as_str(), view))
            })
            .collect::<Result<Vec<_>, TrainedError>>()?;
        let digest = digest(&header, &views);
        let metadata = HashMap::from([
            (HEADER.to_owned(), header),
            (DIGEST.to_owned(), digest.to_string()),
        ]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads a trained file. Whether it fits a backbone is for [`Trained::check`] to say.
    ///
    /// # Errors
    /// Bytes that are truncated, damaged, or something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TrainedError> {
        let (_, metadata) = SafeTensors::read_metadata(bytes)?;
        let tensors = SafeTensors::deserialize(bytes)?;
        let texts = metadata.metadata().as_ref();
        let text = |key| texts.and_then(|texts| texts.get(key));
        let header = text(HEADER).ok_or(TrainedError::Foreign { key: HEADER })?;
        let mut views: Vec<(&str, TensorView<'_>)> = tensors.iter().collect();
        views.sort_unstable_by_key(|(name, _)| *name);
        if let Some(expected) = text(DIGEST) {
            let expected = expected.parse().map_err(wrong)?;
            let found = digest(header, &views);
            if found != expected {
                return Err(TrainedError::Digest { found, expected });
            }
        }
        serde_json::from_str::<Header>(header)?.into_trained(&views)
    }

    fn header(&self) -> Header {
        let Shape {
            height,
            width,
            channels,
        } = self.input.shape;
        let norms = self.sites.iter().filter_map(|(&site, values)| {
            let Some(Norm::Batch(norm)) = &values.norm else {
                return None;
            };
            let name = norm.name.clone();
            let epsilon = norm.epsilon;
            Some((site, NormHeader { name, epsilon }))
        });
        Header {
            kind: self.kind.to_string(),
            name: self.name.clone(),
            tool: self.tool.clone(),
            backbone: self.backbone.clone(),
            from_layer: self.from_layer,
            input: InputHeader {
                height,
                width,
                channels,
                mean: self.input.mean,
                std: self.input.std,
                resize: self.resize.to_string(),
            },
            labels: self.labels.clone(),
            seed: self.seed,
            class_weights: self.class_weights,
            data: self.data.clone(),
            metrics: self.metrics.clone(),
            batch_norms: norms.collect(),
        }
    }
}

impl Header {
    fn into_trained(mut self, views: &[(&str, TensorView<'_>)]) -> Result<Trained, TrainedError> {
        let mut arrays: BTreeMap<usize, BTreeMap<&str, Vec<f32>>> = BTreeMap::new();
        for (name, view) in views {
            let (site, part) = parse_name(name)?;
            let values = floats(name, view)?;
            arrays.entry(site).or_default().insert(part, values);
        }
        let mut sites = BTreeMap::new();
        for (site, arrays) in arrays {
            let norm = self.batch_norms.remove(&site).unwrap_or_default();
            sites.insert(site, site_parameters(site, arrays, norm)?);
        }
        Ok(Trained {
            kind: self.kind.parse().map_err(wrong)?,
            name: self.name,
            tool: self.tool,
            backbone: self.backbone,
            from_layer: self.from_layer,
            resize: parse_resize(&self.input.resize)?,
            input: self.input.checked()?,
            labels: self.labels,
            seed: self.seed,
            class_weights: self.class_weights,
            data: self.data,
            metrics: self.metrics,
            sites,
        })
    }
}

/// Metadata that JSON can say and a patch cannot.
fn wrong(message: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(message)
}

fn parse_resize(text: &str) -> Result<Resize, serde_json::Error> {
    text.parse().map_err(wrong)
}

impl InputHeader {
    /// The input, if a patch can carry it.
    fn checked(&self) -> Result<Input, serde_json::Error> {
        let input = Input {
            shape: Shape::new(self.height, self.width, self.channels),
            mean: self.mean,
            std: self.std,
        };
        input.check().map_err(wrong)?;
        Ok(input)
    }
}

fn tensor_name(site: usize, part: &str) -> String {
    format!("site.{site:03}.{part}")
}

fn parse_name(name: &str) -> Result<(usize, &str), TrainedError> {
    name.strip_prefix("site.")
        .and_then(|rest| rest.split_once('.'))
        .and_then(|(site, part)| Some((site.parse().ok()?, part)))
        .filter(|&(site, part)| tensor_name(site, part) == name)
        .ok_or_else(|| TrainedError::Tensor {
            name: name.to_owned(),
            problem: "unknown, expected a name such as site.012.weights",
        })
}

/// The arrays of a site, by the last part of their names.
fn parts(values: &SiteParameters) -> Vec<(&'static str, &[f32])> {
    let mut parts: Vec<(&str, &[f32])> = Vec::new();
    if let Some(weights) = &values.weights {
        parts.push(("weights", weights));
    }
    match &values.norm {
        Some(Norm::Batch(norm)) => parts.extend([
            ("gamma", &norm.gamma[..]),
            ("beta", &norm.beta),
            ("mean", &norm.mean),
            ("var", &norm.var),
        ]),
        Some(Norm::Affine { scale, bias }) => {
            parts.extend([("scale", &scale[..]), ("bias", bias)]);
        }
        None => {}
    }
    parts
}

fn tensor(site: &Site, part: &str, values: &[f32]) -> (Vec<usize>, Vec<u8>) {
    let shape = match part {
        "weights" => vec![values.len() / site.depth, site.depth],
        _ => vec![values.len()],
    };
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    (shape, bytes.collect())
}

fn floats(name: &str, view: &TensorView<'_>) -> Result<Vec<f32>, TrainedError> {
    if view.dtype() != Dtype::F32 {
        return Err(TrainedError::Tensor {
            name: name.to_owned(),
            problem: "not of type F32",
        });
    }
    let (values, _) = view.data().as_chunks();
    Ok(values.iter().copied().map(f32::from_le_bytes).collect())
}

fn site_parameters(
    site: usize,
    mut arrays: BTreeMap<&str, Vec<f32>>,
    norm: NormHeader,
) -> Result<SiteParameters, TrainedError> {
    let weights = arrays.remove("weights");
    let mut take = |part: &str| {
        arrays.remove(part).ok_or_else(|| TrainedError::Tensor {
            name: tensor_name(site, part),
            problem: "missing beside the other values of its site",
        })
    };
    let norm = if let Ok(gamma) = take("gamma") {
        Some(Norm::Batch(BatchNorm {
            name: norm.name,
            gamma,
            beta: take("beta")?,
            mean: take("mean")?,
            var: take("var")?,
            epsilon: norm.epsilon,
        }))
    } else if let Ok(scale) = take("scale") {
        let bias = take("bias")?;
        Some(Norm::Affine { scale, bias })
    } else {
        None
    };
    match arrays.keys().next() {
        Some(part) => Err(TrainedError::Tensor {
            name: tensor_name(site, part),
            problem: "unknown, or alone without the other values of its site",
        }),
        None => Ok(SiteParameters { weights, norm }),
    }
}

fn digest(header: &str, views: &[(&str, TensorView<'_>)]) -> Digest {
    let mut bytes = header.as_bytes().to_vec();
    for (name, view) in views {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(view.data());
    }
    Digest::of(&bytes)
}
