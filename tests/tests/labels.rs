//! Result files tell what their axes are, in HDF5's dimension scales, and where they come from.

use hdf5::types::{FixedAscii, TypeDescriptor, VarLenUnicode};
use hdf5::{Dataset, Group, ObjectReference1};
use kpflow_tests::{golden, kpflow, Golden, Job, Results};

/// The names of a dataset's axes, by the scales that it points to.
fn axes(group: &Group, name: &str) -> Vec<String> {
    let set = group.dataset(name).unwrap_or_else(|e| panic!("{name}: {e}"));
    let list = set.attr("DIMENSION_LIST").unwrap().read_raw::<hdf5::types::VarLenArray<ObjectReference1>>().unwrap();
    let scale = |(references, length): (&hdf5::types::VarLenArray<ObjectReference1>, usize)| {
        let [reference] = references.as_slice() else { panic!("{name}: {} scales of an axis", references.len()) };
        let hdf5::ReferencedObject::Dataset(scale) = group.dereference(reference).unwrap() else { panic!("{name}") };
        assert_eq!(scale.size(), length, "{name}");
        let class = scale.attr("CLASS").unwrap().read_scalar::<FixedAscii<16>>().unwrap();
        assert_eq!(class.as_str(), "DIMENSION_SCALE", "{name}");
        assert!(scale.attr("REFERENCE_LIST").is_ok(), "{name}");
        scale.name().rsplit('/').next().unwrap().to_string()
    };
    list.iter().zip(set.shape()).map(scale).collect()
}

fn numbers(group: &Group, name: &str) -> Vec<i64> {
    group.dataset(name).unwrap().read_raw().unwrap()
}

/// Texts that Octave reads: of a fixed length, and said to be ASCII.
fn words(set: &Dataset) -> Vec<String> {
    let kind = set.dtype().unwrap().to_descriptor().unwrap();
    assert!(matches!(kind, TypeDescriptor::FixedAscii(_)), "{kind}");
    set.read_raw::<FixedAscii<64>>().unwrap().iter().map(|word| word.to_string()).collect()
}

fn all() -> Job {
    let file = |name: &str| golden(name).display().to_string();
    Job::new(Golden::open("gru").tables())
        .line("[output]\nstate = true")
        .analysis("unit", "ntk", "eigenpairs", "count = 2\nvectors = true\nwindow = [2, 5]\nunits = [3, 0]")
        .analysis("time", "ntk", "marginal", "axis = \"time\"\nwindow = [1, 4]")
        .analysis("pair", "ntk", "marginal", "axes = [\"unit\", \"time\"]\nwindow = [1, 3]\nunits = [4, 2]")
        .analysis("trace", "ntk", "trace", "method = \"hutchinson\"\nmax_matvecs = 20")
        .analysis("norm", "ntk", "norm", "")
        .analysis("density", "ntk", "density", "")
        .analysis("blocks", "ntk", "blocks", "")
        .analysis("one", "ntk", "apply", &format!("with = \"{}:/state\"", file("gru.h5")))
}

#[test]
fn axes_have_names_and_numbers() {
    let job = all();
    for ranks in [1, 2] {
        let results = job.run(ranks);
        // An analysis may be called what an axis is.
        let unit = results.group("unit");
        assert_eq!(axes(&unit, "eigenvectors"), ["mode", "trajectory", "time", "unit"]);
        assert_eq!(axes(&unit, "eigenvalues"), ["mode"]);
        assert_eq!((numbers(&unit, "time"), numbers(&unit, "unit")), (vec![2, 3, 4], vec![3, 0]));
        let time = results.group("time");
        assert_eq!(
            (axes(&time, "matrix"), axes(&time, "interval")),
            (["time", "time_2"].map(String::from).to_vec(), vec!["end".to_string()])
        );
        assert_eq!((numbers(&time, "time"), numbers(&time, "time_2")), (vec![1, 2, 3], vec![1, 2, 3]));
        let pair = results.group("pair");
        assert_eq!(
            (axes(&pair, "modes"), axes(&pair, "time")),
            (["mode", "kept"].map(String::from).to_vec(), vec!["kept".to_string()])
        );
        assert_eq!((numbers(&pair, "time"), numbers(&pair, "unit")), (vec![1, 1, 2, 2], vec![4, 2, 4, 2]));
        for (name, last) in [("trace", "standard_error"), ("norm", "bound")] {
            let group = results.group(name);
            assert_eq!(axes(&group, "history"), ["step", "column"]);
            assert_eq!(words(&group.dataset("column").unwrap()), ["matvecs", "value", last]);
        }
        assert_eq!(axes(&results.group("density"), "log10_density"), ["log10_grid"]);
        assert_eq!(words(&results.group("blocks").dataset("variable").unwrap()), ["h"]);
        assert_eq!(axes(&results.group("one"), "product"), ["trajectory", "time", "unit"]);
        let state = kpflow_tests::open(job.path("results.h5")).group("state").unwrap();
        assert_eq!(words(&state.dataset("variables").unwrap()), ["h"]);
        assert_eq!(
            (axes(&state, "layout"), axes(&state, "values")),
            (
                ["variables", "field"].map(String::from).to_vec(),
                ["trajectory", "time", "unit"].map(String::from).to_vec()
            )
        );
        std::fs::remove_file(job.path("results.h5")).unwrap();
    }
}

