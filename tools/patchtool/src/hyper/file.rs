//! A trained generator as one file: an ONNX model, and what it is in the model's properties.
//!
//! | property | what |
//! | --- | --- |
//! | `graft.hyper.version` | of these properties and of the inputs and outputs |
//! | `graft.hyper` | [`Config`] as JSON |
//! | `graft.backbone.id` | of the backbone that it generates for |
//! | `graft.hyper.provenance` | [`Provenance`] as JSON |
//! | `graft.hyper.digest` | BLAKE3 of the graph, encoded by field number |

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use graft_onnx::Message as _;
use graft_onnx::build::{self, entry};
use graft_onnx::proto::{DataType, GraphProto, ModelProto, ValueInfoProto};
use graft_patches::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::error::HyperError;
use super::examples::Examples;
use super::network::Generator;
use super::onnx::{self, Parameters, Plan, Port};
use super::parameter::Precision;
use crate::output;

/// Version of a generator's file.
pub const VERSION: u32 = 1;
const VERSION_KEY: &str = "graft.hyper.version";
const CONFIG_KEY: &str = "graft.hyper";
const BACKBONE_KEY: &str = "graft.backbone.id";
const PROVENANCE_KEY: &str = "graft.hyper.provenance";
const DIGEST_KEY: &str = "graft.hyper.digest";
/// First byte of every ONNX model of today: field 1, its IR version.
const FIRST_BYTE: u8 = 8;
/// Shapes of support sets that stay ready to run.
const PLANS: usize = 4;

/// Where a generator comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// What trained it.
    pub tool: String,
    /// Training steps, each an episode.
    pub steps: u64,
    /// Of the training.
    pub seed: u64,
    /// Images of each class without a label in its support sets; 0 where it knows none.
    pub unlabelled: u64,
    /// Digest of the training data.
    pub data: Option<Digest>,
    /// Shares of right answers by what was measured, such as `5-way 1-shot`, or `8 tasks of 5-way 1-shot`: 0 to 1.
    pub accuracy: BTreeMap<String, f64>,
}

/// What a generator gave for a support set, by name: values row by row.
///
/// `head.weight` `[classes, features]` and `head.bias` `[1, classes]`; for a target CNN also `scale.0` to `scale.3` and
/// `bias.0` to `bias.3` `[1, channels]`, the epilogues; where it generates convolutions, `conv.0` to `conv.3`
/// `[outputs, inputs * 9]`, columns in the order (input, row, column).
pub type Outputs = BTreeMap<String, Vec<f32>>;

/// A trained generator, ready to generate.
#[derive(Debug)]
pub struct Hyper {
    config: Config,
    backbone: Digest,
    provenance: Provenance,
    model: ModelProto,
    /// By number of images and classes, the last used at the end.
    plans: Mutex<Vec<([usize; 2], Arc<Plan>)>>,
}

impl Hyper {
    /// A generator with trained parameters, stored in this precision, for the backbone of this id.
    ///
    /// # Errors
    /// A parameter that is missing, has another length, or that half precision cannot hold.
    pub fn new(
        generator: &Generator,
        parameters: &Parameters,
        precision: Precision,
        backbone: Digest,
        provenance: Provenance,
    ) -> Result<Self, HyperError> {
        for own in generator.parameters() {
            let found = parameters.get(&own.name).map_or(0, Vec::len);
            let expected = own.shape[0] * own.shape[1];
            if found != expected {
                let name = own.name;
                return Err(HyperError::Parameter {
                    name,
                    found,
                    expected,
                });
            }
            let mut values = parameters.get(&own.name).into_iter().flatten();
            if let Some(&value) = values.find(|&&value| !precision.round(value).is_finite()) {
                let name = own.name;
                return Err(HyperError::NotFinite { name, value });
            }
        }
        let config = generator.config().clone();
        let graph = onnx::graph(generator, parameters, precision);
        let properties = vec![
            entry(VERSION_KEY, VERSION.to_string()),
            entry(CONFIG_KEY, json(&config)),
            entry(BACKBONE_KEY, backbone.to_string()),
            entry(PROVENANCE_KEY, json(&provenance)),
            entry(DIGEST_KEY, digest(&graph).to_string()),
        ];
        Ok(Self {
            config,
            backbone,
            provenance,
            model: build::model("patchtool", env!("CARGO_PKG_VERSION"), graph, properties),
            plans: Mutex::default(),
        })
    }

    /// Reads a generator.
    ///
    /// # Errors
    /// A file that cannot be read, is no generator, or is damaged.
    pub fn open(path: &Path) -> Result<Self, HyperError> {
        let bytes = fs::read(path).map_err(|source| HyperError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(&bytes)
    }

    /// Reads a generator from the bytes of its file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HyperError> {
        let model = decode(bytes)?;
        let properties = Properties(&model);
        let version = properties.get(VERSION_KEY)?;
        if version != VERSION.to_string() {
            return Err(HyperError::Version {
                found: version.to_owned(),
                expected: VERSION,
            });
        }
        let config: Config = properties.json(CONFIG_KEY)?;
        let provenance = properties.json(PROVENANCE_KEY)?;
        let [backbone, expected] = [BACKBONE_KEY, DIGEST_KEY].map(|key| properties.digest(key));
        let backbone = backbone?;
        let graph = model.graph.as_ref().ok_or(HyperError::NotOnnx)?;
        if digest(graph) != expected? {
            let found = "the digest of its graph is another";
            return Err(HyperError::Damaged { found });
        }
        same_names("inputs", &graph.input, &onnx::inputs(&config))?;
        same_names("outputs", &graph.output, &onnx::outputs(&config))?;
        Ok(Self {
            config,
            backbone,
            provenance,
            model,
            plans: Mutex::default(),
        })
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Writes its file, all or nothing; an existing one is replaced only if `force` is set.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path, force: bool) -> Result<(), HyperError> {
        let bytes = self.to_bytes();
        Ok(output::write_atomically(path, force, |file| {
            file.write_all(&bytes)
        })?)
    }

