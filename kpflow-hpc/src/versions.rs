//! What this program is made of and where it runs: for `kpflow --version`, and for who reads a result file in some years.

use std::sync::OnceLock;

/// The attributes of a result file that tell of program and machine: name and value.
pub fn all() -> [(&'static str, String); 5] {
    [
        ("kpflow_version", env!("CARGO_PKG_VERSION").into()),
        ("mpi_version", crate::comm::version()),
        ("blas_version", crate::blas::version()),
        ("hdf5_version", hdf5()),
        ("host", host()),
    ]
}

/// What `kpflow --version` tells; `kpflow -V` only the first line of it.
pub fn long() -> &'static str {
    static LONG: OnceLock<String> = OnceLock::new();
    LONG.get_or_init(|| {
        let [own, mpi, blas, hdf5, _] = all().map(|(_, version)| version);
        format!("{own}\nMPI   {mpi}\nBLAS  {blas}\nHDF5  {hdf5}")
    })
}

fn hdf5() -> String {
    let (major, minor, patch) = hdf5::library_version();
    format!("{major}.{minor}.{patch}")
}

/// The name of this machine, or nothing.
fn host() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the last byte is beyond what is written, and stays 0.
    let done = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|&b| b == 0).unwrap_or(0);
    if done == 0 {
        String::from_utf8_lossy(&name[..end]).into_owned()
    } else {
        String::new()
    }
}
