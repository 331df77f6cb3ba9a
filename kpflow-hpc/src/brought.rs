//! Names that people bring along from other libraries, and what is said here in their place.
//!
//! One table: errors of the job file, errors of the Python package, and the table of JOB.md are made of it.

/// Names of other libraries for one thing.
pub struct Brought {
    /// What it is called elsewhere.
    pub names: &'static [&'static str],
    /// What it is called here.
    pub ours: &'static str,
    /// Where that is said.
    pub place: Place,
}

/// Where something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A key of `[[analysis]]`, and a keyword of a method in Python.
    Analysis,
    /// A quantity, and a method in Python.
    Quantity,
    /// A value of a key.
    Value,
    /// A key of `[compute]`, and this keyword of `linearize` in Python.
    Compute(&'static str),
    /// An option of the command line, and this keyword of `linearize` in Python.
    CommandLine(&'static str),
    /// Nowhere: `ours` says why.
    Nowhere,
}

const fn key(ours: &'static str, names: &'static [&'static str]) -> Brought {
    Brought { names, ours, place: Place::Analysis }
}

const fn quantity(ours: &'static str, names: &'static [&'static str]) -> Brought {
    Brought { names, ours, place: Place::Quantity }
}

const fn value(ours: &'static str, names: &'static [&'static str]) -> Brought {
    Brought { names, ours, place: Place::Value }
}

/// Every name, of SciPy, scikit-learn, torch, JAX, curvlinops, matfree and neural-tangents.
pub const ALL: &[Brought] = &[
    key("count", &["k", "n_components", "num_eigenvalues", "n_eigenvalues", "num_eigs", "n_eigs", "neigs", "nev"]),
    key("rtol", &["tol", "tolerance", "rel_tol", "eps", "precision_goal"]),
    key(
        "max_matvecs",
        &[
            "num_matvecs",
            "maxiter",
            "max_iter",
            "maxit",
            "max_iters",
            "n_iter",
            "num_iter",
            "n_iters",
            "num_iters",
            "num_samples",
            "n_samples",
            "n_probes",
            "num_probes",
            "num_vecs",
            "ncv",
            "lanczos_steps",
        ],
    ),
    key(
        "vectors",
        &[
            "return_eigenvectors",
            "eigenvectors",
            "return_vectors",
            "return_singular_vectors",
            "compute_uv",
            "compute_v",
        ],
    ),
    key("near", &["sigma", "shift"]),
    key("learning_rate", &["lr", "eta"]),
    key("noise", &["noise_variance", "sigma2", "damping", "ridge", "diag_reg", "jitter", "weight_decay"]),
    key("axes", &["dim", "dims", "trace_axes", "diagonal_axes"]),
    value("largest", &["LM", "LA"]),
    value("smallest", &["SM", "SA"]),
    value("f32", &["single", "float", "fp32", "torch.float32"]),
    value("f64", &["double", "fp64", "torch.float64"]),
    quantity(
        "eigenpairs",
        &["eigsh", "eigh", "eigs", "eig", "eigvalsh", "eigenvalues", "eigendecomposition", "lobpcg"],
    ),
    quantity("singular_triplets", &["svd", "svds", "randomized_svd", "singular_values", "svdvals"]),
    quantity("effective_rank", &["participation_ratio", "effective_dimension", "dimensionality"]),
    quantity("entropy_rank", &["entropy", "spectral_entropy", "erank"]),
    quantity("frobenius", &["fro", "frobenius_norm", "norm_fro"]),
    quantity("norm", &["spectral_norm", "operator_norm", "lambda_max", "largest_eigenvalue"]),
    quantity("log_det", &["logdet", "slogdet", "logdeterminant"]),
    quantity("density", &["spectral_density", "slq", "dos", "spectrum"]),
    quantity("marginal", &["partial_trace"]),
    quantity("matrix", &["to_dense", "todense", "toarray", "empirical_ntk_fn", "entk", "gram"]),
    quantity("alignment", &["cka", "kernel_alignment", "similarity"]),
    quantity("lyapunov", &["lyapunov_exponents", "lyapunov_spectrum"]),
    quantity("diagonal", &["diag"]),
    quantity("apply", &["mvp", "vp", "jvp", "vjp"]),
    quantity("solve", &["cg", "inv", "inverse", "pinv", "lstsq"]),
    Brought { names: &["random_state", "rng", "generator", "prng_key"], ours: "seed", place: Place::Compute("seed") },
    Brought { names: &["dtype", "x64"], ours: "precision", place: Place::Compute("dtype") },
    Brought {
        names: &["batch_size", "chunk_size", "vmap_chunk_size", "block_size"],
        ours: "block",
        place: Place::Compute("block"),
    },
    Brought {
        names: &["n_jobs", "threads", "num_threads", "n_threads", "workers", "num_workers"],
        ours: "--threads",
        place: Place::CommandLine("threads"),
    },
    Brought {
        names: &["device", "cuda", "gpu", "use_gpu", "device_count"],
        ours: "there is no device to choose: it runs on this machine's cores, and under mpirun on those of others",
        place: Place::Nowhere,
    },
    Brought {
        names: &["f16", "float16", "bfloat16", "bf16", "half"],
        ours: "sums of so few digits would tell nothing; weights of 16 bits are read, and computed with in f32 or f64",
        place: Place::Nowhere,
    },
];

/// What is known of a name of another library's.
fn known(word: &str) -> impl Iterator<Item = &'static Brought> + '_ {
    ALL.iter().filter(move |b| b.names.contains(&word))
}

/// Which of the words another library's name stands for.
pub fn among<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    known(word).find_map(|b| words.iter().copied().find(|w| *w == b.ours))
}

/// What another library's name is here, where it is none of the words that could stand in its place.
pub fn elsewhere(word: &str) -> Option<String> {
    known(word).next().map(|b| match b.place {
        Place::Analysis => format!("here it is \"{}\", which is not for this", b.ours),
        Place::Quantity => format!("here it is the quantity {}", b.ours),
        Place::Value => format!("here it is \"{}\"", b.ours),
        Place::Compute(python) => format!("here it is {} of [compute], in Python {python} of linearize", b.ours),
        Place::CommandLine(python) => {
            format!("here it is {} N on the command line, in Python {python} of linearize", b.ours)
        }
        Place::Nowhere => b.ours.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::keys;
    use std::collections::HashSet;

    #[test]
    fn every_name_leads_to_one_of_ours() {
        let mut keys: Vec<&str> = keys::all().flat_map(|k| k.names()).collect();
        keys.extend(["name", "operator", "quantity", "method"]);
        let quantities: Vec<&str> = crate::analysis::ALL.iter().map(|q| q.name).collect();
        let mut seen = HashSet::new();
        for b in ALL {
            let there: &[&str] = match b.place {
                Place::Analysis => &keys,
                Place::Quantity => &quantities,
                Place::Value => &["largest", "smallest", "f32", "f64"],
                Place::Compute(_) => &["seed", "precision", "block"],
                Place::CommandLine(_) => &["--threads"],
                Place::Nowhere => &[b.ours],
            };
            assert!(there.contains(&b.ours), "there is no {}", b.ours);
            for name in b.names {
                assert!(seen.insert(name), "{name} is there twice");
                // What becomes one of ours is no other library's any more.
                let ours = if b.place == Place::Analysis { &keys } else { &quantities };
                assert!(!ours.contains(name), "{name} is ours by now");
            }
        }
    }
}
