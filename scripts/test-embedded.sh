#!/usr/bin/env bash
# Runs the firmware of kpflow-core/embed/firmware in QEMU, compares its numbers with the host's, and builds the C library for firmware. Needs a Rust toolchain; what else is
# missing is downloaded, from rustup or by apt, into the target directory: nothing on the system changes. Skipped, with the reason, where that
# is impossible.
set -euo pipefail
cd "$(dirname "$0")/.."

triple=thumbv7em-none-eabihf
ram_limit=65536
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/embedded
export CARGO_TARGET_DIR
tools=$CARGO_TARGET_DIR/tools
arch=$(uname -m)

skip() {
    echo "test-embedded: skipped: $*"
    exit 0
}

# Unpacks Debian packages, and what they depend on that is not installed, below $tools.
fetch() {
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    echo "test-embedded: fetching $*"
    mkdir -p "$tools/debs/partial"
    local get=(timeout 240 apt-get -q -y --no-install-recommends --download-only -o Debug::NoLocking=1 -o APT::Sandbox::User=root
        -o "Dir::Cache::archives=$tools/debs/" install "$@")
    # A fresh machine has no lists of packages yet.
    if ! "${get[@]}" >"$tools/apt.log" 2>&1; then
        local as_root=()
        [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
        "${as_root[@]}" apt-get -q update >>"$tools/apt.log" 2>&1 || true
        "${get[@]}" >>"$tools/apt.log" 2>&1 || { tail -n 5 "$tools/apt.log"; return 1; }
    fi
    local deb
    for deb in "$tools"/debs/*.deb; do
        [ -e "$deb" ] || continue
        dpkg-deb -x "$deb" "$tools"
        rm "$deb"
    done
}

# A command that is on the machine, or was fetched. Only the latter sees the libraries that were fetched with it.
tool() {
    local name=$1
    shift
    if [ -x "$tools/usr/bin/$name" ]; then
        LD_LIBRARY_PATH=$tools/usr/lib/$arch-linux-gnu:$tools/lib/$arch-linux-gnu "$tools/usr/bin/$name" "$@"
    else
        "$name" "$@"
    fi
}
has() { [ -x "$tools/usr/bin/$1" ] || command -v "$1" >/dev/null; }

has qemu-system-arm || fetch qemu-system-arm || skip "no qemu-system-arm, and no apt to fetch it"
has arm-none-eabi-size || fetch binutils-arm-none-eabi || skip "no arm-none-eabi-size, and no apt to fetch it"

# The toolchain's own library for the target; or Debian's compiler, which may build it from source.
target_library() { [ -d "$(rustc --print target-libdir --target $triple 2>/dev/null)" ]; }
target_library || { command -v rustup >/dev/null && timeout 120 rustup --quiet target add $triple; } || true
if target_library && [ -z "${KPFLOW_DEBIAN_RUST:-}" ]; then
    target_cargo() { cargo "$@"; }
else
    [ -x "$tools/usr/bin/cargo" ] || fetch rustc-web cargo-web rust-web-src || skip "no $triple: neither rustup nor apt can fetch it"
    target_cargo() {
        local linker
        linker=$(command -v arm-none-eabi-ld || echo "$tools/usr/bin/arm-none-eabi-ld")
        RUSTC_BOOTSTRAP=1 RUSTC=$tools/usr/bin/rustc CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=$linker \
            tool cargo "$@" -Z build-std=core
    }
fi

firmware=kpflow-core/embed/firmware/Cargo.toml
echo "test-embedded: the host's numbers"
cargo run --quiet --release --locked --manifest-path $firmware >"$CARGO_TARGET_DIR/host.txt"
echo "test-embedded: the firmware"
target_cargo build --quiet --release --locked --manifest-path $firmware --target $triple
elf=$CARGO_TARGET_DIR/$triple/release/kpflow-firmware

echo "test-embedded: the C library without std"
target_cargo build --quiet --release --locked -p kpflow-c --no-default-features --features panic-handler --target $triple

echo "test-embedded: the firmware in QEMU"
data=()
[ ! -d "$tools/usr/share/qemu" ] || data=(-L "$tools/usr/share/qemu")
status=0
export -f tool
export tools arch
timeout 60 bash -c 'tool "$@"' - qemu-system-arm "${data[@]}" -M mps2-an386 -cpu cortex-m4 -nographic -monitor none \
    -semihosting-config enable=on,target=native -kernel "$elf" </dev/null >"$CARGO_TARGET_DIR/target.txt" || status=$?
if [ $status -ne 0 ]; then
    grep -v '^[a-z_]* [-0-9]' "$CARGO_TARGET_DIR/target.txt" || true
    echo "test-embedded: the firmware failed with status $status (124: it did not end)" >&2
    exit 1
fi

tool arm-none-eabi-size "$elf" | python3 scripts/compare_embedded.py "$CARGO_TARGET_DIR/host.txt" "$CARGO_TARGET_DIR/target.txt" $ram_limit
