//! OpenBLAS.

use super::{anything, pieces, Blas};
use cblas_sys::{cblas_dgemm, cblas_sgemm, CBLAS_LAYOUT, CBLAS_TRANSPOSE};
use kpflow_core::machine::{Gemm, MatRef};
use std::ffi::{c_char, c_int, CStr};
use std::ops::Range;
use std::sync::OnceLock;

// Linked for their native library alone.
extern crate blas_src as _;
extern crate openblas_src as _;

/// The library reads this when it is loaded: it is then too late to change it.
const CORE_TYPE: &str = "OPENBLAS_CORETYPE";

extern "C" {
    // LAPACK's, which the library has in it.
    fn dsyevd_(
        job: *const c_char,
        triangle: *const c_char,
        n: *const c_int,
        a: *mut f64,
        lda: *const c_int,
        values: *mut f64,
        work: *mut f64,
        work_len: *const c_int,
        integers: *mut c_int,
        integers_len: *const c_int,
        info: *mut c_int,
    );
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_corename() -> *const c_char;
    fn openblas_get_config() -> *const c_char;
}

/// The processor whose kernels the library has chosen.
fn core() -> String {
    // SAFETY: a getter of the library that is linked; what it gives is a string that lives as long as the library.
    unsafe { CStr::from_ptr(openblas_get_corename()) }.to_string_lossy().into_owned()
}

/// Whether the library has kernels for small products that read their factors where they lie.
pub fn reads_in_place() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    const WITH: [&str; 3] = ["SkylakeX", "Cooperlake", "SapphireRapids"];
    *HAS.get_or_init(|| WITH.iter().any(|k| k.eq_ignore_ascii_case(&core())))
}

/// Of all that the library says of itself its name and version; and the kernels.
pub fn version() -> String {
    // SAFETY: as of the processor's name.
    let said = unsafe { CStr::from_ptr(openblas_get_config()) }.to_string_lossy().into_owned();
    let version: Vec<&str> = said.split_whitespace().take(2).collect();
    format!("{} ({} kernels)", version.join(" "), core())
}

pub fn name() -> String {
    format!("OpenBLAS ({} kernels)", core())
}

/// Starts the program again with kernels that suit this processor, where the library has taken others.
///
/// A processor newer than the library is unknown to it, and gets kernels of twenty years ago: OpenBLAS 0.3.21 multiplies at 17 GFLOP/s a core in f64 on an
/// Emerald Rapids that does 78. What the user has chosen stays.
pub fn choose_kernels() {
    if std::env::var_os(CORE_TYPE).is_some() {
        return;
    }
    #[cfg(all(unix, target_arch = "x86_64"))]
    if let (Some(better), Ok(program)) = (better_than(&core(), Vectors::here()), std::env::current_exe()) {
        use std::os::unix::process::CommandExt;
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let mut again = std::process::Command::new(program);
        // It comes back only if it could not be done: slow kernels are as right as fast ones.
        let _ = again.arg0(name).args(arguments).env(CORE_TYPE, better).exec();
    }
}

/// What vectors a processor has.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
enum Vectors {
    /// Of 128 bits, or without fused multiply-adds.
    Short,
    /// AVX2 with fused multiply-adds.
    Wide,
    /// AVX-512 as of Skylake servers.
    Widest,
}

#[cfg(target_arch = "x86_64")]
impl Vectors {
    fn here() -> Self {
        let widest = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        match (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"), widest) {
            (true, true) => Self::Widest,
            (true, false) => Self::Wide,
            _ => Self::Short,
        }
    }
}

/// Whose kernels are better than those of `core` on a processor with such vectors: only where the library knows nothing of AVX2, which is how it looks
/// when it does not know the processor.
#[cfg(target_arch = "x86_64")]
fn better_than(core: &str, vectors: Vectors) -> Option<&'static str> {
    const KNOWN: [&str; 6] = ["Haswell", "Zen", "Excavator", "SkylakeX", "Cooperlake", "SapphireRapids"];
    match vectors {
        _ if KNOWN.iter().any(|k| k.eq_ignore_ascii_case(core)) => None,
        Vectors::Widest => Some("SkylakeX"),
        Vectors::Wide => Some("Haswell"),
        Vectors::Short => None,
    }
}

pub fn initialize() {
    // SAFETY: a plain setter of the library that is linked, called before any product.
    unsafe { openblas_set_num_threads(1) }
}

/// Rows of a matrix that is decomposed, at most: 1 + 6 n + 2 n² numbers of work have to be countable.
const MOST: usize = 30_000;

/// Numbers and integers of work that dsyevd asks for.
fn work_of(n: usize, vectors: bool) -> [usize; 2] {
    if vectors {
        [1 + 6 * n + 2 * n * n, 3 + 5 * n]
    } else {
        [(2 * n + 1).max(66 * n), 1]
    }
}

