//! Images and labels: from files to what a network reads.
//!
//! [`dataset`] finds the images of a folder or an archive and says what is [`left_out`], [`image_file`] decodes one,
//! [`preprocess`] makes it the network's input and [`parallel`] does all three for many images on every core. [`labels`]
//! reads what the classes are called, [`classes`] finds the class folders of a data set among them.
//!
//! Training sees the same images many times. [`split`] says which are trained on and which are held back, a
//! [`training_set`] and an [`evaluation_set`] keep them in memory ([`cache`]), [`augment`] changes the former at
//! [`random`], and [`batches`] prepares the inputs ahead of the trainer.

mod archive;
pub mod augment;
pub mod batches;
pub mod cache;
mod cache_file;
pub mod classes;
mod colour;
pub mod dataset;
mod dataset_error;
pub mod evaluation_set;
#[cfg(test)]
mod fixture;
pub mod folder;
pub mod image_file;
mod jpeg;
pub mod labels;
mod layout;
pub mod left_out;
mod links;
mod names;
pub mod output;
pub mod parallel;
pub mod preprocess;
pub mod random;
mod read_at;
mod resample;
pub mod split;
mod tar_file;
pub mod training_set;
mod zip_file;

pub use names::composed;

/// A decoded image whose pixels belong to a set of many.
pub type ImageView<'a> = image::ImageBuffer<image::Rgb<u8>, &'a [u8]>;

/// Names for an error message: the first few, then how many more there are.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    first(names, 5)
}

/// The first `count` names for an error message, then how many more there are.
pub fn first<S: AsRef<str>>(names: &[S], count: usize) -> String {
    let shown: Vec<&str> = names.iter().take(count).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(count) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
