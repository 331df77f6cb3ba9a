//! The words of the job file and what they mean.

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

impl Precision {
    /// Every word that it may be said by, and its meaning.
    pub const SAID: &'static [(&'static str, Precision)] =
        &[("f32", Self::F32), ("f64", Self::F64), ("float32", Self::F32), ("float64", Self::F64)];

    /// The one of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::SAID.iter().find(|said| said.0 == word).map(|said| said.1)
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
