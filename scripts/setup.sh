#!/usr/bin/env bash
# Installs what the build needs and this machine lacks: MPI, HDF5, OpenBLAS, libclang. Costs nothing when all is there.
set -euo pipefail

if ! command -v cargo >/dev/null; then
    echo "setup: cargo is missing; install Rust 1.85 or newer from https://rustup.rs" >&2
    exit 1
fi

packages=(libopenmpi-dev openmpi-bin libhdf5-dev libopenblas-dev libclang-dev pkg-config)

if command -v dpkg >/dev/null && command -v apt-get >/dev/null; then
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
    missing=()
    for package in "${packages[@]}"; do
        # pkgconf may stand in for pkg-config.
        if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; then continue; fi
        grep -qx "$package installed" <<<"$installed" || missing+=("$package")
    done
    if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
    sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup: missing ${missing[*]}; as root, run: apt-get install ${missing[*]}" >&2
            exit 1
        fi
        sudo=(sudo)
    fi
    echo "setup: installing ${missing[*]}"
    "${sudo[@]}" apt-get update -q
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
    exit 0
fi

# No apt here: look for the things themselves, and say what to install.
has_library() { pkg-config --exists "$1" 2>/dev/null || ldconfig -p 2>/dev/null | grep -Eq "lib$2[-.]"; }
missing=()
command -v pkg-config >/dev/null || missing+=("pkg-config")
command -v mpicc >/dev/null && command -v mpirun >/dev/null || missing+=("an MPI with its compiler wrapper (Open MPI)")
command -v h5cc >/dev/null || has_library hdf5 hdf5 || missing+=("HDF5 with its headers")
has_library openblas openblas || missing+=("OpenBLAS")
[ -n "${LIBCLANG_PATH:-}" ] || has_library libclang clang || command -v clang >/dev/null || missing+=("libclang")
if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
{
    echo "setup: missing:"
    printf '  %s\n' "${missing[@]}"
    echo "for example, by"
    echo "  Fedora:  dnf install openmpi-devel hdf5-devel openblas-devel clang-devel pkgconf"
    echo "  Arch:    pacman -S openmpi hdf5 openblas clang pkgconf"
    echo "  macOS:   brew install open-mpi hdf5 openblas llvm pkgconf"
    echo "or build without MPI and OpenBLAS, and HDF5 from source (cmake is needed):"
    echo "  cargo build --release -p kpflow-hpc --no-default-features --features hdf5-static"
} >&2
exit 1
