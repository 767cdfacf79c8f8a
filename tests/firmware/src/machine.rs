//! The machines that the firmware is built for.

use std::path::{Path, PathBuf};

/// Address of the backbone on most of them.
const LOW: u32 = 0x20_0000;

/// One of QEMU's MPS2 boards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// QEMU's name.
    pub(crate) name: &'static str,
    /// The program's name in `firmware/mps2/build`.
    program: &'static str,
    /// Its CPU, for people.
    pub(crate) core: &'static str,
    /// Rust's target.
    target: &'static str,
    /// Address of the flash region of the backbone.
    backbone: u32,
}

/// From the smallest to the newest.
pub(crate) const ALL: [Machine; 4] = [
    Machine {
        name: "mps2-an385",
        program: "an385",
        core: "M3",
        target: "thumbv7m-none-eabi",
        backbone: LOW,
    },
    M4,
    Machine {
        name: "mps2-an500",
        program: "an500",
        core: "M7",
        target: "thumbv7em-none-eabihf",
        backbone: LOW,
    },
    Machine {
        name: "mps2-an505",
        program: "an505",
        core: "M33",
        target: "thumbv8m.main-none-eabihf",
        backbone: 0x1020_0000,
    },
];

/// The one that everything is shown on.
pub(crate) const M4: Machine = Machine {
    name: "mps2-an386",
    program: "an386",
    core: "M4",
    target: "thumbv7em-none-eabihf",
    backbone: LOW,
};

/// The same with firmware that runs only what the keys of the tests have signed.
pub(crate) const TRUSTING_M4: Machine = Machine {
    program: "an386-trust",
    ..M4
};

/// The same with firmware that learns.
pub(crate) const LEARNING_M4: Machine = Machine {
    program: "an386-learn",
    ..M4
};

impl Machine {
    /// Its program, as `firmware/mps2/build` leaves it.
    pub(crate) fn elf(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../firmware/mps2/target")
            .join(self.program)
            .join(self.target)
            .join("release/graft-mps2")
    }

    /// Arguments of QEMU, but for serial port and clock, with this backbone in flash.
    pub(crate) fn arguments(&self, backbone: &Path) -> Vec<String> {
        [
            "-machine",
            self.name,
            "-display",
            "none",
            "-monitor",
            "none",
            "-semihosting-config",
            "enable=on,target=native",
            "-device",
            &format!(
                "loader,file={},addr={:#x},force-raw=on",
                backbone.display(),
                self.backbone
            ),
            "-kernel",
            &self.elf().display().to_string(),
        ]
        .map(String::from)
        .into()
    }
}