#[test]
fn a_scale_costs_little() {
    let job = Job::new(Golden::open("gru").tables()).analysis("t", "ntk", "trace", "max_matvecs = 20");
    job.run(1);
    // 25 KB without any.
    let bytes = std::fs::metadata(job.path("results.h5")).unwrap().len();
    assert!(bytes < 32 << 10, "{bytes} bytes");
}

#[test]
fn stages_have_numbers() {
    let text = Golden::open("gru").tables();
    let begins = text.find("weights").unwrap();
    let ends = begins + text[begins..].find('\n').unwrap();
    let job = Job::new(format!("{}weights = \"run/*.safetensors\"{}", &text[..begins], &text[ends..]));
    let job = job.analysis("t", "ntk", "trace", "");
    std::fs::create_dir_all(job.path("run")).unwrap();
    for stage in ["step_5", "step_40", "step_100"] {
        std::fs::copy(golden("gru.safetensors"), job.path(&format!("run/{stage}.safetensors"))).unwrap();
    }
    job.attempt(2).success();
    for (i, number) in [5, 40, 100].into_iter().enumerate() {
        let results = Results::open(&job.path(&format!("results.step_{number}.h5")));
        assert_eq!((results.integer("stage_index"), results.integer("stage_number")), (i as i64, number));
        assert_eq!(numbers(&results.group("t"), "stage"), [number]);
        let coordinates = results.group("t").attr("coordinates").unwrap().read_scalar::<FixedAscii<16>>().unwrap();
        assert_eq!(coordinates.as_str(), "stage");
    }
}

#[test]
fn files_say_where_they_come_from() {
    let job = Job::new(Golden::open("gru").tables()).analysis("t", "ntk", "trace", "");
    let results = job.run(1);
    let long = kpflow(1, &["--version"]).success();
    for (line, attribute) in [("MPI", "mpi_version"), ("BLAS", "blas_version"), ("HDF5", "hdf5_version")] {
        let line = long.lines().find_map(|l| l.strip_prefix(line)).unwrap_or_else(|| panic!("{long}"));
        assert_eq!(results.text(attribute), line.trim());
    }
    assert!(!results.text("host").is_empty());
    let files = results.text("files");
    for file in ["gru.safetensors", "gru.h5"] {
        let path = golden(file).canonicalize().unwrap();
        assert!(files.contains(&format!("\"path\":\"{}\"", path.display())), "{files}");
    }
    assert_eq!(files.matches("xxh3:").count(), 2, "{files}");
}

/// A file as an earlier version left it: its texts are of any length, and nothing is labelled.
#[test]
fn files_of_earlier_versions_are_gone_on_with() {
    let job = all();
    job.run(1);
    let file = kpflow_tests::open_rw(job.path("results.h5"));
    let state = file.group("state").unwrap();
    for name in ["variables", "field"] {
        state.unlink(name).unwrap();
    }
    let names = ["h".parse::<VarLenUnicode>().unwrap()];
    state.new_dataset_builder().with_data(&names).create("variables").unwrap();
    state.dataset("layout").unwrap().delete_attr("DIMENSION_LIST").unwrap();
    for name in ["files", "host", "mpi_version", "blas_version", "hdf5_version"] {
        file.delete_attr(name).unwrap();
    }
    file.group("analysis").unwrap().unlink("trace").unwrap();
    drop(state);
    file.close().unwrap();
    let results = job.flag("--resume").run(1);
    assert_eq!(axes(&results.group("trace"), "history"), ["step", "column"]);
    assert!(!results.text("host").is_empty());
}
