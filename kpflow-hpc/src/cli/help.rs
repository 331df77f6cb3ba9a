//! What the help of each command shows after its options.

/// `kpflow --help`.
pub const ALL: &str = "\
Examples:
  kpflow info model.safetensors      what is in a file, and what a job says of it
  kpflow check job.toml              is what would be computed right?
  kpflow run job.toml --dry-run      what would be done, how long it would take
  kpflow run job.toml                do it
  mpirun -n 4 kpflow run job.toml    the same on four ranks: the same numbers

Exit status: 0 done; 1 failed while running; 2 the job, a file or the usage is wrong.";

/// `kpflow run --help`.
pub const RUN: &str = "\
Examples:
  kpflow run job.toml                          all analyses, on all cores of this machine
  kpflow run job.toml --dry-run                reads everything, tells method, memory and time, writes nothing
  mpirun -n 8 kpflow run job.toml              trajectories divided over eight ranks
  mpirun -n 8 kpflow run job.toml --grid 4x2   four parts of the trajectories, two of the probes
  kpflow run job.toml --resume                 go on after a time limit, a signal or a crash
  kpflow run job.toml --redo                   so, and make again what was made of other weights, inputs or keys
  kpflow run job.toml --log json 2>events      one JSON object a line for other programs

A job:
  [model]
  kind    = \"gru\"
  weights = \"model.safetensors\"
  [data]
  inputs = \"inputs.npy\"
  [[analysis]]
  name     = \"rank\"
  quantity = \"effective_rank\"

kpflow-hpc/JOB.md has all keys; kpflow info FILE tells kind and prefix of a checkpoint.";

/// `kpflow plan --help`.
pub const PLAN: &str = "\
Examples:
  kpflow plan job.toml                                 memory and time by the number of ranks
  kpflow plan job.toml --ranks 64 --threads 8          in detail for 64 ranks of 8 threads
  kpflow plan job.toml --gflops 500 --network 1.5,25   for another machine: its rate, latency in µs, GB/s
  mpirun -n 2 kpflow plan job.toml                     with the network measured";

/// `kpflow check --help`.
pub const CHECK: &str = "\
Examples:
  kpflow check job.toml               dot tests, finite differences, a real step of gradient descent
  mpirun -n 3 kpflow check job.toml   the same, divided over ranks

Every line begins with ok or FAILED; exit status 1 if one failed.";

/// `kpflow info --help`.
pub const INFO: &str = "\
Examples:
  kpflow info model.safetensors   its tensors, and which kind and prefix a job would name
  kpflow info model.onnx          its inputs and operators, and whether all are known
  kpflow info inputs.h5           its arrays, and which of them can be inputs
  kpflow info results.h5          what has been found so far
  kpflow info results.h5 --json   the same for a program";

/// `kpflow completions --help`.
pub const COMPLETIONS: &str = "\
Examples:
  kpflow completions bash > ~/.local/share/bash-completion/completions/kpflow
  kpflow completions zsh  > ~/.zfunc/_kpflow         (with fpath+=~/.zfunc before compinit in ~/.zshrc)
  kpflow completions fish > ~/.config/fish/completions/kpflow.fish";

/// `kpflow man --help`.
pub const MAN: &str = "\
Examples:
  kpflow man | man -l -                        read the page of kpflow itself
  kpflow man ~/.local/share/man/man1           write kpflow.1, kpflow-run.1, … there; then: man kpflow-run";

/// `kpflow report --help`.
pub const REPORT: &str = "\
Examples:
  kpflow report results.h5
  kpflow report init.h5 step300.h5 step1500.h5 --output training.html
  kpflow report results.h5 --figures figures       every figure as SVG and PNG too";

/// `kpflow compare --help`.
pub const COMPARE: &str = "\
Examples:
  kpflow compare one_rank.h5 two_ranks.h5
  kpflow compare a.h5 b.h5 --json | jq '.rows[] | select(.agrees | not)'";

/// `kpflow train --help`.
pub const TRAIN: &str = "\
Examples:
  kpflow train train.toml               train, and write checkpoints, loss.csv and resume.safetensors
  mpirun -n 4 kpflow train train.toml   the same training, the trajectories of a batch on four ranks
  kpflow train train.toml --resume      go on after an interruption, or with more steps

A training job:
  [model]
  kind = \"gru\"
  hidden = 64
  [task]
  name = \"memory_pro\"
  [training]
  learning_rate = 1e-3
  steps = 2000
  checkpoints = [0, 300]

kpflow-hpc/TRAIN.md has all keys and formulas.";

/// `kpflow demo --help`.
pub const DEMO: &str = "\
Examples:
  kpflow demo                    list the demos
  kpflow demo memory_pro         write one into ./memory_pro, and say what to run next
  kpflow demo flip_flop /tmp/ff  write it there";
