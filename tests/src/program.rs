//! Running the built program, alone or under mpirun, with a limit of time: a hang is a failure.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What any run of the program may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The directory that holds what cargo built in this profile: `target/debug`, say.
pub fn target() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // A test lies in target/PROFILE/deps, a program in target/PROFILE.
    let directory = this.parent().unwrap();
    if directory.ends_with("deps") { directory.parent().unwrap() } else { directory }.into()
}

/// The program to test.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match std::env::var_os("KPFLOW_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let target = target();
    let profile = match target.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    // All of the workspace, so that features are what they were when the tests were built, and nothing is built twice.
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "kpflow",
            "--examples",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target.parent().unwrap())
        .current_dir(root())
        .status()
        .unwrap();
    assert!(status.success(), "cargo build of the program failed");
    target.join("kpflow")
}

/// What became of a run.
#[derive(Debug)]
pub struct Done {
    /// The exit status.
    pub status: ExitStatus,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
}

impl Done {
    /// Asserts that the run ended well, and gives what it printed on standard output.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// The lines on standard error that begin with `error:`.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|l| l.starts_with("error:")).collect()
    }
}

/// The command that runs the program on this many ranks; one rank runs it without mpirun.
pub fn command(ranks: usize, arguments: &[impl AsRef<OsStr>]) -> Command {
    command_of(program(), ranks, arguments)
}

/// The command that runs any program of the build on this many ranks.
pub fn command_of(program: &Path, ranks: usize, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = match ranks {
        1 => Command::new(program),
        _ => {
            let mut c = Command::new(root().join("scripts/mpirun.sh"));
            c.args(["-n", &ranks.to_string()]).arg(program);
            c
        }
    };
    command.args(arguments);
    command
}

/// Runs the program on this many ranks. One run at a time: the tests share a small machine.
#[track_caller]
pub fn kpflow(ranks: usize, arguments: &[impl AsRef<OsStr>]) -> Done {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    Background::start(command(ranks, arguments)).wait()
}

/// A run under way.
pub struct Background {
    child: Child,
    started: Instant,
    output: Option<[JoinHandle<String>; 2]>,
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut pipe = pipe.unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Background {
    /// Starts a command, in a process group of its own.
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let output = Some([collect(child.stdout.take().map(Box::new)), collect(child.stderr.take().map(Box::new))]);
        Self { child, started: Instant::now(), output }
    }

    /// Whether it still runs. Fails where the limit of time has passed.
    #[track_caller]
    pub fn running(&mut self) -> bool {
        let running = self.child.try_wait().unwrap().is_none();
        if running && self.started.elapsed() > LIMIT {
            // mpirun takes its ranks along when it is asked to end, but not when it is killed.
            self.signal("TERM");
            std::thread::sleep(Duration::from_secs(3));
            self.signal("KILL");
            panic!("still running after {} s", LIMIT.as_secs());
        }
        running
    }

    /// Waits until it ends.
    #[track_caller]
    pub fn wait(mut self) -> Done {
        while self.running() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = self.output.take().unwrap().map(|t| t.join().unwrap());
        Done { status, stdout, stderr }
    }

    /// Kills it and all its ranks, as a power cut would; what it printed until then.
    pub fn kill(mut self) -> String {
        // mpirun's ranks are in groups of their own, and outlive it by a little.
        let ranks = descendants(self.child.id());
        self.signal("KILL");
        let _ = Command::new("kill").arg("-KILL").args(ranks).stderr(Stdio::null()).status();
        self.child.wait().unwrap();
        let [stdout, _] = self.output.take().unwrap().map(|t| t.join().unwrap());
        stdout
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program alone, mpirun if there are several ranks.
    pub fn send(&self, signal: &str) {
        Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
    }

    fn signal(&self, signal: &str) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args([&format!("-{signal}"), "--", &group]).stderr(Stdio::null()).status();
    }
}

/// The processes that a process has begun, and those that they have.
fn descendants(of: u32) -> Vec<String> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let parent = |id: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let ids = all.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let children: Vec<u32> = ids.filter(|&id| parent(id) == Some(of)).collect();
    children.iter().flat_map(|&c| [vec![c.to_string()], descendants(c)].concat()).collect()
}

/// Runs one of the library's examples on this many ranks.
pub fn example(name: &str, ranks: usize, arguments: &[&OsStr]) -> Done {
    program(); // has cargo build the examples beside the program
    Background::start(command_of(&target().join("examples").join(name), ranks, arguments)).wait()
}

/// What the program said of one command line: an exit status, an error, what it printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exit status.
    pub code: i32,
    /// The error, in one line; empty where there is none.
    pub error: String,
    /// What it printed before.
    pub printed: String,
}

/// Runs a command line in each directory, of this many ranks all in one go, by the functions that the program calls.
pub fn perform(ranks: usize, directories: &[PathBuf], arguments: impl Fn(&Path) -> Vec<String>) -> Vec<Answer> {
    for directory in directories {
        std::fs::write(directory.join("arguments"), arguments(directory).join("\n")).unwrap();
    }
    let names: Vec<_> = directories.iter().map(|d| d.as_os_str()).collect();
    // What one go may take has a limit.
    let out: String = names.chunks(16).map(|names| example("refusals", ranks, names).success()).collect();
    let mut rest = out.as_str();
    let answer = |directory: &PathBuf| {
        let (printed, after) = rest.split_once(&format!("{}\t", directory.display())).expect("a line of each");
        let (line, after) = after.split_once('\n').unwrap_or((after, ""));
        rest = after;
        let (code, error) = line.split_once('\t').unwrap();
        Answer { code: code.parse().unwrap(), error: error.into(), printed: printed.into() }
    };
    directories.iter().map(answer).collect()
}
