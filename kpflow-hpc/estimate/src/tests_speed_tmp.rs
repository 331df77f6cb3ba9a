#[test]
fn speed() {
    for n in [1000usize, 2048] {
        let mut s = 1u64;
        let m = faer::Mat::from_fn(n, n, |i, j| { s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); ((s >> 33) as f64 / 2f64.powi(31) - 0.5) * (-0.002 * (i + j) as f64).exp() });
        let m = faer::Mat::from_fn(n, n, |i, j| if i >= j { m[(i, j)] } else { m[(j, i)] });
        let t = std::time::Instant::now();
        let v = m.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
        eprintln!("faer {n} values {:.3} {}", t.elapsed().as_secs_f64(), v[0]);
        let t = std::time::Instant::now();
        let v = m.self_adjoint_eigen(faer::Side::Lower).unwrap();
        eprintln!("faer {n} vectors {:.3} {}", t.elapsed().as_secs_f64(), v.S()[0]);
    }
}