pub fn symmetric_len(n: usize, vectors: bool) -> Option<usize> {
    let [numbers, integers] = work_of(n, vectors);
    (n <= MOST).then_some(n * n + n + numbers + integers.div_ceil(2))
}

/// By divide and conquer (Cuppen 1981; Gu and Eisenstat 1995). Half of the threads' pool is idle in what is memory's, the reduction to a tridiagonal matrix.
pub fn symmetric(a: &mut [f64], n: usize, vectors: bool, threads: usize) -> Option<Vec<f64>> {
    if n == 0 || n > MOST || a.len() < n * n {
        return None;
    }
    let (job, triangle) = (if vectors { b'V' } else { b'N' } as c_char, b'L' as c_char);
    let (mut values, mut info) = (vec![0.0; n], 0);
    let lens = work_of(n, vectors);
    let (mut work, mut integers) = (vec![0.0; lens[0]], vec![0; lens[1]]);
    let [size, work_len, integers_len] = [n, lens[0], lens[1]].map(int);
    // SAFETY: setters of the library that is linked; a, values, work and integers have the lengths that dsyevd asks for and is told. A symmetric matrix is the
    // same by rows and by columns; vectors are written by columns, which are rows here.
    unsafe {
        openblas_set_num_threads(threads.max(1) as c_int);
        dsyevd_(
            &job,
            &triangle,
            &size,
            a.as_mut_ptr(),
            &size,
            values.as_mut_ptr(),
            work.as_mut_ptr(),
            &work_len,
            integers.as_mut_ptr(),
            &integers_len,
            &mut info,
        );
        openblas_set_num_threads(1);
    }
    (info == 0 && values.iter().all(|v| v.is_finite())).then_some(values)
}

fn int(x: usize) -> i32 {
    i32::try_from(x).expect("a matrix dimension passes a C int")
}

/// A leading dimension that BLAS accepts (one row has none of its own).
fn stored<T>(m: &MatRef<'_, T>) -> usize {
    let (rows, cols) = if m.is_transposed() { (m.cols(), m.rows()) } else { (m.rows(), m.cols()) };
    leading(rows, cols, m.ld())
}

fn leading(rows: usize, cols: usize, ld: usize) -> usize {
    if rows > 1 {
        ld
    } else {
        ld.max(cols).max(1)
    }
}

fn trans<T>(m: &MatRef<'_, T>) -> CBLAS_TRANSPOSE {
    if m.is_transposed() {
        CBLAS_TRANSPOSE::CblasTrans
    } else {
        CBLAS_TRANSPOSE::CblasNoTrans
    }
}

macro_rules! blas {
    ($t:ty, $gemm:ident) => {
        impl Blas for $t {
            fn gemm(alpha: Self, gemm: Gemm<'_, Self>, beta: Self) {
                let (a, b, mut c) = gemm.into_parts();
                if !anything(a.cols(), beta, &mut c) {
                    return;
                }
                let (lda, ldb, ldc) = (stored(&a), stored(&b), leading(c.rows(), c.cols(), c.ld()));
                let sizes = [c.rows(), c.cols(), a.cols()];
                let c = c.data().as_mut_ptr();
                let one = |[i, j, p]: [Range<usize>; 3]| {
                    let at = |m: &MatRef<'_, $t>, ld: usize, row: usize, column: usize| {
                        m.data()[if m.is_transposed() { column * ld + row } else { row * ld + column }..].as_ptr()
                    };
                    // SAFETY: a `Gemm` has shapes that agree, and a view lies within its slice, with these dimensions and leading dimensions; the pieces
                    // lie within the product.
                    unsafe {
                        $gemm(
                            CBLAS_LAYOUT::CblasRowMajor,
                            trans(&a),
                            trans(&b),
                            int(i.len()),
                            int(j.len()),
                            int(p.len()),
                            alpha,
                            at(&a, lda, i.start, p.start),
                            int(lda),
                            at(&b, ldb, p.start, j.start),
                            int(ldb),
                            if p.start == 0 { beta } else { 1.0 },
                            c.add(i.start * ldc + j.start),
                            int(ldc),
                        );
                    }
                };
                let plain = !b.is_transposed() && reads_in_place();
                pieces::each(sizes, if plain { pieces::sizes(sizes) } else { sizes }, one);
            }
        }
    };
}

blas!(f32, cblas_sgemm);
blas!(f64, cblas_dgemm);

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{better_than, Vectors};

    #[test]
    fn an_unknown_processor_gets_the_kernels_of_its_vectors() {
        let with =
            |vectors| ["Prescott", "Barcelona", "Haswell", "ZEN", "SkylakeX"].map(|core| better_than(core, vectors));
        assert_eq!(with(Vectors::Widest), [Some("SkylakeX"), Some("SkylakeX"), None, None, None]);
        assert_eq!(with(Vectors::Wide), [Some("Haswell"), Some("Haswell"), None, None, None]);
        assert_eq!(with(Vectors::Short), [None; 5]);
    }
}
