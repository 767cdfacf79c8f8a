//! Digests of every layer of a small network with every operator: `tests/cases/layers.tsv`.

use graft_patches::Digest;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Image, LayerOutput, Patch, Session};

use crate::{backbone, image, int8};

/// First line of `layers.tsv`.
pub const HEADER: &str = "dtype\ttask\tlayer\tdigest";

/// Lines of `layers.tsv` as these kernels give them: the backbone's id, then every layer with its own values and with
/// a patch of 37 random classes.
pub fn lines(dtype: Dtype, kernels: &str) -> Vec<String> {
    let float = backbone(32, 1);
    let twin = Backbone::from_bytes(&int8::backbone(&float)).expect("it is valid");
    let [float_patch, int8_patch] = int8::random_patches(&float, &twin, 37, 5);
    let (backbone, patch) = match dtype {
        Dtype::I8 | Dtype::I8Half => (twin, int8_patch),
        Dtype::F32 | Dtype::F16 => (float, float_patch),
    };
    let patch = Patch::from_bytes(&patch, &backbone).expect("it fits");
    let session = Session::new(&backbone).expect("kernels are there");
    let mut session = session.unfused().expect("memory is there");
    session.use_kernels(kernels).expect("they are there");
    let mut lines = vec![format!("{dtype}\town\tid\t{:.16}", backbone.id())];
    for (task, patch) in [("own", &backbone.identity()), ("patch", &patch)] {
        let values = image(patch, 7);
        let run = session.run_observed(patch, Image::Values(&values), |layer, output| {
            let digest = Digest::of(&bytes(output));
            lines.push(format!("{dtype}\t{task}\t{layer}\t{digest:.16}"));
        });
        run.expect("the image fits");
    }
    lines
}

fn bytes(output: LayerOutput<'_>) -> Vec<u8> {
    match output {
        LayerOutput::F32(values) => values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        LayerOutput::I8(values, _) => values.iter().map(|&value| value as u8).collect(),
    }
}
