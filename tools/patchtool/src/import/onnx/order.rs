//! The nodes that the output needs, in execution order, and the number of reads of each value.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::node::Node;
use crate::import::error::ImportError;

/// The needed nodes in execution order.
pub(super) struct Order<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    /// Reads of each value by needed nodes and by the graph's output. A node that asks only for a value's shape or
    /// type doesn't count.
    pub(super) reads: HashMap<&'a str, usize>,
}

/// Orders the nodes that `output` depends on. Nodes that are in order already stay as they are.
pub(super) fn order<'a>(nodes: &[Node<'a>], output: &'a str) -> Result<Order<'a>, ImportError> {
    let producers = producers(nodes)?;
    let needed = needed(nodes, &producers, output);
    let mut waiting: HashMap<usize, usize> = HashMap::new();
    let mut readers: HashMap<usize, Vec<usize>> = HashMap::new();
    for &index in &needed {
        let sources: HashSet<usize> = nodes[index]
            .inputs()
            .filter_map(|name| producers.get(name).copied())
            .collect();
        waiting.insert(index, sources.len());
        for source in sources {
            readers.entry(source).or_default().push(index);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(&index, _)| Reverse(index))
        .collect();
    let mut ordered = Vec::new();
    while let Some(Reverse(index)) = ready.pop() {
        ordered.push(nodes[index]);
        waiting.remove(&index);
        for &reader in readers.get(&index).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(&reader) {
                *count -= 1;
                if *count == 0 {
                    ready.push(Reverse(reader));
                }
            }
        }
    }
    if let Some(&stuck) = waiting.keys().min() {
        return Err(ImportError::MalformedGraph {
            why: format!("node {:?} depends on itself", nodes[stuck].name()),
        });
    }
    let reads = reads(&ordered, output);
    Ok(Order {
        nodes: ordered,
        reads,
    })
}

fn producers<'a>(nodes: &[Node<'a>]) -> Result<HashMap<&'a str, usize>, ImportError> {
    let mut producers = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        for output in node.outputs() {
            if producers.insert(output, index).is_some() {
                return Err(node.malformed(format!("{output:?} is the output of two nodes")));
            }
        }
    }
    Ok(producers)
}

fn needed(nodes: &[Node<'_>], producers: &HashMap<&str, usize>, output: &str) -> HashSet<usize> {
    let mut needed = HashSet::new();
    let mut open: Vec<usize> = producers.get(output).copied().into_iter().collect();
    while let Some(index) = open.pop() {
        if needed.insert(index) {
            open.extend(nodes[index].inputs().filter_map(|name| producers.get(name)));
        }
    }
    needed
}

fn reads<'a>(nodes: &[Node<'a>], output: &'a str) -> HashMap<&'a str, usize> {
    let mut reads = HashMap::from([(output, 1)]);
    for node in nodes {
        for name in (0..values_read(*node)).filter_map(|index| node.input(index)) {
            *reads.entry(name).or_default() += 1;
        }
    }
    reads
}

/// The number of inputs that a node reads the values of; the others only lend their shape or type.
pub(super) fn values_read(node: Node<'_>) -> usize {
    match node.op().as_str() {
        "Shape" => 0,
        "CastLike" => node.input_count().min(1),
        _ => node.input_count(),
    }
}
