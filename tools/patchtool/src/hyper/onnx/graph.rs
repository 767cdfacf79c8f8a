//! The operations of a generator as ONNX nodes. A value is the name of what a node writes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::ops::Range;

use graft_onnx::Message as _;
use graft_onnx::build::{self, floats, halves, int, integers, ints};
use graft_onnx::proto::{AttributeProto, DataType, NodeProto, TensorProto};

use super::Parameters;
use crate::hyper::network::Generator;
use crate::hyper::ops::{Ops, Window};
use crate::hyper::parameter::Precision;

/// Begins the names of initialisers that are parameters: inputs have names of their own, such as `labels`.
pub(super) const PARAMETER: &str = "parameter.";

/// A graph under construction.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    shapes: HashMap<String, [usize; 2]>,
    /// Without them, initialisers have no values.
    parameters: Option<&'a Parameters>,
    precision: Precision,
    nodes: RefCell<Vec<NodeProto>>,
    /// Output of each node by its encoded rest: what is computed twice is one node.
    known: RefCell<HashMap<Vec<u8>, String>>,
    initialisers: RefCell<BTreeMap<String, TensorProto>>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        generator: &Generator,
        parameters: Option<&'a Parameters>,
        precision: Precision,
    ) -> Self {
        let all = generator.parameters().into_iter();
        Self {
            shapes: all.map(|own| (own.name, own.shape)).collect(),
            parameters,
            precision,
            nodes: RefCell::default(),
            known: RefCell::default(),
            initialisers: RefCell::default(),
        }
    }

    /// Makes a value an output.
    pub(super) fn output(&self, name: &str, value: &str) {
        let mut node = build::node("Identity", vec![value.to_owned()], Vec::new());
        node.name = name.to_owned();
        node.output = vec![name.to_owned()];
        self.nodes.borrow_mut().push(node);
    }

    pub(super) fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        let initialisers = self.initialisers.into_inner();
        (
            self.nodes.into_inner(),
            initialisers.into_values().collect(),
        )
    }

    /// The output of an operator.
    fn node(&self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let inputs = inputs.iter().map(|&name| name.to_owned()).collect();
        let mut node = build::node(op, inputs, attributes);
        let mut known = self.known.borrow_mut();
        let next = format!("graft.{}.{op}", known.len());
        let name = known.entry(node.encode_to_vec()).or_insert(next.clone());
        if *name == next {
            node.name = next.clone();
            node.output = vec![next];
            self.nodes.borrow_mut().push(node);
        }
        name.clone()
    }

    /// Adds a constant once.
    fn constant(&self, name: String, make: impl FnOnce(&str) -> TensorProto) -> String {
        let mut all = self.initialisers.borrow_mut();
        let proto = all.entry(name.clone()).or_insert_with(|| make(&name));
        proto.name.clone()
    }

    fn number(&self, value: f32) -> String {
        let name = format!("graft.number.{value:e}");
        self.constant(name, |name| floats(name, &[], &[value]))
    }

    fn integers(&self, values: &[i64]) -> String {
        let name = format!("graft.integers{}", joined(values));
        self.constant(name, |name| integers(name, values))
    }

    fn slice(&self, a: &str, [start, end]: [&str; 2], axis: i64) -> String {
        self.node("Slice", &[a, start, end, &self.integers(&[axis])], vec![])
    }

    fn concat(&self, parts: &[String], axis: usize) -> String {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.node("Concat", &parts, vec![int("axis", axis)])
    }

    fn reshape(&self, a: &str, shape: &[i64]) -> String {
        self.node("Reshape", &[a, &self.integers(shape)], vec![])
    }

    /// Means over some axes, which stay with size 1, or are dropped.
    fn means(&self, a: &str, axes: &[usize], keep: bool) -> String {
        let attributes = vec![ints("axes", axes), int("keepdims", keep.into())];
        self.node("ReduceMean", &[a], attributes)
    }

    /// Values without their mean over some axes, the variance, and the mean.
    fn moments(&self, a: &str, axes: &[usize]) -> [String; 3] {
        let mean = self.means(a, axes, true);
        let rest = self.node("Sub", &[a, &mean], vec![]);
        let variance = self.means(&self.mul(&rest, &rest), axes, true);
        [rest, variance, mean]
    }
}

fn joined(values: &[impl Display]) -> String {
    values.iter().map(|value| format!(".{value}")).collect()
}

