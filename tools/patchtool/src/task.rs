//! A backbone and its patches as a command sees them: with names, labels and preprocessing.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use graft_patches::metadata::{BackboneMetadata, Fit, Resize};
use graft_patches::records::{Input, What};
use graft_runtime::{Backbone, Patch};

use crate::hint::Hint;
use crate::input;
use graft_data::preprocess::{self, Channels, Preprocess};

/// A patch, or the backbone's own values, ready to run on photographs.
#[derive(Debug)]
pub struct Task {
    /// File name of the patch, or the name of the backbone.
    pub name: String,
    /// The patch to run.
    pub patch: Patch,
    /// Class names; may be empty.
    pub labels: Vec<String>,
    /// From a photograph to the input.
    pub preprocess: Preprocess,
}

impl Task {
    /// Name of a class, or its number.
    pub fn label(&self, index: usize) -> String {
        let label = self.labels.get(index).cloned();
        label.unwrap_or_else(|| format!("class {index}"))
    }
}

/// Opens a backbone and its patches; without patches, the backbone's own head and epilogues.
///
/// # Errors
/// Whatever cannot be opened or bound.
pub fn open(backbone: &Path, patches: &[PathBuf]) -> Result<(Backbone, Vec<Task>)> {
    let backbone = input::backbone(backbone)?;
    let metadata = backbone.image().metadata()?;
    if patches.is_empty() {
        let task = own_task(&backbone, &metadata)?;
        return Ok((backbone, vec![task]));
    }
    let tasks = patch_files(patches)?
        .iter()
        .map(|path| open_task(path, &backbone, &metadata))
        .collect::<Result<_>>()?;
    Ok((backbone, tasks))
}

/// The task that a backbone, which has this metadata, serves without a patch.
///
/// # Errors
/// An input that is no photograph.
pub fn own_task(backbone: &Backbone, metadata: &BackboneMetadata) -> Result<Task> {
    let labels = metadata.labels.clone();
    task(
        metadata.name.clone(),
        backbone.identity(),
        labels,
        metadata.resize,
    )
}

/// Opens a patch of a backbone, which has this metadata.
///
/// # Errors
/// Whatever cannot be opened or bound.
pub fn open_task(path: &Path, backbone: &Backbone, base: &BackboneMetadata) -> Result<Task> {
    let patch = input::patch(path, backbone)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    patch_task(name.to_string_lossy().into_owned(), patch, backbone, base)
        .with_context(|| format!("cannot use {}", path.display()))
}

/// The task of this name that a patch serves, which is bound to this backbone.
///
/// # Errors
/// Metadata that cannot be read, an input that is no photograph.
pub fn patch_task(
    name: String,
    patch: Patch,
    backbone: &Backbone,
    base: &BackboneMetadata,
) -> Result<Task> {
    let own = patch.image().map(|image| image.metadata()).transpose()?;
    let own = own.unwrap_or_default();
    // Labels belong to the head: a patch without one keeps the backbone's.
    let image = backbone.image();
    let replaced = |head| {
        patch
            .image()
            .is_some_and(|patch| patch.find(head, What::Weights).is_some())
    };
    let labels = if image.head().is_some_and(replaced) {
        own.labels
    } else {
        base.labels.clone()
    };
    task(name, patch, labels, own.resize)
}

fn task(name: String, patch: Patch, labels: Vec<String>, resize: Resize) -> Result<Task> {
    Ok(Task {
        name,
        preprocess: preprocess(&patch.input(), resize)?,
        patch,
        labels,
    })
}

/// From a photograph to this input.
///
/// # Errors
/// An input that is no photograph.
pub fn preprocess(input: &Input, resize: Resize) -> Result<Preprocess> {
    let Some(channels) = Channels::from_count(input.shape.channels) else {
        bail!(Hint::new(
            format!(
                "photographs have 1 or 3 channels, the input has {}",
                input.shape.channels
            ),
            "use the runtime library for inputs that are no photographs",
        ));
    };
    let (height, width) = (input.shape.height as u32, input.shape.width as u32);
    Ok(Preprocess {
        height,
        width,
        channels,
        resize: match resize.fit {
            Fit::Crop { share } => {
                let covered = |side: u32| (side * 1000 + share / 2) / share.max(1);
                preprocess::Resize::Cover {
                    height: covered(height),
                    width: covered(width),
                }
            }
            Fit::Stretch => preprocess::Resize::Stretch,
        },
        filter: resize.filter,
        mean: [input.mean[0], input.mean[1], input.mean[2]],
        std: [input.std[0], input.std[1], input.std[2]],
    })
}

/// Groups of what is alike, by index: in order, each where its first is.
pub fn alike<T>(all: &[T], is_alike: impl Fn(&T, &T) -> bool) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, one) in all.iter().enumerate() {
        let group = groups
            .iter_mut()
            .find(|group| is_alike(&all[group[0]], one));
        match group {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Patch files as given; a folder stands for the `.patch` files in it, by name.
///
/// # Errors
/// A folder that cannot be read, or that has no patch in it.
pub fn patch_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = || format!("cannot read the folder {}", path.display());
        let before = files.len();
        for entry in std::fs::read_dir(path).with_context(unreadable)? {
            let file = entry.with_context(unreadable)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "patch")
            {
                files.push(file);
            }
        }
        if files.len() == before {
            bail!(Hint::new(
                format!("no .patch file in the folder {}", path.display()),
                "give a .patch file, or a folder that has some",
            ));
        }
        files[before..].sort();
    }
    Ok(files)
}
