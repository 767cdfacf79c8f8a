//! A model around its nodes: interface, properties, versions.

use graft_onnx::Message as _;
use graft_onnx::build::{self, Dim, interface};
use graft_onnx::graph::{ConstantError, GraphBuilder};
use graft_onnx::proto::{GraphProto, StringStringEntryProto};
use graft_patches::geometry::Shape;

/// Name of the input.
pub(super) const INPUT: &str = "input";
/// Name of the output.
pub(super) const SCORES: &str = "scores";
/// Before all names that are not from the backbone.
pub(super) const PREFIX: &str = "graft.";

/// Whether the model may use this name for something of its own.
pub(super) fn is_reserved(name: &str) -> bool {
    name == INPUT || name == SCORES || name.starts_with(PREFIX)
}

/// All that a model consists of. Its nodes read [`INPUT`] and write [`SCORES`].
pub(super) struct Document {
    /// Of the task.
    pub(super) name: String,
    pub(super) graph: GraphBuilder,
    pub(super) input: Shape,
    pub(super) scores: Shape,
    /// Whether the scores are `[batch, classes]`; else `[batch, classes, rows, columns]`.
    pub(super) is_row: bool,
    pub(super) properties: Vec<StringStringEntryProto>,
}

impl Document {
    pub(super) fn encode(self) -> Result<Vec<u8>, ConstantError> {
        let (input, scores) = (self.input, self.scores);
        let doc = "One image: pixels from 0 to 255, minus the property graft.input.mean, divided by graft.input.std.";
        let batch = Dim::Any("batch");
        let image = [
            batch,
            Dim::Of(input.channels),
            Dim::Of(input.height),
            Dim::Of(input.width),
        ];
        let mut output = vec![batch, Dim::Of(scores.channels)];
        if !self.is_row {
            output.extend([scores.height, scores.width].map(Dim::Of));
        }
        let (node, initializer) = self.graph.finish()?;
        let graph = GraphProto {
            name: self.name,
            node,
            initializer,
            input: vec![interface(INPUT, doc, &image)],
            output: vec![interface(
                SCORES,
                "One score a class, before softmax.",
                &output,
            )],
            ..GraphProto::default()
        };
        let model = build::model(
            "patchtool",
            env!("CARGO_PKG_VERSION"),
            graph,
            self.properties,
        )
        .encode_to_vec();
        Ok(model)
    }
}
