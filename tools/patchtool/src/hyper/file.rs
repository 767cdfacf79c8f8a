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

use graft_onnx::Message as _;
use graft_onnx::build::{self, entry};
use graft_onnx::proto::{DataType, GraphProto, ModelProto, ValueInfoProto};
use graft_patches::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::arrays::{self, Arrays};
use super::config::Config;
use super::error::HyperError;
use super::examples::Examples;
use super::network::{Generator, Inputs};
use super::onnx::{self, Parameters, Port};
use super::parameter::{Parameter, Precision};
use graft_data::output;

/// Version of a generator's file.
pub const VERSION: u32 = 2;
const VERSION_KEY: &str = "graft.hyper.version";
const CONFIG_KEY: &str = "graft.hyper";
const BACKBONE_KEY: &str = "graft.backbone.id";
const PROVENANCE_KEY: &str = "graft.hyper.provenance";
const DIGEST_KEY: &str = "graft.hyper.digest";
/// First byte of every ONNX model of today: field 1, its IR version.
const FIRST_BYTE: u8 = 8;

/// The origin of a generator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// The program that trained it.
    pub tool: String,
    /// Training steps.
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

/// The values that a generator gave for a support set, by name, row by row.
///
/// `head.weight` `[classes, features]` and `head.bias` `[1, classes]`; `scale.0` to `scale.3` and `bias.0` to `bias.3`
/// `[1, channels]`, the epilogues; where it generates convolutions, `conv.0` to `conv.3`
/// `[outputs, inputs * 9]`, columns in the order (input, row, column).
pub type Outputs = BTreeMap<String, Vec<f32>>;

/// A trained generator, ready to generate.
#[derive(Debug)]
pub struct Hyper {
    generator: Generator,
    parameters: Arrays,
    backbone: Digest,
    provenance: Provenance,
    model: ModelProto,
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
        check_parameters(&generator.parameters(), parameters, precision)?;
        let rounded = |values: &Vec<f32>| values.iter().map(|&v| precision.round(v)).collect();
        let stored = parameters
            .iter()
            .map(|(name, values)| (name.clone(), rounded(values)));
        let graph = onnx::graph(generator, Some(parameters), precision);
        let properties = vec![
            entry(VERSION_KEY, VERSION.to_string()),
            entry(CONFIG_KEY, json(generator.config())),
            entry(BACKBONE_KEY, backbone.to_string()),
            entry(PROVENANCE_KEY, json(&provenance)),
            entry(DIGEST_KEY, digest(&graph).to_string()),
        ];
        Ok(Self {
            parameters: Arrays::new(generator, stored.collect()),
            generator: generator.clone(),
            backbone,
            provenance,
            model: build::model("patchtool", env!("CARGO_PKG_VERSION"), graph, properties),
        })
    }

    /// Reads a generator.
    ///
    /// # Errors
    /// A file that cannot be read, is no generator, is damaged, or is of another calculation than this code's.
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
        config.check().map_err(|error| HyperError::Property {
            key: CONFIG_KEY,
            reason: error.to_string(),
        })?;
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
        let generator = Generator::new(&config);
        let parameters = onnx::parameters(graph)?;
        let precision = precision(graph);
        let own = onnx::graph(&generator, None, precision);
        // Convolutions of continual generators start from others' weights, so their files are without their own.
        let mut read = generator.parameters();
        read.retain(|parameter| onnx::reads(&own, parameter));
        // They are of this precision already.
        check_parameters(&read, &parameters, Precision::F32)?;
        let [found, expected] = [graph, &own].map(onnx::calculation);
        if found != expected {
            return Err(HyperError::OtherGraph { found, expected });
        }
        Ok(Self {
            parameters: Arrays::new(&generator, parameters),
            generator,
            backbone,
            provenance,
            model,
        })
    }

    /// The bytes of its file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    /// Writes its file, all or nothing; an existing one is replaced only if `force` is set.
    ///
    /// # Errors
    /// An error of the system.
    pub fn write(&self, path: &Path, force: bool) -> Result<(), HyperError> {
        let bytes = self.to_bytes();
        Ok(output::write_atomically(path, force, |file| {
            file.write_all(&bytes)
        })?)
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        self.generator.config()
    }

    /// Id of the backbone that it generates for.
    pub fn backbone(&self) -> Digest {
        self.backbone
    }

    /// The precision of the parameters in its file.
    pub fn precision(&self) -> Precision {
        self.model
            .graph
            .as_ref()
            .map_or_else(Precision::default, precision)
    }

    /// Its origin.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Generates from a support set. `start` are the convolutions to go on from, of a continual generator, as
    /// [`Generator::generate`] wants them, row by row; else nothing.
    ///
    /// # Errors
    /// Values that do not fit the generator.
    pub fn generate(&self, support: &Examples, start: &[Vec<f32>]) -> Result<Outputs, HyperError> {
        let config = self.config();
        support.check(config)?;
        let images = support.labels.len();
        let ports = onnx::inputs(config);
        let shapes = ports[3..]
            .iter()
            .map(|port| port.shape(images, support.classes));
        let shapes: Vec<[usize; 2]> = shapes.map(|shape| [shape[0], shape[1]]).collect();
        let expected: Vec<usize> = shapes
            .iter()
            .map(|[rows, columns]| rows * columns)
            .collect();
        let found: Vec<usize> = start.iter().map(Vec::len).collect();
        if found != expected {
            return Err(HyperError::Start { found, expected });
        }
        let columns = config.max_ways + 1;
        let side = config.target.side;
        let inputs = Inputs::<Arrays> {
            images: arrays::maps([images, 1, side, side], support.images.clone()),
            labels: arrays::matrix([images, columns], support.one_hot_labels(config)),
            classes: arrays::matrix([support.classes, columns], support.one_hot_classes(config)),
        };
        let earlier = shapes.iter().zip(start);
        let earlier: Vec<_> = earlier
            .map(|(&shape, values)| arrays::matrix(shape, values.clone()))
            .collect();
        let previous = (!earlier.is_empty()).then_some(&earlier[..]);
        let values = self.generator.generate(&self.parameters, &inputs, previous);
        let named = onnx::named(config, values).into_iter();
        Ok(named
            .map(|(name, matrix)| (name, matrix.iter().copied().collect()))
            .collect())
    }
}

/// Whether there are values for each of these, finite as they are stored.
fn check_parameters(
    expected: &[Parameter],
    parameters: &Parameters,
    precision: Precision,
) -> Result<(), HyperError> {
    for own in expected {
        let values = parameters.get(&own.name).map_or(&[][..], Vec::as_slice);
        let expected = own.shape[0] * own.shape[1];
        if values.len() != expected {
            return Err(HyperError::Parameter {
                name: own.name.clone(),
                found: values.len(),
                expected,
            });
        }
        let mut values = values.iter();
        if let Some(&value) = values.find(|&&value| !precision.round(value).is_finite()) {
            let name = own.name.clone();
            return Err(HyperError::NotFinite { name, value });
        }
    }
    Ok(())
}

/// The precision of the parameters in a graph.
fn precision(graph: &GraphProto) -> Precision {
    let half = DataType::Float16 as i32;
    match graph
        .initializer
        .iter()
        .any(|tensor| tensor.data_type == half)
    {
        true => Precision::F16,
        false => Precision::F32,
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
