//! The portable matrix product against three loops.

use kpflow_core::machine::{Gemm, Kernel, MatMut, MatRef, Portable};
use kpflow_core::{Error, Scalar};

fn naive<T: Scalar>(alpha: T, gemm: Gemm<'_, T>, beta: T) {
    let (a, b, mut c) = gemm.into_parts();
    let (rows, cols, ld) = (c.rows(), c.cols(), c.ld());
    let ((ar, ac), (br, bc)) = (a.strides(), b.strides());
    for i in 0..rows {
        for j in 0..cols {
            let sum: T = (0..a.cols()).map(|k| a.data()[i * ar + k * ac] * b.data()[k * br + j * bc]).sum();
            let c = &mut c.data()[i * ld + j];
            *c = alpha * sum + if beta == T::zero() { T::zero() } else { beta * *c };
        }
    }
}

fn numbers<T: Scalar>(len: usize, salt: usize) -> Vec<T> {
    (0..len).map(|i| T::of(((i * 37 + salt * 11) % 101) as f64 / 50.0 - 1.0)).collect()
}

/// A matrix of these dimensions within rows `pad` longer, every number that is not its own a NaN.
fn stored<T: Scalar>(rows: usize, cols: usize, pad: usize, salt: usize) -> Vec<T> {
    let ld = cols + pad;
    let mut data = numbers(rows * ld + 3, salt);
    data.iter_mut().enumerate().filter(|(i, _)| ld == 0 || i % ld >= cols || i / ld >= rows).for_each(|(_, x)| {
        *x = T::nan();
    });
    data
}

fn view<T: Scalar>(data: &[T], rows: usize, cols: usize, pad: usize, transposed: bool) -> MatRef<'_, T> {
    if transposed {
        MatRef::new(data, cols, rows, rows + pad).unwrap().t()
    } else {
        MatRef::new(data, rows, cols, cols + pad).unwrap()
    }
}

fn agree<T: Scalar>(tolerance: f64) {
    let sizes = [0, 1, 2, 3, 5, 16, 17, 33];
    let mut shapes: Vec<_> =
        sizes.iter().flat_map(|&m| sizes.iter().flat_map(move |&n| sizes.map(|k| (m, n, k)))).collect();
    shapes.extend([(64, 64, 64), (65, 15, 129), (3, 200, 128), (130, 1, 257), (1, 1, 1000)]);
    for (m, n, k) in shapes {
        for case in 0..16 {
            let (ta, tb, pad) = (case & 1 != 0, case & 2 != 0, if case & 4 != 0 { 3 } else { 0 });
            let (alpha, beta) = if case & 8 != 0 { (-1.5, 0.5) } else { (1.0, 0.0) };
            let (ar, ac) = if ta { (k, m) } else { (m, k) };
            let (br, bc) = if tb { (n, k) } else { (k, n) };
            let (a, b) = (stored(ar, ac, pad, 1), stored(br, bc, pad, 2));
            let (a, b) = (view(&a, m, k, pad, ta), view(&b, k, n, pad, tb));
            // What is outside of C, and with β = 0 all of C, is NaN: neither may be read, and the former not written.
            let mut c = stored(m, n, pad, 3);
            if beta == 0.0 {
                c.fill(T::nan());
            }
            let mut d = c.clone();
            let into = |out| Gemm::new(a, b, MatMut::new(out, m, n, n + pad).unwrap()).unwrap();
            Portable.gemm(T::of(alpha), into(&mut c[..]), T::of(beta));
            naive(T::of(alpha), into(&mut d[..]), T::of(beta));
            for (i, (x, y)) in c.iter().zip(&d).enumerate() {
                let same = x.is_nan() && y.is_nan() || (x.f64() - y.f64()).abs() <= tolerance * (k as f64 + 1.0);
                assert!(same, "{m} × {k} × {n}, transposed {ta} {tb}, pad {pad}, β {beta}: C[{i}] = {x}, not {y}");
            }
        }
    }
}

#[test]
fn products_agree_with_three_loops() {
    agree::<f64>(1e-15);
    agree::<f32>(1e-6);
}

#[test]
fn products_that_do_not_fit_are_refused() {
    let (a, mut c) = (numbers::<f64>(12, 1), numbers(12, 2));
    let (x, short) = (MatRef::new(&a, 3, 4, 4).unwrap(), MatRef::new(&a, 3, 4, 5));
    assert_eq!(short.unwrap_err(), Error::Length { expected: 14, found: 12 });
    assert_eq!(MatRef::new(&a, 3, 4, 3).unwrap_err(), Error::Length { expected: 4, found: 3 });
    assert!(MatRef::new(&a, usize::MAX, 1, usize::MAX).is_err());
    let mut into = |a, b, rows, cols| Gemm::new(a, b, MatMut::new(&mut c, rows, cols, cols).unwrap()).map(|_| ());
    assert_eq!(into(x, x, 3, 4), Err(Error::Matrix { expected: (4, 4), found: (3, 4) }));
    assert_eq!(into(x, x.t(), 3, 4), Err(Error::Matrix { expected: (4, 4), found: (4, 3) }));
    assert_eq!(into(x, x.t(), 3, 3), Ok(()));
}

fn rate<T: Scalar>(m: usize, n: usize, k: usize, ta: bool, tb: bool, gemm: impl Fn(Gemm<'_, T>)) -> f64 {
    let (a, b, mut c) = (numbers(m * k, 1), numbers(k * n, 2), numbers(m * n, 3));
    let (a, b) = (view(&a, m, k, 0, ta), view(&b, k, n, 0, tb));
    let flops = 2.0 * (m * n * k) as f64;
    let repeats = (2e8 / flops) as usize + 1;
    let best = (0..7)
        .map(|_| {
            let start = std::time::Instant::now();
            (0..repeats).for_each(|_| gemm(Gemm::new(a, b, MatMut::new(&mut c, m, n, n).unwrap()).unwrap()));
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min);
    flops * repeats as f64 / best / 1e9
}

/// `cargo test --release -p kpflow-core --test machine -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn rates() {
    fn line<T: Scalar>(name: &str) {
        for (m, n, k) in [(64, 64, 192), (256, 256, 256), (15, 64, 64)] {
            for (ta, tb) in [(false, false), (false, true), (true, false)] {
                let portable = rate::<T>(m, n, k, ta, tb, |gemm| Portable.gemm(T::one(), gemm, T::zero()));
                let loops = rate::<T>(m, n, k, ta, tb, |gemm| naive(T::one(), gemm, T::zero()));
                println!("{name} {m}×{n}×{k} {ta:5} {tb:5}: {portable:6.2} GFLOP/s, three loops {loops:5.2}");
            }
        }
    }
    line::<f32>("f32");
    line::<f64>("f64");
}
