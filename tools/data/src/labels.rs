//! The names of a model's classes, read from a text file.
//!
//! Two forms are understood. One label a line, in the order of the classes:
//!
//! ```text
//! cat
//! dog
//! ```
//!
//! A table with tabs between its columns. With a header that starts with `index`, the label is in the column `name` or
//! `label`, else in the last one; without a header the first column is the index and the last the label:
//!
//! ```text
//! index   wordnet     name
//! 0       n01440764   tench
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::composed;

/// Reasons why a file of labels cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The file cannot be opened, or is not text.
    #[error("cannot read the labels {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A line that makes no sense.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The problem.
        problem: LineProblem,
    },
    /// No labels at all.
    #[error("no labels in {}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A table that skips a class.
    #[error("{}: class {index} has no label", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The first class without a label.
        index: usize,
    },
}

/// Problems of one line of a labels file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Nothing where the label should be.
    #[error("the label is empty")]
    NoLabel,
    /// The first column of a table is not a class index.
    #[error("found {0:?}, expected a class index")]
    NoIndex(String),
    /// Two lines for one class.
    #[error("class {0} already has a label")]
    Repeated(usize),
    /// A line without the columns of the others.
    #[error("found {found} columns, expected {expected}")]
    Columns {
        /// On this line.
        found: usize,
        /// On the first line.
        expected: usize,
    },
}

impl LabelsError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "check the path, the permissions and that it is a UTF-8 text file"
            }
            Self::Missing { .. } => "indices start at 0 and leave nothing out",
            Self::Line { .. } | Self::Empty { .. } => {
                "write one label a line, or a table of index, tab, label"
            }
        }
    }
}

/// Reads the labels in `path`, in the order of the classes and in Unicode's composed form, as class folders are named.
pub fn read_labels(path: &Path) -> Result<Vec<String>, LabelsError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(LabelsError::Unreadable { path, source }),
    };
    let text = text.trim_start_matches('\u{feff}').trim_end();
    let Some(first) = text.lines().next() else {
        return Err(LabelsError::Empty { path });
    };
    let labels = if first.contains('\t') {
        table(text)
    } else {
        list(text)
    };
    let labels = match labels {
        Ok(labels) if labels.is_empty() => return Err(LabelsError::Empty { path }),
        Ok(labels) => labels,
        Err((line, problem)) => {
            return Err(LabelsError::Line {
                path,
                line,
                problem,
            });
        }
    };
    match labels
        .keys()
        .zip(0..)
        .find(|&(&index, expected)| index != expected)
    {
        Some((_, index)) => Err(LabelsError::Missing { path, index }),
        None => Ok(labels.values().map(|label| composed(label)).collect()),
    }
}

/// Labels by class index, or the line that is wrong.
type Parsed = Result<BTreeMap<usize, String>, (usize, LineProblem)>;

fn list(text: &str) -> Parsed {
    let labels = text.lines().map(str::trim).enumerate();
    labels
        .map(|(index, label)| match label {
            "" => Err((index + 1, LineProblem::NoLabel)),
            _ => Ok((index, label.to_owned())),
        })
        .collect()
}

fn table(text: &str) -> Parsed {
    let mut lines = (1..).zip(text.lines()).peekable();
    let header: Vec<&str> = lines.peek().map_or(Vec::new(), |(_, first)| {
        first.split('\t').map(str::trim).collect()
    });
    let mut label_column = header.len().saturating_sub(1);
    if header
        .first()
        .is_some_and(|first| first.eq_ignore_ascii_case("index"))
    {
        let named =
            |name: &&str| name.eq_ignore_ascii_case("name") || name.eq_ignore_ascii_case("label");
        label_column = header.iter().position(named).unwrap_or(label_column);
        lines.next();
    }
    let mut labels = BTreeMap::new();
    for (line, text) in lines {
        let (index, label) =
            row(text, header.len(), label_column).map_err(|problem| (line, problem))?;
        if labels.insert(index, label).is_some() {
            return Err((line, LineProblem::Repeated(index)));
        }
    }
    Ok(labels)
}

fn row(line: &str, columns: usize, label_column: usize) -> Result<(usize, String), LineProblem> {
    let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
    if cells.len() != columns {
        return Err(LineProblem::Columns {
            found: cells.len(),
            expected: columns,
        });
    }
    let index = cells[0]
        .parse()
        .map_err(|_| LineProblem::NoIndex(cells[0].to_owned()))?;
    match cells[label_column] {
        "" => Err(LineProblem::NoLabel),
        label => Ok((index, label.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<String>, LabelsError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_labels(file.path())
    }

    fn problem(text: &str) -> (usize, LineProblem) {
        let error = read(text).unwrap_err();
        let LabelsError::Line { line, problem, .. } = error else {
            panic!("{error}");
        };
        (line, problem)
    }

    #[test]
    fn lists_and_tables_are_read() {
        assert_eq!(
            read("\u{feff}tench, Tinca tinca\r\ngoldfish\r\n\n").unwrap(),
            ["tench, Tinca tinca", "goldfish"]
        );
        assert_eq!(
            read("index\twordnet\tname\n1\tn2\tgoldfish\n0\tn1\ttench\n").unwrap(),
            ["tench", "goldfish"]
        );
        assert_eq!(read("cafe\u{301}").unwrap(), ["caf\u{e9}"]);
        assert_eq!(read("Index\tLabel\tnote\n0\ta\tx").unwrap(), ["a"]);
        assert_eq!(read("index\tenglish\n0\ta b").unwrap(), ["a b"]);
        assert_eq!(read("0\ta\n1\ta\n").unwrap(), ["a", "a"]);
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(problem("a\n\nb"), (2, LineProblem::NoLabel));
        assert_eq!(
            problem("index\tname\n0\t \n1\tb"),
            (2, LineProblem::NoLabel)
        );
        assert_eq!(
            problem("0\ta\nx\tb"),
            (2, LineProblem::NoIndex("x".to_owned()))
        );
        assert_eq!(problem("0\ta\n1\tb\n0\tc"), (3, LineProblem::Repeated(0)));
        assert_eq!(
            problem("0\ta\nb"),
            (
                2,
                LineProblem::Columns {
                    found: 1,
                    expected: 2
                }
            )
        );
        let shown = read("0\ta\n-1\tb").unwrap_err().to_string();
        assert!(
            shown.ends_with("line 2: found \"-1\", expected a class index"),
            "{shown}"
        );
    }

    #[test]
    fn files_without_all_labels_are_refused() {
        assert!(matches!(read(" \n\n"), Err(LabelsError::Empty { .. })));
        assert!(matches!(
            read("index\tname\n"),
            Err(LabelsError::Empty { .. })
        ));
        assert!(matches!(
            read("1\ta\n2\tb"),
            Err(LabelsError::Missing { index: 0, .. })
        ));
        assert!(matches!(
            read("0\ta\n18446744073709551615\tb"),
            Err(LabelsError::Missing { index: 1, .. })
        ));
        assert!(matches!(
            read([0xFF, 0xFE, 0x00]),
            Err(LabelsError::Unreadable { .. })
        ));
        assert!(matches!(
            read_labels(Path::new("/no/labels")),
            Err(LabelsError::Unreadable { .. })
        ));
    }
}
