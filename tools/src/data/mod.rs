//! Images and labels: from files to what a network reads.
//!
//! [`dataset`] finds the images of a folder or a tar archive, [`image_file`] decodes one, [`preprocess`] makes it the
//! network's input and [`parallel`] does all three for many images on every core. [`labels`] reads what the classes
//! are called, [`classes`] finds the class folders of a data set among them.

pub mod classes;
pub mod dataset;
mod folder;
pub mod image_file;
pub mod labels;
mod layout;
pub mod parallel;
pub mod preprocess;
pub mod random;
pub mod split;
mod tar_file;

/// Names for an error message: the first few, then how many more there are.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
