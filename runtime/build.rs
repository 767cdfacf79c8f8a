//! Sets what the kernels choose their code by: `simd` where they are written for vectors, and `arm_dsp` where the CPU has
//! the DSP extension of ARM.
//!
//! Vectors are for the targets that `isa` has registers of. Others run the plain kernels, and microcontrollers of ARM those
//! written for them.
//!
//! Stable Rust does not show `target_feature = "dsp"` to `cfg`. So the targets that always have it are named here, and for
//! others the CPUs: build with `RUSTFLAGS="-C target-cpu=cortex-m33"`.

const CPUS: [&str; 6] = [
    "cortex-m4",
    "cortex-m7",
    "cortex-m33",
    "cortex-m35p",
    "cortex-m55",
    "cortex-m85",
];

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let architecture = variable("CARGO_CFG_TARGET_ARCH");
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let cpu = flags
        .split('\x1f')
        .find_map(|flag| flag.split_once("target-cpu="));
    let has_dsp = variable("TARGET").starts_with("thumbv7em-")
        || (architecture == "arm" && features.split(',').any(|f| f == "dsp"))
        || cpu.is_some_and(|(_, cpu)| CPUS.contains(&cpu));
    if ["x86_64", "aarch64"].contains(&architecture.as_str()) {
        println!("cargo::rustc-cfg=simd");
    }
    if has_dsp {
        println!("cargo::rustc-cfg=arm_dsp");
    }
    println!("cargo::rustc-check-cfg=cfg(simd, arm_dsp)");
    println!("cargo::rerun-if-changed=build.rs");
}
