//! The words of the job file and what they mean.

use crate::analysis;

/// Makes an enum of words: `ALL` pairs each word with its meaning.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every word and its meaning.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($word, $name::$variant)),*];

            /// The word.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $word),* }
            }
        }
    };
}

words! {
    /// A kind of model.
    Kind {
        /// Elman's network.
        Rnn = "rnn",
        /// The leaky integrator.
        LeakyRnn = "leaky_rnn",
        /// The gated recurrent unit.
        Gru = "gru",
        /// The long short-term memory.
        Lstm = "lstm",
        /// A multilayer perceptron.
        Mlp = "mlp",
        /// A convolutional net.
        Conv = "conv",
        /// A neural ordinary differential equation.
        NeuralOde = "neural_ode",
        /// A pre-LayerNorm transformer.
        Transformer = "transformer",
        /// GPT-2 by its Hugging Face names.
        Gpt2 = "gpt2",
        /// BERT by its Hugging Face names.
        Bert = "bert",
        /// Any ONNX graph.
        Onnx = "onnx",
    }
}

impl Kind {
    /// Whether it goes through time step by step, so that a trajectory may end before others.
    pub fn is_recurrent(self) -> bool {
        matches!(self, Kind::Rnn | Kind::LeakyRnn | Kind::Gru | Kind::Lstm)
    }
}

words! {
    /// A number type.
    Precision {
        /// Single.
        F32 = "f32",
        /// Double.
        F64 = "f64",
    }
}

words! {
    /// An operator.
    Operator {
        /// P K Pᵀ.
        Ntk = "ntk",
        /// K.
        Parameter = "parameter",
        /// P.
        Propagator = "propagator",
        /// P Pᵀ.
        PropagatorGram = "propagator_gram",
        /// Σ_sites U Uᵀ.
        Core = "core",
        /// P⁻¹.
        Constraint = "constraint",
    }
}

words! {
    /// What is asked of an operator.
    Quantity {
        /// tr A.
        Trace = "trace",
        /// ‖A‖_F.
        Frobenius = "frobenius",
        /// tr(A)² / ‖A‖_F².
        EffectiveRank = "effective_rank",
        /// ‖A‖_F² / ‖A‖².
        StableRank = "stable_rank",
        /// exp(−Σ p log p), p = λ / tr A.
        EntropyRank = "entropy_rank",
        /// log det(I + A/σ²).
        LogDet = "log_det",
        /// The largest |λ|, or singular value.
        Norm = "norm",
        /// The largest eigenvalues, their residuals and, if asked, vectors.
        Eigenpairs = "eigenpairs",
        /// The largest singular values, their residuals and, if asked, vectors.
        SingularTriplets = "singular_triplets",
        /// The spectral density.
        Density = "density",
        /// A partial trace.
        Marginal = "marginal",
        /// The whole matrix.
        Matrix = "matrix",
        /// ‖A_ab‖_F between the variables of the state, and tr A_aa.
        Blocks = "blocks",
        /// ⟨A, B⟩ / (‖A‖‖B‖).
        Alignment = "alignment",
        /// eᵀ A e / (‖e‖² λ_max).
        Learnability = "learnability",
        /// Lyapunov exponents.
        Lyapunov = "lyapunov",
    }
}

words! {
    /// An axis of the state.
    Axis {
        /// B.
        Trajectory = "trajectory",
        /// T.
        Time = "time",
        /// N.
        Unit = "unit",
    }
}

words! {
    /// A way to find a quantity.
    Method {
        /// The best of those there are.
        Auto = "auto",
        /// Closed forms and Gramians, no randomness.
        Exact = "exact",
        /// The whole matrix.
        Dense = "dense",
        /// Hutchinson's estimator.
        Hutchinson = "hutchinson",
        /// Hutch++.
        Hutchpp = "hutchpp",
        /// XTrace.
        Xtrace = "xtrace",
        /// XNysTrace.
        Xnystrace = "xnystrace",
        /// Nyström++.
        Nystrompp = "nystrompp",
        /// One sweep only.
        OneSided = "one_sided",
        /// Hutchinson's estimator on each trajectory by itself.
        PerTrajectory = "per_trajectory",
        /// XNysTrace on each trajectory by itself.
        PerTrajectoryXnystrace = "per_trajectory_xnystrace",
        /// Block Krylov iteration.
        BlockKrylov = "block_krylov",
        /// Stochastic Lanczos quadrature.
        Lanczos = "lanczos",
    }
}

