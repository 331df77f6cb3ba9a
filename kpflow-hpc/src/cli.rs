//! The command line.

mod help;

use crate::error::{Error, Result};
use crate::versions;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::PathBuf;

/// The neural tangent kernel's spectrum of trained networks, on a laptop or under MPI.
#[derive(Debug, Parser)]
#[command(name = "kpflow", bin_name = "kpflow", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = help::ALL)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Run every analysis of a job and write its result file
    #[command(after_help = help::RUN)]
    Run(Run),
    /// Tell memory, network bytes, flops and time of a job by the number of ranks, before anything runs
    #[command(after_help = help::PLAN)]
    Plan(Plan),
    /// Train a recurrent network on a task; its checkpoints are what `kpflow run` reads
    #[command(after_help = help::TRAIN)]
    Train(Train),
    /// Write a ready job with inputs and trained weights
    #[command(after_help = help::DEMO)]
    Demo(Demo),
    /// Check the operators of a job: adjoints, linearisation, a small gradient step
    #[command(after_help = help::CHECK)]
    Check {
        /// The job file
        #[arg(value_name = "JOB.toml")]
        job: PathBuf,
        /// Threads of each rank [default: its share of the machine]
        #[arg(long, value_name = "N", value_parser = count)]
        threads: Option<usize>,
    },
    /// Make one page of figures and tables of result files
    #[command(after_help = help::REPORT)]
    Report(Report),
    /// Compare the quantities of two result files; status 1 where they differ by more than their errors
    #[command(after_help = help::COMPARE)]
    Compare(Compare),
    /// Tell what is in a checkpoint, an ONNX graph, a file of inputs or a result file
    #[command(after_help = help::INFO)]
    Info {
        /// The file: .safetensors, .onnx, .npy, .h5 or .hdf5
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print what a shell needs to complete kpflow's commands and options
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a directory
    #[command(after_help = help::MAN)]
    Man {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// The arguments of `kpflow report`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Result files; stages of one training in their order
    #[arg(value_name = "RESULTS.h5", required = true)]
    pub results: Vec<PathBuf>,
    /// Where to write the page
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
    /// Write every figure into this directory too, as SVG and as PNG
    #[arg(long, value_name = "DIR")]
    pub figures: Option<PathBuf>,
}

/// The arguments of `kpflow compare`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// A result file
    #[arg(value_name = "A.h5")]
    pub a: PathBuf,
    /// Another
    #[arg(value_name = "B.h5")]
    pub b: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How a run speaks on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// The arguments of `kpflow run`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Write the results here, not where the job says
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Go on where an earlier run of the job ended
    #[arg(long)]
    pub resume: bool,
    /// Go on so, and make again what is there of other weights, inputs or keys
    #[arg(long)]
    pub redo: bool,
    /// Read everything, tell what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Threads of each rank [default: its share of the machine]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// Divide the ranks so, trajectories × probes [default: as the job says]
    #[arg(long, value_name = "RxS", value_parser = grid)]
    pub grid: Option<[usize; 2]>,
    /// Print nothing but warnings and errors
    #[arg(long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more
    #[arg(long)]
    pub verbose: bool,
    /// What to print on standard error: lines for people, or one JSON object a line
    #[arg(long, value_name = "text|json", value_enum, default_value_t, hide_possible_values = true)]
    pub log: Log,
    /// Seconds between two lines of progress, where there is no terminal
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = pause)]
    pub every: u64,
}

impl Run {
    /// Whether to go on with what an earlier run left.
    pub fn resuming(&self) -> bool {
        self.resume || self.redo
    }
}

/// The arguments of `kpflow plan`.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Plan {
    /// The job file
    #[arg(value_name = "JOB.toml")]
    pub job: PathBuf,
    /// Tell in detail what this many ranks need [default: the best number]
    #[arg(long, value_name = "N", value_parser = count)]
    pub ranks: Option<usize>,
    /// Threads of each rank [default: this process's share of the machine]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
    /// Divide that many ranks so, trajectories × probes [default: as the job says]
    #[arg(long, value_name = "RxS", value_parser = grid, conflicts_with = "ranks")]
    pub grid: Option<[usize; 2]>,
    /// Latency in µs and bandwidth in GB/s [default: measured under mpirun, otherwise 2,10]
    #[arg(long, value_name = "LATENCY,BANDWIDTH")]
    pub network: Option<String>,
    /// GFLOP a second of a rank [default: measured]
    #[arg(long, value_name = "RATE")]
    pub gflops: Option<f64>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Seconds between two lines.
fn pause(text: &str) -> std::result::Result<u64, String> {
    text.parse().ok().filter(|&s| s > 0).ok_or_else(|| "it is a whole number of seconds, at least 1".into())
}

/// A whole number.
fn count(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "it is a whole number".into())
}

/// The arguments of `kpflow train`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Train {
    /// The training's job file
    #[arg(value_name = "TRAIN.toml")]
    pub job: PathBuf,
    /// Write into this directory, not where the job says
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
    /// Go on where an earlier run of the training ended
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// Begin anew over what an earlier training has written
    #[arg(long)]
    pub force: bool,
    /// Threads of each rank [default: its share of the machine]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print nothing but errors
    #[arg(long)]
    pub quiet: bool,
}

/// The arguments of `kpflow demo`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Demo {
    /// Which one; without it, all are listed
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(crate::tasks::names()))]
    pub name: Option<String>,
    /// Where it is written [default: a directory of its name]
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    pub force: bool,
}

