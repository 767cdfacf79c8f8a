//! Any bytes as a tar or zip archive of images, as they are and with their checksums made right: what opens is read to its
//! end.
#![no_main]

use graft_data::dataset::Dataset;
use graft_data::image_file;
use graft_tools_fuzz::{file, is_small, seal};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    read(&sealed);
});

fn read(bytes: &[u8]) {
    let file = file(bytes);
    let _ = Dataset::open_nested(file.path());
    let Ok(dataset) = Dataset::open(file.path()) else {
        return;
    };
    let _ = dataset.check_empty();
    for (index, item) in dataset.items().iter().enumerate() {
        assert!(item.class < dataset.classes().len());
        // What may be damaged may be damaged.
        if let Ok(picture) = dataset.read(index)
            && is_small(&picture)
        {
            let _ = image_file::decode(&item.name, &picture);
        }
    }
}
