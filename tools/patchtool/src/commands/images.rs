//! The images of `run`: each that can be read is worked on, the others are counted and named.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use graft_data::folder;
use graft_data::image_file::{self, ImageFileError};
use graft_data::left_out::LeftOut;
use image::RgbImage;
use serde_json::{Value, json};

use crate::input;
use crate::report::Report;

/// Images by name, and those of them that could not be read.
pub(super) struct Images {
    files: Vec<PathBuf>,
    unreadable: Vec<(String, Error)>,
    /// What else is in the folders.
    left_out: LeftOut,
}

impl Images {
    /// These files, and all images of folders.
    pub(super) fn find(paths: &[PathBuf]) -> Result<Self> {
        let (files, left_out) = folder::images(paths)?;
        Ok(Self {
            files,
            unreadable: Vec::new(),
            left_out,
        })
    }

    /// Decodes one image after the other for `work`, which gets its name, too.
    pub(super) fn for_each(
        &mut self,
        mut work: impl FnMut(String, &RgbImage) -> Result<()>,
    ) -> Result<()> {
        for path in &self.files {
            let name = path.display().to_string();
            match open(path)? {
                Ok(image) => work(name, &image)?,
                Err(error) => self.unreadable.push((name, error.into())),
            }
        }
        Ok(())
    }

    /// The report of those that were read.
    ///
    /// # Errors
    /// Not one image that can be read.
    pub(super) fn report(self, text: String, mut json: Value) -> Result<Report> {
        let (count, all) = (self.unreadable.len(), self.files.len());
        let causes = self.unreadable.iter();
        let causes =
            causes.map(|(image, error)| json!({ "image": image, "error": format!("{error:#}") }));
        json["unreadable"] = causes.collect();
        json["left_out"] = json!(self.left_out);
        if count > 1 {
            for (_, error) in &self.unreadable {
                tracing::error!("{error:#}");
            }
        }
        let first = self.unreadable.into_iter().next();
        let failure = first.map(|(_, error)| match all {
            1 => error,
            _ => error.context(format!("{count} of {all} images cannot be read")),
        });
        match failure {
            Some(failure) if count == all => Err(failure),
            failure => Ok(Report {
                failure,
                ..Report::new(text, json)
            }),
        }
    }
}

fn open(path: &Path) -> Result<Result<RgbImage, ImageFileError>> {
    Ok(match input::is_stdin(path) {
        true => image_file::decode("stdin", input::read(path)?.as_slice()),
        false => image_file::open(path),
    })
}
