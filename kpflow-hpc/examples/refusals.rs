//! Runs many command lines in one go of mpirun, which takes longer to start than they take: `refusals DIRECTORY…`, each with a file `arguments`,
//! a line each. Of each, one rank tells exit status and error; that the others have the same is checked.

use kpflow_hpc::comm::{Comm, World};
use kpflow_hpc::error::Result;
use kpflow_hpc::{cli, command};

/// As the program's: what an analysis holds is counted there.
#[global_allocator]
static MEMORY: kpflow_hpc::memory::Lines = kpflow_hpc::memory::Lines;

fn work(comm: Comm) -> Result<()> {
    let arguments = std::fs::read_to_string("arguments").expect("a file of arguments");
    command::perform(cli::parse_from(["kpflow"].into_iter().chain(arguments.lines()))?, comm)
}

fn main() {
    let world = World::new().expect("MPI");
    let comm = world.comm();
    comm.abort_on_panic();
    for directory in std::env::args().skip(1) {
        std::env::set_current_dir(&directory).expect("a directory");
        let (code, said) = work(comm).err().map_or((0, String::new()), |e| (e.exit_code(), e.to_string()));
        let mut roots = format!("{code}\t{said}").into_bytes();
        let own = roots.clone();
        comm.broadcast(&mut roots, 0);
        assert_eq!(own, roots, "the ranks differ");
        if comm.is_root() {
            println!("{directory}\t{code}\t{said}");
        }
    }
}
