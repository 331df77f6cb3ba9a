//! What goes wrong, said in one line.

use std::fmt;
use std::path::{Path, PathBuf};

/// Whether the user's files are wrong, or the run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The job, a file or the usage is wrong: exit status 2.
    Input,
    /// The program failed while running: exit status 1.
    Run,
    /// An analysis does not go on.
    Halted(Halt),
}

/// Why an analysis does not go on. All ranks learn of it at the same product, and it is handed back from there to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A rank received this signal.
    Signal(&'static str),
    /// The analysis does not ask for what it did when it was written down.
    Diverged,
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Halt::Signal(signal) => write!(f, "{signal} ended the analysis"),
            Halt::Diverged => f.write_str("what was written of the analysis is of another one"),
        }
    }
}

impl std::error::Error for Halt {}

impl From<Halt> for Error {
    fn from(halt: Halt) -> Self {
        Self { kind: Kind::Halted(halt), file: None, message: halt.to_string() }
    }
}

impl From<kpflow_estimate::Error> for Error {
    fn from(e: kpflow_estimate::Error) -> Self {
        if let kpflow_estimate::Error::Stopped(why) = e {
            return why.downcast::<Error>().map_or_else(Self::run, |error| *error);
        }
        // A size that the user asked for, or what came of the products.
        match matches!(e, kpflow_estimate::Error::TooLarge { .. }) {
            true => Self::usage(e),
            false => Self::run(e),
        }
    }
}

impl From<Error> for kpflow_estimate::Error {
    fn from(e: Error) -> Self {
        Self::stopped(e)
    }
}

/// An error: which file, what is wrong, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Whose fault it is.
    pub kind: Kind,
    /// The file, if it is about one.
    pub file: Option<PathBuf>,
    /// What is wrong; what would be right.
    pub message: String,
}

/// A result that may be an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A user's file is wrong.
    pub fn input(file: impl AsRef<Path>, message: impl fmt::Display) -> Self {
        Self { kind: Kind::Input, file: Some(file.as_ref().into()), message: message.to_string() }
    }
    /// The usage is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Input, file: None, message: message.to_string() }
    }
    /// The run failed.
    pub fn run(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Run, file: None, message: message.to_string() }
    }
    /// An error that says which analysis of a job it is about.
    pub fn in_analysis(self, job: &Path, name: &str) -> Self {
        let message = format!("in [[analysis]] {name}: {}", self.message);
        Self { message, file: self.file.or_else(|| Some(job.into())), ..self }
    }
    /// The status that the program ends with.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Input => 2,
            Kind::Run | Kind::Halted(_) => 1,
        }
    }
    /// The message, whatever it is made of, in one line.
    pub fn one_line(&self) -> String {
        self.message.split_whitespace().collect::<Vec<_>>().join(" ")
    }
    /// The error as bytes, to be sent to another rank.
    pub fn to_bytes(&self) -> Vec<u8> {
        let file = self.file.as_deref().map(|f| f.display().to_string()).unwrap_or_default();
        format!("{}\0{file}\0{}", self.exit_code(), self.message).into_bytes()
    }
    /// What [`to_bytes`](Error::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut parts = text.splitn(3, '\0');
        let mut next = || parts.next().unwrap_or_default().to_string();
        let (kind, file, message) = (next(), next(), next());
        let kind = if kind == "2" { Kind::Input } else { Kind::Run };
        Self { kind, file: (!file.is_empty()).then(|| file.into()), message }
    }
}

/// The first few of many names, for an error that says what there is.
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    let first: Vec<&str> = names.iter().take(12).map(AsRef::as_ref).collect();
    match names.len() {
        0 => "none".into(),
        n if n > first.len() => format!("{}, … ({n} in all)", first.join(", ")),
        _ => first.join(", "),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.one_line();
        match &self.file {
            Some(file) => write!(f, "{}: {message}", file.display()),
            None => f.write_str(&message),
        }
    }
}

impl std::error::Error for Error {}

impl From<kpflow_core::Error> for Error {
    fn from(e: kpflow_core::Error) -> Self {
        Self::run(e)
    }
}

/// What a call of the core gives whose sizes were computed from the operator's own: an error would be a mistake of this program.
#[track_caller]
pub fn fits<T>(result: std::result::Result<T, kpflow_core::Error>) -> T {
    result.unwrap_or_else(|e| panic!("a mistake in kpflow: {e}"))
}

#[cfg(test)]
mod tests {
    use super::{some_of, Error};

    #[test]
    fn many_names_are_cut() {
        let names: Vec<String> = (0..13).map(|i| i.to_string()).collect();
        assert_eq!(some_of::<&str>(&[]), "none");
        assert_eq!(some_of(&names[..12]), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11");
        assert_eq!(some_of(&names), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, … (13 in all)");
    }

    #[test]
    fn one_line_and_back() {
        let e = Error::input("a b.toml", "two\nlines;  right");
        assert_eq!(e.to_string(), "a b.toml: two lines; right");
        assert_eq!(Error::from_bytes(&e.to_bytes()), e);
        let e = Error::run("x");
        assert_eq!((Error::from_bytes(&e.to_bytes()), e.exit_code()), (e.clone(), 1));
    }
}
