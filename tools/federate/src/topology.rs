//! Who learns from whom.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};
use patchtool::hint::Hint;

/// The graph of clients. Written `complete`, `ring`, or the path of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topology {
    /// Everybody from everybody.
    Complete,
    /// Everybody from the two beside it.
    Ring,
    /// Two names a line, who learn from each other.
    File(PathBuf),
}

impl FromStr for Topology {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "complete" => Self::Complete,
            "ring" => Self::Ring,
            path => Self::File(path.into()),
        })
    }
}

impl Topology {
    /// The neighbours of each client, by index.
    ///
    /// # Errors
    /// A file that cannot be read, or names nobody.
    pub fn neighbours(&self, clients: &[String]) -> Result<Vec<Vec<usize>>> {
        let count = clients.len();
        let edges: Vec<(usize, usize)> = match self {
            Self::Complete => (0..count)
                .flat_map(|a| (0..a).map(move |b| (a, b)))
                .collect(),
            Self::Ring => (0..count).map(|a| (a, (a + 1) % count)).collect(),
            Self::File(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the topology {}", path.display()))?;
                text.lines()
                    .filter(|line| !line.trim().is_empty())
                    .map(|line| edge(line, clients))
                    .collect::<Result<_>>()?
            }
        };
        let mut neighbours = vec![BTreeSet::new(); count];
        for (a, b) in edges.into_iter().filter(|(a, b)| a != b) {
            neighbours[a].insert(b);
            neighbours[b].insert(a);
        }
        Ok(neighbours.into_iter().map(Vec::from_iter).collect())
    }
}

fn edge(line: &str, clients: &[String]) -> Result<(usize, usize)> {
    let index = |name: &str| clients.iter().position(|client| client == name);
    let names: Vec<&str> = line.split_whitespace().collect();
    let [a, b] = names[..] else {
        bail!(Hint::new(
            format!("a line of the topology is {line:?}"),
            "write the names of two clients on each line",
        ));
    };
    match (index(a), index(b)) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => bail!(Hint::new(
            format!(
                "the topology has {line:?}, the clients are {}",
                clients.join(", ")
            ),
            "name clients as they are, two on each line",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn names() -> Vec<String> {
        ["a", "b", "c", "d"].map(String::from).to_vec()
    }

    #[test]
    fn graphs_have_their_edges_both_ways() {
        let of = |text: &str| text.parse::<Topology>().unwrap().neighbours(&names());
        assert_eq!(of("complete").unwrap()[1], [0, 2, 3]);
        assert_eq!(of("ring").unwrap(), [[1, 3], [0, 2], [1, 3], [0, 2]]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "a b\n\nc b\nb a").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        assert_eq!(of(&path).unwrap(), [vec![1], vec![0, 2], vec![1], vec![]]);
        writeln!(file, "a e").unwrap();
        assert!(of(&path).unwrap_err().to_string().contains("a, b, c, d"));
        assert!(of("/no/such/file").is_err());
        let two = Topology::Ring.neighbours(&names()[..2]).unwrap();
        assert_eq!(two, [[1], [0]]);
    }
}