impl Operator {
    /// Whether it is symmetric and positive semidefinite.
    pub fn symmetric(self) -> bool {
        !matches!(self, Operator::Propagator | Operator::Constraint)
    }
}

impl Quantity {
    /// Everything else that is known of it.
    pub fn described(self) -> &'static analysis::Quantity {
        match self {
            Quantity::Trace => &analysis::TRACE,
            Quantity::Frobenius => &analysis::FROBENIUS,
            Quantity::EffectiveRank => &analysis::EFFECTIVE_RANK,
            Quantity::StableRank => &analysis::STABLE_RANK,
            Quantity::EntropyRank => &analysis::ENTROPY_RANK,
            Quantity::LogDet => &analysis::LOG_DET,
            Quantity::Norm => &analysis::NORM,
            Quantity::Eigenpairs => &analysis::EIGENPAIRS,
            Quantity::SingularTriplets => &analysis::SINGULAR_TRIPLETS,
            Quantity::Density => &analysis::DENSITY,
            Quantity::Marginal => &analysis::MARGINAL,
            Quantity::Matrix => &analysis::MATRIX,
            Quantity::Blocks => &analysis::BLOCKS,
            Quantity::Alignment => &analysis::ALIGNMENT,
            Quantity::Learnability => &analysis::LEARNABILITY,
            Quantity::Lyapunov => &analysis::LYAPUNOV,
        }
    }

    /// The methods that there are for it, or why there are none.
    pub fn methods(self, operator: Operator) -> Result<&'static [Method], &'static str> {
        use Method::*;
        let through_weights = matches!(operator, Operator::Ntk | Operator::Parameter | Operator::PropagatorGram);
        let closed = matches!(operator, Operator::Parameter);
        Ok(match self {
            Quantity::Frobenius | Quantity::Norm | Quantity::SingularTriplets if !operator.symmetric() => match self {
                Quantity::Frobenius => &[Auto, Hutchinson],
                _ => &[Auto, BlockKrylov],
            },
            _ if !operator.symmetric() => {
                return Err("is for symmetric operators; this one has frobenius, norm and singular_triplets")
            }
            Quantity::Trace if !through_weights => &[Auto, Hutchinson, Hutchpp, Nystrompp, Xtrace, Xnystrace, Dense],
            Quantity::Trace => &[
                Auto,
                Exact,
                PerTrajectory,
                PerTrajectoryXnystrace,
                Hutchinson,
                Hutchpp,
                Nystrompp,
                Xtrace,
                Xnystrace,
                OneSided,
                Dense,
            ],
            Quantity::Frobenius | Quantity::EffectiveRank if closed => {
                &[Auto, Exact, Hutchpp, Hutchinson, OneSided, Dense]
            }
            Quantity::Frobenius | Quantity::EffectiveRank if through_weights => {
                &[Auto, Hutchpp, Hutchinson, OneSided, Dense]
            }
            Quantity::Frobenius | Quantity::EffectiveRank | Quantity::StableRank => &[Auto, Hutchpp, Hutchinson, Dense],
            Quantity::EntropyRank | Quantity::LogDet | Quantity::Density => &[Auto, Lanczos, Dense],
            Quantity::Norm | Quantity::Eigenpairs => &[Auto, BlockKrylov, Dense],
            Quantity::SingularTriplets => return Err("is for propagator and constraint; take eigenpairs"),
            Quantity::Matrix => &[Auto, Dense],
            Quantity::Marginal | Quantity::Blocks => &[Auto, Hutchinson, Dense],
            Quantity::Alignment if through_weights => &[Auto, Hutchpp, Hutchinson, OneSided, Dense],
            Quantity::Alignment => &[Auto, Hutchpp, Hutchinson, Dense],
            Quantity::Learnability => &[Auto, BlockKrylov, Dense],
            Quantity::Lyapunov => &[Auto, Exact],
        })
    }
}