/// Two numbers with an x between them.
fn grid(text: &str) -> std::result::Result<[usize; 2], String> {
    let number = |t: &str| t.trim().parse().ok().filter(|&n| n > 0 && n <= crate::comm::MOST_RANKS);
    let sides = text.split_once(['x', '×']).and_then(|(t, p)| Some([number(t)?, number(p)?]));
    sides.ok_or_else(|| "a grid is two numbers of ranks, trajectories × probes: 4x2".into())
}

/// The whole command line, for what is made of it.
pub fn description() -> clap::Command {
    Arguments::command()
}

/// Whether a command line asks for JSON, right usage or not.
pub fn asks_for_json(words: &[OsString]) -> bool {
    words.iter().any(|w| w == "--log=json") || words.windows(2).any(|w| w[0] == "--log" && w[1] == "json")
}

/// Parses the command line of a process, the program's name first; `None` once help or the version is told, by one rank (`speak`).
///
/// **Errors**: wrong usage, in one line.
pub fn parse(words: &[OsString], speak: bool) -> Result<Option<Command>> {
    // Of the description, which pages of the manual are made of, it is no part: it is of this machine.
    let told = Arguments::command().long_version(versions::long());
    match told.try_get_matches_from(words).and_then(|m| Arguments::from_arg_matches(&m)) {
        Ok(arguments) => Ok(Some(arguments.command)),
        // Help goes to standard output and ends with 0. Every rank then returns: leaving here would skip MPI_Finalize.
        Err(e) if !e.use_stderr() => {
            if speak {
                e.print().map_err(Error::run)?;
            }
            Ok(None)
        }
        Err(e) => Err(fold(&e)),
    }
}

/// Parses a command line, the program's name first.
///
/// **Errors**: wrong usage, or a request for help, in one line.
pub fn parse_from<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> Result<Command> {
    Arguments::try_parse_from(arguments).map(|a| a.command).map_err(|e| fold(&e))
}

/// One line of clap's several: what is wrong, the tip, the usage.
fn fold(e: &clap::Error) -> Error {
    // clap answers a bare `kpflow` with the whole help.
    if e.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Error::usage("no command was given; kpflow run JOB.toml, kpflow info FILE or kpflow --help");
    }
    let text = e.render().to_string();
    let mut parts = text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let first = parts.next().unwrap_or_default();
    let mut line = first.strip_prefix("error: ").unwrap_or(&first).to_string();
    for part in parts.filter(|p| !p.is_empty() && !p.starts_with("For more information")) {
        line.push_str("; ");
        line.push_str(&part.replacen("Usage:", "usage:", 1));
    }
    Error::usage(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command> {
        parse_from(line.split_whitespace())
    }

    #[test]
    fn commands() {
        let Ok(Command::Run(run)) = parse("kpflow run j.toml --output o.h5 --resume --threads 3 --grid 4x2 --quiet")
        else {
            panic!()
        };
        assert_eq!((run.job, run.output), ("j.toml".into(), Some("o.h5".into())));
        assert!(run.resume && run.quiet && !run.verbose && run.threads == Some(3) && run.grid == Some([4, 2]));
        assert!(matches!(parse("kpflow check --threads 1 j.toml"), Ok(Command::Check { .. })));
        assert!(matches!(parse("kpflow train t.toml --resume"), Ok(Command::Train(t)) if t.resume && !t.force));
        assert!(matches!(parse("kpflow demo"), Ok(Command::Demo(d)) if d.name.is_none()));
        assert!(matches!(parse("kpflow demo flip_flop d"), Ok(Command::Demo(d)) if d.directory == Some("d".into())));
    }

    #[test]
    fn wrong_usage_is_one_line() {
        for (line, right) in [
            ("kpflow", "no command was given; kpflow run JOB.toml"),
            ("kpflow rum j.toml", "unrecognized subcommand 'rum'; tip: a similar subcommand exists: 'run'"),
            (
                "kpflow run",
                "the following required arguments were not provided: <JOB.toml>; usage: kpflow run <JOB.toml>",
            ),
            ("kpflow run a b", "unexpected argument 'b' found; usage: "),
            (
                "kpflow run a --thread 2",
                "unexpected argument '--thread' found; tip: a similar argument exists: '--threads'",
            ),
            ("kpflow run a --threads -1", "unexpected argument '-1' found"),
            ("kpflow run a --grid 2", "invalid value '2' for '--grid <RxS>': a grid is two numbers of ranks"),
            ("kpflow run a --grid 2x0", "invalid value '2x0' for '--grid <RxS>'"),
            ("kpflow train a --force --resume", "the argument '--force' cannot be used with '--resume'"),
            ("kpflow demo flipflop", "invalid value 'flipflop' for '[NAME]' [possible values: flip_flop, memory_pro,"),
            ("kpflow run a --threads x", "invalid value 'x' for '--threads <N>'"),
            ("kpflow run a --quiet --verbose", "the argument '--quiet' cannot be used with '--verbose'"),
        ] {
            let e = parse(line).unwrap_err();
            assert_eq!(e.exit_code(), 2);
            let text = e.to_string();
            assert!(text.starts_with(right) && !text.contains('\n') && !text.contains("error:"), "{text}");
        }
    }

    #[test]
    fn the_description_is_sound() {
        description().debug_assert();
        // Every command has examples, which name it.
        for command in description().get_subcommands() {
            let help = command.get_after_help().map(|h| h.to_string()).unwrap_or_default();
            assert!(help.contains(&format!("kpflow {}", command.get_name())), "{}", command.get_name());
        }
    }
}
