//! Purpose of a task on a device, from the metadata that it carries.

use graft_link::Task;
use graft_patches::geometry::Shape;
use graft_patches::metadata::{BackboneMetadata, PatchMetadata, Resize};
use graft_patches::records::Input;

use crate::client::Client;
use crate::error::DeviceError;

/// Purpose of a task, and the images that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The task that the patch serves, or its slot where it does not say; the name of the backbone.
    pub name: String,
    /// Class names; may be empty.
    pub labels: Vec<String>,
    /// Size of its images. The device knows how pixels become values: mean is 0, standard deviation 1.
    pub input: Input,
    /// Resizing of photographs.
    pub resize: Resize,
}

impl Content {
    /// Name of a class, or its number.
    pub fn label(&self, index: usize) -> String {
        let label = self.labels.get(index).cloned();
        label.unwrap_or_else(|| format!("class {index}"))
    }
}

/// Reads what a task on a device is for.
///
/// # Errors
/// Those of the device; [`DeviceError::Metadata`] where it cannot be read.
pub fn content(client: &mut Client, task: Task) -> Result<Content, DeviceError> {
    let (name, labels, resize) = match task {
        Task::Own => {
            let backbone = backbone_metadata(client)?;
            (backbone.name, backbone.labels, backbone.resize)
        }
        Task::Slot(slot) => {
            let patch = patch_metadata(client, slot)?;
            // A patch without labels keeps the backbone's head and labels.
            let labels = match patch.labels.is_empty() {
                true => backbone_metadata(client)?.labels,
                false => patch.labels,
            };
            let name = match patch.name.is_empty() {
                true => format!("slot {slot}"),
                false => patch.name,
            };
            (name, labels, patch.resize)
        }
    };
    let [height, width, channels] = client.input(task)?.map(|length| length as usize);
    Ok(Content {
        name,
        labels,
        input: Input {
            shape: Shape::new(height, width, channels),
            mean: [0.0; 4],
            std: [1.0; 4],
        },
        resize,
    })
}

/// Metadata of the patch in a slot.
///
/// # Errors
/// As [`content`].
pub fn patch_metadata(client: &mut Client, slot: u8) -> Result<PatchMetadata, DeviceError> {
    let bytes = client.metadata(Task::Slot(slot))?;
    postcard::from_bytes(&bytes).map_err(|_| DeviceError::Metadata)
}

fn backbone_metadata(client: &mut Client) -> Result<BackboneMetadata, DeviceError> {
    let bytes = client.metadata(Task::Own)?;
    postcard::from_bytes(&bytes).map_err(|_| DeviceError::Metadata)
}