impl Ops for Graph<'_> {
    type Matrix = String;
    type Maps = String;

    fn parameter(&self, name: &str) -> String {
        let make = match self.precision {
            Precision::F32 => floats,
            Precision::F16 => halves,
        };
        let values = self.parameters.map_or(&[][..], |all| &all[name]);
        let stored = self.constant(format!("{PARAMETER}{name}"), |known| {
            make(known, &self.shapes[name], values)
        });
        match self.precision {
            Precision::F32 => stored,
            Precision::F16 => {
                let to = int("to", DataType::Float as usize);
                self.node("Cast", &[&stored], vec![to])
            }
        }
    }

    fn matmul(&self, a: &String, b: &String) -> String {
        self.node("MatMul", &[a, b], vec![])
    }

    fn transpose(&self, a: &String) -> String {
        self.node("Transpose", &[a], vec![ints("perm", &[1, 0])])
    }

    fn add(&self, a: &String, b: &String) -> String {
        self.node("Add", &[a, b], vec![])
    }

    fn mul(&self, a: &String, b: &String) -> String {
        self.node("Mul", &[a, b], vec![])
    }

    fn scale(&self, a: &String, factor: f32) -> String {
        self.mul(a, &self.number(factor))
    }

    fn relu(&self, a: &String) -> String {
        self.node("Relu", &[a], vec![])
    }

    fn softmax(&self, a: &String) -> String {
        self.node("Softmax", &[a], vec![int("axis", 1)])
    }

    fn standardize(&self, a: &String, epsilon: f32) -> String {
        let [rest, variance, _] = self.moments(a, &[1]);
        self.mul(&rest, &self.inverse_sqrt(&variance, epsilon))
    }

    fn sum_columns(&self, a: &String) -> String {
        self.node("ReduceSum", &[a, &self.integers(&[1])], vec![])
    }

    fn inverse(&self, a: &String) -> String {
        self.node("Reciprocal", &[a], vec![])
    }

    fn inverse_sqrt(&self, a: &String, epsilon: f32) -> String {
        let root = self.node("Sqrt", &[&self.add(a, &self.number(epsilon))], vec![]);
        self.inverse(&root)
    }

    fn rows_like(&self, a: &String, like: &String) -> String {
        let rows = self.node("Shape", &[like], vec![int("start", 0), int("end", 1)]);
        self.slice(a, [&self.integers(&[0]), &rows], 0)
    }

    fn columns(&self, a: &String, range: Range<usize>) -> String {
        let [start, end] = [range.start, range.end].map(|at| self.integers(&[at as i64]));
        self.slice(a, [&start, &end], 1)
    }

    fn concat_rows(&self, parts: &[String]) -> String {
        self.concat(parts, 0)
    }

    fn concat_columns(&self, parts: &[String]) -> String {
        self.concat(parts, 1)
    }

    fn pad_columns(&self, a: &String, count: usize) -> String {
        if count == 0 {
            return a.clone();
        }
        let padding = self.integers(&[0, 0, 0, count as i64]);
        self.node("Pad", &[a, &padding], vec![])
    }

    fn conv(&self, x: &String, filters: &String, window: Window) -> String {
        let side = window.kernel as i64;
        // 0 takes the outputs over, -1 are the inputs.
        let filters = self.reshape(filters, &[0, -1, side, side]);
        let attributes = vec![
            ints("kernel_shape", &[window.kernel; 2]),
            ints("strides", &[window.stride; 2]),
            ints("pads", &[window.padding; 4]),
        ];
        self.node("Conv", &[x, &filters], attributes)
    }

    fn affine(&self, x: &String, scale: Option<&String>, bias: &String) -> String {
        let channels = |row| self.reshape(row, &[1, -1, 1, 1]);
        match scale {
            Some(scale) => self.add(&self.mul(x, &channels(scale)), &channels(bias)),
            None => self.add(x, &channels(bias)),
        }
    }

    fn statistics(&self, x: &String) -> (String, String) {
        let [_, variance, mean] = self.moments(x, &[0, 2, 3]);
        (
            self.reshape(&mean, &[1, -1]),
            self.reshape(&variance, &[1, -1]),
        )
    }

    fn relu_maps(&self, x: &String) -> String {
        self.relu(x)
    }

    fn max_pool(&self, x: &String) -> String {
        let sides = [2, 2];
        let attributes = vec![ints("kernel_shape", &sides), ints("strides", &sides)];
        self.node("MaxPool", &[x], attributes)
    }

    fn mean(&self, x: &String) -> String {
        self.means(x, &[2, 3], false)
    }
}
