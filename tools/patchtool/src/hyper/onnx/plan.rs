//! A generator, ready to run for one number of images and of classes.

use std::sync::Arc;

use graft_onnx::Message as _;
use graft_onnx::proto::ModelProto;
use tract_onnx::prelude::{
    DatumExt as _, Framework as _, InferenceModelExt as _, IntoRunnable as _, TValue, TVec, Tensor,
    TractResult, TypedSimplePlan,
};

use super::{Port, inputs, outputs};
use crate::hyper::config::Config;

/// Analysed and optimised by tract, which needs every size. That takes longer than running it.
#[derive(Debug)]
pub(in crate::hyper) struct Plan {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<Vec<usize>>,
    outputs: Vec<Port>,
}

impl Plan {
    pub(in crate::hyper) fn new(
        model: &ModelProto,
        config: &Config,
        [images, classes]: [usize; 2],
    ) -> TractResult<Self> {
        let inputs: Vec<_> = inputs(config)
            .iter()
            .map(|port| port.shape(images, classes))
            .collect();
        let bytes = model.encode_to_vec();
        let mut graph = tract_onnx::onnx().model_for_read(&mut &bytes[..])?;
        for (index, shape) in inputs.iter().enumerate() {
            graph.set_input_fact(index, f32::fact(shape).into())?;
        }
        Ok(Self {
            plan: graph.into_optimized()?.into_runnable()?,
            inputs,
            outputs: outputs(config),
        })
    }

    /// Runs it on values of all inputs in their order, and returns those of all outputs by name.
    pub(in crate::hyper) fn run(&self, inputs: &[&[f32]]) -> TractResult<Vec<(String, Vec<f32>)>> {
        let tensor = |(shape, values): (&Vec<usize>, &&[f32])| -> TractResult<TValue> {
            Ok(Tensor::from_shape(shape, values)?.into())
        };
        let inputs: TVec<TValue> = self
            .inputs
            .iter()
            .zip(inputs)
            .map(tensor)
            .collect::<TractResult<_>>()?;
        let values = self.plan.run(inputs)?;
        self.outputs
            .iter()
            .zip(values.iter())
            .map(|(port, value)| {
                let values = value.view().as_slice::<f32>()?.to_vec();
                Ok((port.name.clone(), values))
            })
            .collect()
    }
}
