//! Labels of a model that the class folders of a data set mean.

use super::{composed, listed};

/// Reasons why class folders cannot be matched with labels.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassesError {
    /// Folders that name no label and start with no class index.
    #[error("no label for {} of {total} class folders: {}", folders.len(), listed(folders))]
    Unmapped {
        /// Their names.
        folders: Vec<String>,
        /// Number of class folders.
        total: usize,
        /// Number of labels of the model.
        labels: usize,
        /// One of them.
        example: String,
        /// A class folder that has a label's name; then numbers are no class indices.
        named: Option<String>,
    },
    /// Folders whose name several labels share.
    #[error(
        "several labels have the name of the class folders {}",
        listed(folders)
    )]
    Ambiguous {
        /// Their names.
        folders: Vec<String>,
    },
}

impl ClassesError {
    /// Advice to the user.
    pub fn hint(&self) -> String {
        match self {
            Self::Unmapped { labels: 0, .. } => "the model has no classes".to_owned(),
            Self::Unmapped {
                labels,
                example,
                named: Some(named),
                ..
            } => format!(
                "name a class folder like one of the {labels} labels (such as {example}) or take it out: a class index in \
                 front, 0 to {}, counts only where no folder has a label's name, as {named} has",
                labels - 1
            ),
            Self::Unmapped {
                labels, example, ..
            } => format!(
                "name a class folder like one of the {labels} labels (such as {example}) or start it with the class \
                 index, 0 to {}, as in 0042_name",
                labels - 1
            ),
            Self::Ambiguous { .. } => {
                "start the folder's name with the class index, as in 0042_name".to_owned()
            }
        }
    }
}

/// The index of every class folder among `count` classes: the label of that name, else the number the name starts with.
/// Without `labels` every class goes by its number.
///
/// Names are compared in Unicode's composed form. The number must end with the name or be followed by something other
/// than a letter, so that `3d_printer` is not taken for class 3. Once any folder has a label's name, a number alone says
/// nothing, so that `2 euro` is not taken for the class 2 beside `1 euro`; `2_crane` still is where label 2 is `crane`.
/// Several folders may mean one class.
pub fn map_classes(
    classes: &[String],
    labels: &[String],
    count: usize,
) -> Result<Vec<usize>, ClassesError> {
    let labels: Vec<String> = labels.iter().map(|label| composed(label)).collect();
    let named = |class: &String| labels.contains(class);
    let any_named = classes.iter().find(|&class| named(class));
    let (mut indices, mut unmapped, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new());
    for class in classes {
        let mut of_that_name = (0..labels.len()).filter(|&index| labels[index] == *class);
        match (of_that_name.next(), of_that_name.next()) {
            (Some(index), None) => indices.push(index),
            (Some(_), Some(_)) => ambiguous.push(class.clone()),
            _ => match leading_number(class) {
                Some((index, rest))
                    if index < count
                        && (any_named.is_none()
                            || labels.get(index).is_some_and(|label| label == rest)) =>
                {
                    indices.push(index);
                }
                _ => unmapped.push(class.clone()),
            },
        }
    }
    if !unmapped.is_empty() {
        return Err(ClassesError::Unmapped {
            folders: unmapped,
            total: classes.len(),
            labels: count,
            example: labels.first().cloned().unwrap_or_else(|| "0".to_owned()),
            named: any_named.cloned(),
        });
    }
    if !ambiguous.is_empty() {
        return Err(ClassesError::Ambiguous { folders: ambiguous });
    }
    Ok(indices)
}

/// The number that a name starts with, and what follows it and one separator.
fn leading_number(name: &str) -> Option<(usize, &str)> {
    let digits = name
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(name.len());
    let (number, rest) = name.split_at(digits);
    if rest.starts_with(char::is_alphabetic) {
        return None;
    }
    let rest = rest.char_indices().nth(1).map_or("", |(at, _)| &rest[at..]);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn mapped(classes: &[&str], labels: &[&str]) -> Result<Vec<usize>, ClassesError> {
        map_classes(&strings(classes), &strings(labels), labels.len())
    }

    #[test]
    fn names_come_before_numbers() {
        assert_eq!(mapped(&["cat", "dog"], &["dog", "cat"]).unwrap(), [1, 0]);
        assert_eq!(mapped(&["0", "1"], &["1", "0"]).unwrap(), [1, 0]);
        assert_eq!(
            mapped(&["0002_n01", "1", "0-x", "2"], &["a", "b", "dog"]).unwrap(),
            [2, 1, 0, 2]
        );
        let numbers = map_classes(&strings(&["00", "1", "2_x"]), &[], 3);
        assert_eq!(numbers.unwrap(), [0, 1, 2]);
    }

    #[test]
    fn a_number_beside_names_is_refused() {
        let labels = ["1 euro", "10 euro", "5 euro"];
        let error = mapped(&["1 euro", "10 euro", "2 euro", "5 euro"], &labels).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no label for 1 of 4 class folders: 2 euro"
        );
        assert!(error.hint().contains("as 1 euro has"), "{}", error.hint());
        // The label says the same as the number.
        assert_eq!(
            mapped(&["x", "0_crane", "2_crane"], &["crane", "x", "crane"]).unwrap(),
            [1, 0, 2]
        );
    }

    #[test]
    fn labels_are_compared_in_composed_form() {
        assert_eq!(
            mapped(&["caf\u{e9}"], &["tea", "cafe\u{301}"]).unwrap(),
            [1]
        );
    }

    #[test]
    fn what_is_neither_is_listed() {
        let error = mapped(
            &["a", "3d_printer", "9_x", "99999999999999999999999", "é"],
            &["a", "b", "c", "d"],
        );
        let error = error.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no label for 4 of 5 class folders: 3d_printer, 9_x, 9999"),
            "{error}"
        );
        assert!(error.hint().contains("0 to 3"), "{}", error.hint());
        assert_eq!(
            mapped(&["a"], &[]).unwrap_err().hint(),
            "the model has no classes"
        );
        let many: Vec<String> = (0..8).map(|n| format!("class{n}")).collect();
        assert!(
            map_classes(&many, &many[..1], 1)
                .unwrap_err()
                .to_string()
                .ends_with("class5 and 2 more")
        );
    }

    #[test]
    fn labels_of_one_name_need_a_number() {
        assert!(matches!(
            mapped(&["crane"], &["crane", "x", "crane"]),
            Err(ClassesError::Ambiguous { .. })
        ));
        assert_eq!(mapped(&["2_crane"], &["crane", "x", "crane"]).unwrap(), [2]);
    }
}
