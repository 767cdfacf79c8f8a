//! Sets `arm_dsp` for the int8 kernels where the CPU has the DSP extension of ARM.
//!
//! Stable Rust does not show `target_feature = "dsp"` to `cfg`, so the targets that always have it are named here.

fn main() {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    let has_dsp = variable("TARGET").starts_with("thumbv7em-")
        || (variable("CARGO_CFG_TARGET_ARCH") == "arm" && features.split(',').any(|f| f == "dsp"));
    if has_dsp {
        println!("cargo::rustc-cfg=arm_dsp");
    }
    println!("cargo::rustc-check-cfg=cfg(arm_dsp)");
    println!("cargo::rerun-if-changed=build.rs");
}
