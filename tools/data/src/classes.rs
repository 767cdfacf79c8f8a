//! Labels of a model that the class folders of a data set mean.

use super::listed;

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
            Self::Unmapped { labels: 0, .. } => "the model has no labels".to_owned(),
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

/// The index into `labels` of every class folder: the label of that name, else the number the name starts with.
///
/// The number must end with the name or be followed by something other than a letter, so that `3d_printer` is not
/// taken for class 3. Several folders may mean one class.
pub fn map_classes(classes: &[String], labels: &[String]) -> Result<Vec<usize>, ClassesError> {
    let (mut indices, mut unmapped, mut ambiguous) = (Vec::new(), Vec::new(), Vec::new());
    for class in classes {
        let mut named = (0..labels.len()).filter(|&index| labels[index] == *class);
        match (named.next(), named.next()) {
            (Some(index), None) => indices.push(index),
            (Some(_), Some(_)) => ambiguous.push(class.clone()),
            _ => match leading_number(class).filter(|&index| index < labels.len()) {
                Some(index) => indices.push(index),
                None => unmapped.push(class.clone()),
            },
        }
    }
    if !unmapped.is_empty() {
        let example = labels.first().cloned().unwrap_or_default();
        return Err(ClassesError::Unmapped {
            folders: unmapped,
            total: classes.len(),
            labels: labels.len(),
            example,
        });
    }
    if !ambiguous.is_empty() {
        return Err(ClassesError::Ambiguous { folders: ambiguous });
    }
    Ok(indices)
}

fn leading_number(name: &str) -> Option<usize> {
    let digits = name
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(name.len());
    let (number, rest) = name.split_at(digits);
    if rest.starts_with(char::is_alphabetic) {
        None
    } else {
        number.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn mapped(classes: &[&str], labels: &[&str]) -> Result<Vec<usize>, ClassesError> {
        map_classes(&strings(classes), &strings(labels))
    }

    #[test]
    fn names_come_before_numbers() {
        assert_eq!(mapped(&["cat", "dog"], &["dog", "cat"]).unwrap(), [1, 0]);
        assert_eq!(mapped(&["0", "1"], &["1", "0"]).unwrap(), [1, 0]);
        assert_eq!(
            mapped(&["0002_n01", "1", "0-x", "dog"], &["a", "b", "dog"]).unwrap(),
            [2, 1, 0, 2]
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
            "the model has no labels"
        );
        let many: Vec<String> = (0..8).map(|n| format!("class{n}")).collect();
        assert!(
            map_classes(&many, &many[..1])
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
