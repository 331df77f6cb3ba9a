//! The keys of `[[analysis]]`: what each is, and which values it takes.

use super::Quantity;

/// A key of the job.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Another name, by which a single one is said.
    pub single: Option<&'static str>,
    /// What it takes.
    pub kind: Kind,
    /// What holds where the job does not say.
    pub default: Unsaid,
    /// The method that it is for; all if none.
    pub method: Option<&'static str>,
    /// What it says, in a sentence.
    pub about: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy)]
pub enum Kind {
    /// true or false.
    Truth,
    /// A whole number.
    Whole {
        /// The least.
        least: i64,
    },
    /// A number.
    Number {
        /// Whether it is in the range.
        fits: fn(f64) -> bool,
        /// What is said of one that is not.
        wrong: &'static str,
        /// The range, in words.
        range: &'static str,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// One or two axes of the state.
    Axes,
    /// `FILE[:DATASET]`.
    File,
    /// [first, end] of the steps.
    Window,
    /// Different numbers of units.
    Units,
}

/// What holds where the job does not say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unsaid {
    /// The job has to say it.
    Required,
    /// Nothing.
    Nothing,
    /// A truth value.
    Truth(bool),
    /// A whole number.
    Whole(usize),
    /// A number.
    Number(f64),
    /// A word.
    Word(&'static str),
}

impl Key {
    /// Its name, and the other one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.single)
    }
}

/// What is the same of most keys.
pub(super) const PLAIN: Key =
    Key { name: "", single: None, kind: Kind::Truth, default: Unsaid::Truth(false), method: None, about: "" };

const POSITIVE: Kind =
    Kind::Number { fits: |x| x > 0.0 && x.is_finite(), wrong: "is not a positive number", range: "a positive number" };

/// Keys that mean something for every quantity.
pub const COMMON: [&Key; 5] = [&RTOL, &MAX_MATVECS, &WINDOW, &UNITS, &AVERAGE];

/// The relative error to reach.
pub const RTOL: Key = Key {
    name: "rtol",
    kind: Kind::Number {
        fits: |x| (0.0..1.0).contains(&x),
        wrong: "is not a tolerance; it is 0 or more, and less than 1: 0.05 is 5 %",
        range: "a number from 0 to below 1",
    },
    default: Unsaid::Number(1e-3),
    about: "Stop when the 95 % interval is surely within this of the value, relatively; of pairs and solutions when every residual is below, of matrices and diagonals by the norm of the errors.",
    ..PLAIN
};

/// The products that may be spent.
pub const MAX_MATVECS: Key = Key {
    name: "max_matvecs",
    kind: Kind::Whole { least: 1 },
    default: Unsaid::Whole(1000),
    about: "Or when this many operator products are spent; two one-sided sweeps count as one.",
    ..PLAIN
};

/// Steps of the state.
pub const WINDOW: Key = Key {
    name: "window",
    kind: Kind::Window,
    default: Unsaid::Nothing,
    about: "Only these steps of the state, from the first to before the end.",
    ..PLAIN
};

/// Units of the state.
pub const UNITS: Key = Key {
    name: "units",
    kind: Kind::Units,
    default: Unsaid::Nothing,
    about: "Only these units, in this order.",
    ..PLAIN
};

/// The mean over trajectories.
pub const AVERAGE: Key = Key {
    name: "average",
    about: "The mean over trajectories of the diagonal blocks, an operator on [1, T, N].",
    ..PLAIN
};

/// How many modes.
pub const COUNT: Key = Key {
    name: "count",
    kind: Kind::Whole { least: 1 },
    default: Unsaid::Whole(20),
    about: "How many, the largest first.",
    ..PLAIN
};

/// Which eigenvalues.
pub const WHICH: Key = Key {
    name: "which",
    kind: Kind::Word(&["largest", "smallest"]),
    default: Unsaid::Word("largest"),
    about: "The largest, or the smallest of those that are not 0; these are read from the exact matrix of the smaller side.",
    ..PLAIN
};

/// A number that eigenvalues are near to.
pub const NEAR: Key = Key {
    name: "near",
    kind: Kind::Number { fits: f64::is_finite, wrong: "is not a number", range: "a number" },
    default: Unsaid::Nothing,
    about: "In the place of `which`: those that are not 0 and nearest to this, read from the exact matrix too.",
    ..PLAIN
};

/// Whether vectors are kept.
pub const VECTORS: Key =
    Key { name: "vectors", about: "Whether the vectors are written too; a marginal's modes always are.", ..PLAIN };

/// The axes that a marginal is onto.
pub const AXES: Key = Key {
    name: "axes",
    single: Some("axis"),
    kind: Kind::Axes,
    default: Unsaid::Required,
    about: "The axes that are left; the operator is traced over the others.",
    ..PLAIN
};

/// A file that the operator meets.
pub const WITH: Key = Key {
    name: "with",
    kind: Kind::File,
    default: Unsaid::Required,
    about:
        "alignment: the other weights; learnability: the error signal, [B, T, N]; apply: x, solve: b, [B, T, N] or [m, B, T, N].",
    ..PLAIN
};

/// η.
pub const LEARNING_RATE: Key = Key {
    name: "learning_rate",
    kind: POSITIVE,
    default: Unsaid::Number(1.0),
    about: "η of gradient descent.",
    ..PLAIN
};

/// σ².
pub const NOISE: Key = Key {
    name: "noise",
    kind: POSITIVE,
    default: Unsaid::Number(1.0),
    about: "σ² of log det(I + A/σ²) and of (A + σ²)⁻¹ b.",
    ..PLAIN
};

/// The side from which a factor is swept.
pub const SIDE: Key = Key {
    name: "side",
    kind: Kind::Word(&["reverse", "forward"]),
    default: Unsaid::Word("reverse"),
    method: Some("one_sided"),
    about: "Error signals back through the model, or changes of the weights forward.",
    ..PLAIN
};

/// The keys that mean something for a quantity.
pub fn of(quantity: &'static Quantity) -> impl Iterator<Item = &'static Key> {
    COMMON.into_iter().chain(quantity.keys.iter().copied())
}

/// Every key, those of all quantities first.
pub fn all() -> impl Iterator<Item = &'static Key> {
    let own = super::ALL.iter().flat_map(|q| q.keys.iter().copied());
    let mut before: Vec<&str> = Vec::new();
    COMMON.into_iter().chain(own).filter(move |key| {
        let new = !before.contains(&key.name);
        before.push(key.name);
        new
    })
}
