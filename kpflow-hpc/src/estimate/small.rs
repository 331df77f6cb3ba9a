//! Small dense problems.

/// Eigenvalues, largest first, and eigenvectors (vector i in row i) of a symmetric row-major n × n matrix.
pub fn eigen(a: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    if n == 0 {
        return (Vec::new(), Vec::new());
    }
    let matrix = faer::Mat::from_fn(n, n, |i, j| 0.5 * (a[i * n + j] + a[j * n + i]));
    let eigen = matrix.self_adjoint_eigen(faer::Side::Lower).expect("the eigenvalues of a finite symmetric matrix");
    let (s, u) = (eigen.S().column_vector(), eigen.U());
    let values = (0..n).rev().map(|i| s[i]).collect();
    let vectors = (0..n).rev().flat_map(|i| (0..n).map(move |j| u[(j, i)])).collect();
    (values, vectors)
}

/// a b for row-major matrices `[m, k]` and `[k, n]`.
pub(super) fn multiply(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for p in 0..k {
            let f = a[i * k + p];
            c[i * n..][..n].iter_mut().zip(&b[p * n..][..n]).for_each(|(c, b)| *c += f * b);
        }
    }
    c
}