    /// What it is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Id of the backbone that it generates for.
    pub fn backbone(&self) -> Digest {
        self.backbone
    }

    /// How its file stores the parameters.
    pub fn precision(&self) -> Precision {
        let half = DataType::Float16 as i32;
        let stored = self.model.graph.iter().flat_map(|graph| &graph.initializer);
        match stored.into_iter().any(|tensor| tensor.data_type == half) {
            true => Precision::F16,
            false => Precision::F32,
        }
    }

    /// Where it comes from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Generates from a support set. `start` are the convolutions to go on from, of a continual generator, as
    /// [`Generator::generate`] wants them, row by row; else nothing. The first call for a number of images and classes
    /// prepares the model for it.
    ///
    /// # Errors
    /// Values that do not fit the generator, or a model that cannot run.
    pub fn generate(&self, support: &Examples, start: &[Vec<f32>]) -> Result<Outputs, HyperError> {
        support.check(&self.config)?;
        let sizes = [support.labels.len(), support.classes];
        let ports = onnx::inputs(&self.config);
        let length = |port: &Port| port.shape(sizes[0], sizes[1]).iter().product();
        let expected: Vec<usize> = ports[3..].iter().map(length).collect();
        let found: Vec<usize> = start.iter().map(Vec::len).collect();
        if found != expected {
            return Err(HyperError::Start { found, expected });
        }
        let labels = support.one_hot_labels(&self.config);
        let classes = support.one_hot_classes(&self.config);
        let mut inputs: Vec<&[f32]> = vec![&support.images, &labels, &classes];
        inputs.extend(start.iter().map(Vec::as_slice));
        let plan = self.plan(sizes)?;
        let outputs = plan.run(&inputs).map_err(|error| run_error(sizes, error))?;
        Ok(outputs.into_iter().collect())
    }

    /// Makes ready for support sets of so many images and classes, which [`Self::generate`] would do at the first one: it takes
    /// longer than generating.
    ///
    /// # Errors
    /// A model that cannot run.
    pub fn prepare(&self, images: usize, classes: usize) -> Result<(), HyperError> {
        self.plan([images, classes]).map(drop)
    }

    /// The plan for so many images and classes.
    fn plan(&self, sizes: [usize; 2]) -> Result<Arc<Plan>, HyperError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let known = plans.iter().position(|(known, _)| *known == sizes);
        let plan = match known {
            Some(index) => plans.remove(index).1,
            None => {
                let plan = Plan::new(&self.model, &self.config, sizes);
                Arc::new(plan.map_err(|error| run_error(sizes, error))?)
            }
        };
        if plans.len() == PLANS {
            plans.remove(0);
        }
        plans.push((sizes, plan.clone()));
        Ok(plan)
    }
}

fn run_error([images, classes]: [usize; 2], error: tract_onnx::prelude::TractError) -> HyperError {
    HyperError::Run {
        images,
        classes,
        source: error.into(),
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain structs have a JSON form")
}

fn digest(graph: &GraphProto) -> Digest {
    Digest::of(&graph.encode_to_vec())
}

fn decode(bytes: &[u8]) -> Result<ModelProto, HyperError> {
    if bytes.first() != Some(&FIRST_BYTE) {
        return Err(HyperError::NotOnnx);
    }
    let damaged = |found| HyperError::Damaged { found };
    let model = ModelProto::decode(bytes).map_err(|_| damaged("it ends early or is not ONNX"))?;
    if model.graph.is_none() || model.opset_import.is_empty() {
        return Err(damaged("the end of the model is missing"));
    }
    Ok(model)
}

/// The properties of a model.
struct Properties<'a>(&'a ModelProto);

impl<'a> Properties<'a> {
    fn get(&self, key: &'static str) -> Result<&'a str, HyperError> {
        let found = |wanted: &str| self.0.metadata_props.iter().find(|e| e.key == wanted);
        match found(key) {
            Some(entry) => Ok(&entry.value),
            // The version comes first in a file.
            None if found(VERSION_KEY).is_some() => Err(HyperError::Damaged {
                found: "some of its properties are missing",
            }),
            None => Err(HyperError::NotAGenerator { key }),
        }
    }

    fn json<T: DeserializeOwned>(&self, key: &'static str) -> Result<T, HyperError> {
        let value = serde_json::from_str(self.get(key)?);
        value.map_err(|error| HyperError::Property {
            key,
            reason: error.to_string(),
        })
    }

    fn digest(&self, key: &'static str) -> Result<Digest, HyperError> {
        let text = self.get(key)?;
        text.parse().map_err(|_| HyperError::Property {
            key,
            reason: format!("{text:?} is not 64 hexadecimal digits"),
        })
    }
}

fn same_names(
    what: &'static str,
    found: &[ValueInfoProto],
    expected: &[Port],
) -> Result<(), HyperError> {
    let found: Vec<String> = found.iter().map(|info| info.name.clone()).collect();
    let expected: Vec<String> = expected.iter().map(|port| port.name.clone()).collect();
    if found != expected {
        return Err(HyperError::Interface {
            what,
            found,
            expected,
        });
    }
    Ok(())
}
