//! How fast this machine is at the sizes of the job.

use super::clock::rate;
use super::trial::Trial;
use super::Setup;
use crate::engine::{Engine, Real};
use crate::error::{fits, Error, Result};
use faer::Mat;
use kpflow_core::machine::{Gemm, Kernel, MatMut, MatRef, Tasks};
use kpflow_core::probe::{Distribution, Probe};
use kpflow_core::{BlockMut, Shape};
use kpflow_estimate::{look, look_at, Tall};

/// Tasks that all threads share.
const PIECES: usize = 64;
/// What a whole product reaches of the rate of its matrix products (measured with OpenBLAS: 63 to 90 %).
const SHARE: f64 = 0.8;
/// What closed forms reach of it: Gramians (0.25 to 0.63), and pairs of positions, in tiles of small products (0.4 to 0.8).
const GRAMIANS: f64 = 0.4;
const PAIRS: f64 = 0.6;

/// Flops a second of one rank.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Of matrix products of the job's sizes.
    pub flops: f64,
    /// Of inner products between the vectors of two blocks, and of what is made of them.
    pub tall: f64,
    /// Of what estimators make of small matrices, in double precision.
    pub small: f64,
    /// Of products of NTK.
    pub whole: f64,
    /// Of products of its block diagonal.
    pub blocks: f64,
    /// Of closed forms by Gramians.
    pub gramians: f64,
    /// Of closed forms by pairs of positions.
    pub pairs: f64,
    /// Seconds of drawing a normal number.
    pub normals: f64,
    /// Seconds of drawing a sign.
    pub signs: f64,
    /// Seconds of writing a byte to new memory, in one thread.
    pub copy: f64,
    /// The same in all threads.
    pub append: f64,
    /// Seconds of a number in an inner product, in one thread.
    pub dot: f64,
    /// The same in all threads.
    pub dots: f64,
    /// Seconds of naming a byte by a hash.
    pub hash: f64,
    /// Seconds of putting a byte into a record of the journal, if there is one.
    pub record: f64,
    /// Seconds of writing it to a file.
    pub write: f64,
    /// Where the rates come from.
    pub source: &'static str,
}

impl Speed {
    /// What the user says.
    pub fn given(gflops: f64) -> Result<Self> {
        if !(gflops > 0.0 && gflops.is_finite()) {
            return Err(Error::usage(format!("--gflops {gflops} is not a rate; it is more than 0")));
        }
        Ok(Self {
            flops: gflops * 1e9,
            tall: gflops * 1e9 * SHARE,
            small: gflops * 1e9 * SHARE,
            whole: gflops * 1e9 * SHARE,
            blocks: gflops * 1e9 * SHARE,
            gramians: gflops * 1e9 * GRAMIANS,
            pairs: gflops * 1e9 * PAIRS,
            normals: 0.0,
            signs: 0.0,
            copy: 0.0,
            append: 0.0,
            dot: 0.0,
            dots: 0.0,
            hash: 0.0,
            record: 0.0,
            write: 0.0,
            source: "given",
        })
    }

    /// Measures for a moment. Every rank measures, at the same time as the others: they share memory.
    pub fn measure<T: Real>(setup: &Setup<'_, T>, engine: &Engine) -> Result<Self> {
        let draw = |distribution| draw_seconds::<T>(distribution, engine);
        let (flops, normals, signs) =
            (gemm_rate(setup, engine), draw(Distribution::Gaussian), draw(Distribution::Rademacher));
        let (copy, append) = (copy_seconds(1, engine), copy_seconds(PIECES, engine));
        let (dot, tall) = (dot_seconds::<T>(1, engine), tall_rate::<T>(setup, engine));
        let (dots, small) = (dot_seconds::<T>(PIECES, engine), small_rate::<T>(setup, engine));
        let hash = hash_seconds();
        let (record, write) = setup.job.checkpoint.map_or((0.0, 0.0), |_| (hash + copy, write_seconds()));
        let trial = Trial::run(setup, engine.lanes())?;
        let (whole, blocks, source) = match (trial.whole, trial.blocks) {
            (Some(whole), Some(blocks)) => (whole, blocks, "measured: whole products on a few trajectories"),
            _ => (flops * SHARE, flops * SHARE, "measured: matrix products of the job's sizes"),
        };
        let gramians = trial.gramians.unwrap_or(flops * GRAMIANS);
        let pairs = trial.pairs.unwrap_or(flops * PAIRS);
        Ok(Self {
            flops,
            tall,
            small,
            whole,
            blocks,
            gramians,
            pairs,
            normals,
            signs,
            copy,
            append,
            dot,
            dots,
            hash,
            record,
            write,
            source,
        })
    }
}

/// The rate of Xᵀ Y of a few vectors with many.
fn tall_rate<T: Real>(setup: &Setup<'_, T>, engine: &Engine) -> f64 {
    const VECTORS: [usize; 2] = [128, 32];
    const NUMBERS: usize = 1 << 16;
    let (steps, units) = setup.opened.network.state_shape();
    // Long trajectories are gone through in pieces.
    let piece = (steps * units).clamp(1, 1 << 11);
    let shape = Shape::new(NUMBERS / piece, 1, piece);
    let [x, y] = VECTORS.map(|vectors| Tall::<T> { shape, vectors, data: vec![T::one(); vectors * shape.len()] });
    rate(2.0 * (VECTORS[0] * VECTORS[1] * shape.len()) as f64, || {
        std::hint::black_box(x.local_gram(0..VECTORS[0], &y, 0..VECTORS[1], engine));
    })
}

/// The rate of looks at the sketch of a trajectory, every lane having its own, at products whose spectrum falls as that of a kernel does.
fn small_rate<T: Real>(setup: &Setup<'_, T>, engine: &Engine) -> f64 {
    let (steps, units) = setup.opened.network.state_shape();
    let (lanes, numbers) = (engine.lanes(), (steps * units).clamp(1, 1 << 12));
    let vectors = numbers.min(256);
    let omega =
        Mat::from_fn(numbers, vectors, |i, v| if (i * 2654435761 + v * 40503) >> 7 & 1 == 0 { 1.0 } else { -1.0 });
    let y = Mat::from_fn(numbers, vectors, |i, v| omega[(i, v)] / (1.0 + i as f64).powi(2));
    let mut values = vec![0.0; lanes];
    rate(lanes as f64 * look(numbers, vectors).flops, || {
        engine.for_each(lanes, &mut values, 1, &mut [], 0, |_, value, _: &mut [f64]| {
            let found = look_at(engine, &omega, &y, T::epsilon().f64());
            value[0] = found.map_or(f64::NAN, |(value, _)| value);
        });
        std::hint::black_box(&values);
    })
}

/// Seconds of a random number.
fn draw_seconds<T: Real>(distribution: Distribution, engine: &Engine) -> f64 {
    const NUMBERS: usize = 1 << 12;
    let (shape, mut x) = (Shape::new(1, 1, NUMBERS), vec![T::zero(); PIECES * NUMBERS]);
    let probe = Probe { seed: 0, stream: 1, distribution };
    1.0 / rate((PIECES * NUMBERS) as f64, || {
        engine.for_each(PIECES, &mut x, NUMBERS, &mut [], 0, |i, x, _: &mut [T]| {
            fits(BlockMut::new(shape, 1, x).and_then(|block| probe.fill(0, i, block)));
        });
    })
}

/// Seconds of a number of an inner product, by so many tasks; vectors are larger than caches.
fn dot_seconds<T: Real>(pieces: usize, engine: &Engine) -> f64 {
    const NUMBERS: usize = 1 << 22;
    let (x, y, piece) = (vec![T::one(); NUMBERS], vec![T::one(); NUMBERS], NUMBERS / pieces);
    let mut sums = vec![0.0; pieces];
    1.0 / rate(NUMBERS as f64, || {
        engine.for_each(pieces, &mut sums, 1, &mut [], 0, |i, sum, _: &mut [f64]| {
            let (x, y) = (&x[i * piece..][..piece], &y[i * piece..][..piece]);
            sum[0] = x.iter().zip(y).map(|(a, b)| a.f64() * b.f64()).sum();
        });
        std::hint::black_box(&sums);
    })
}

/// Seconds of a byte that is written to memory which the system has to clear first, by so many tasks.
fn copy_seconds(pieces: usize, engine: &Engine) -> f64 {
    const NUMBERS: usize = 2 << 20;
    let (from, piece) = (vec![1.0f64; NUMBERS], NUMBERS / pieces);
    1.0 / rate((8 * NUMBERS) as f64, || {
        let mut to = vec![0.0; NUMBERS];
        engine.for_each(pieces, &mut to, piece, &mut [], 0, |i, to, _: &mut [f64]| {
            to.copy_from_slice(&from[i * piece..][..piece]);
        });
        std::hint::black_box(to);
    })
}

/// Seconds of a byte of a hash.
fn hash_seconds() -> f64 {
    let bytes = vec![1u8; 1 << 22];
    1.0 / rate(bytes.len() as f64, || {
        std::hint::black_box(xxhash_rust::xxh3::xxh3_64(&bytes));
    })
}

/// Seconds of a byte that is written to a file; nothing where there is none to write.
fn write_seconds() -> f64 {
    let name = format!("kpflow-plan-{}", std::process::id());
    let (path, bytes) = (std::env::temp_dir().join(name), vec![1u8; 1 << 24]);
    let mut failed = false;
    let rate = rate(bytes.len() as f64, || failed |= std::fs::write(&path, &bytes).is_err());
    let _ = std::fs::remove_file(&path);
    if failed {
        0.0
    } else {
        1.0 / rate
    }
}

/// The rate of the largest site's product, every lane having its own.
fn gemm_rate<T: Real>(setup: &Setup<'_, T>, engine: &Engine) -> f64 {
    let size = |w: &kpflow_core::model::Weight<'_, T>| (w.n_out, w.n_in);
    let (n_out, n_in) = setup.graph.weights().iter().map(size).max_by_key(|s| s.0 * s.1).unwrap_or((64, 64));
    // A piece of a large weight is as fast as all of it.
    let (n_out, n_in, rows) = (n_out.clamp(1, 2048), n_in.clamp(1, 2048), 256);
    let (a, b, lanes) = (vec![T::one(); rows * n_in], vec![T::one(); n_in * n_out], engine.lanes());
    let mut c = vec![T::zero(); lanes * rows * n_out];
    rate(2.0 * (lanes * rows * n_in) as f64 * n_out as f64, || {
        engine.for_each(lanes, &mut c, rows * n_out, &mut [], 0, |_, c, _: &mut [T]| {
            let (a, b) = (fits(MatRef::new(&a, rows, n_in, n_in)), fits(MatRef::new(&b, n_in, n_out, n_out)));
            engine.gemm(T::one(), fits(Gemm::new(a, b, fits(MatMut::new(c, rows, n_out, n_out)))), T::zero());
        });
    })
}
