use super::*;
use crate::network::Watched;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Held where a file is opened again, and where a process is started: HDF5 locks a file that it opens, and a process started meanwhile inherits the lock.
static LOCKS: Mutex<()> = Mutex::new(());

fn header() -> Header {
    Header {
        job: "x = 1\n".into(),
        model: "gru".into(),
        parameters: 7,
        shape: [1, 2, 3],
        seed: 5,
        precision: "f64".into(),
        grid: [1, 1],
        ranks: 1,
        threads: 1,
        started: UNIX_EPOCH + Duration::from_secs(1_709_210_096),
        lengths: Some(vec![2; 4]),
        variables: vec![Watched { name: "h".into(), offset: 0, stride: 3, positions: 2, width: 3 }],
        stage: None,
        warnings: vec!["one".into(), "two".into()],
        made_of: MadeOf::default(),
        files: "[]".into(),
    }
}

#[test]
fn written_read_and_resumed() {
    let _alone = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.h5");
    let file = ResultFile::create(&path, &header()).unwrap();
    let record = Record {
        value: Some(2.5),
        standard_error: Some(0.5),
        interval: Some([1.75, 3.5]),
        history: vec![[1.0, 2.0, 3.0]],
        tensors: vec![("eigenvectors", vec![2, 1, 2, 3], (0..12).map(f64::from).collect())],
        arrays: vec![
            ("eigenvalues", vec![2], vec![3.0, 1.0]),
            ("residuals", vec![2], vec![0.0, 0.1]),
            ("matrix", vec![2, 1], vec![4.0, 5.0]),
        ],
        ..Record::default()
    };
    file.add("a", record).unwrap();
    let (file, done) = ResultFile::resume(&path, &header(), &[], false).unwrap();
    assert_eq!(done, ["a"]);
    file.finish(Duration::from_secs(1), Spent::default()).unwrap();
    let h5 = hdf5::File::open(&path).unwrap();
    let status = h5.attr("status").unwrap().read_scalar::<VarLenUnicode>().unwrap();
    assert_eq!(status.as_str(), "complete");
    assert_eq!(h5.dataset("analysis/a/eigenvectors").unwrap().shape(), [2, 1, 2, 3]);
    assert_eq!(h5.dataset("analysis/a/matrix").unwrap().shape(), [2, 1]);
    assert_eq!(h5.dataset("state/layout").unwrap().read_raw::<i64>().unwrap(), [0, 3, 2, 3]);
    file.add_state(vec![1.0f32; 6]).unwrap();
    assert_eq!(hdf5::File::open(&path).unwrap().dataset("state/values").unwrap().shape(), [1, 2, 3]);
    assert_eq!(h5.dataset("analysis/a/value").unwrap().read_scalar::<f64>().unwrap(), 2.5);
    assert_eq!(h5.dataset("analysis/a/interval").unwrap().read_raw::<f64>().unwrap(), [1.75, 3.5]);
    assert_eq!(table::value(&h5.group("analysis/a").unwrap()).unwrap(), "2.5 ± 0.5 [1.8, 3.5]");
    drop(h5);
    // Another text is no other job; another key is, and is made again if that is asked for.
    let other = Header { job: "x = 2\n".into(), ..header() };
    let mut made = MadeOf::default();
    made.say("rtol", "0.1");
    let wanted = [("a".to_string(), made)];
    assert_eq!(ResultFile::resume(&path, &other, &[], false).unwrap().1, ["a"]);
    let refused = ResultFile::resume(&path, &other, &wanted, false).err().unwrap().to_string();
    assert!(refused.contains("another job: a (rtol = unsaid then and 0.1 now); --redo"), "{refused}");
    assert!(ResultFile::resume(&path, &other, &wanted, true).unwrap().1.is_empty());
    assert!(!hdf5::File::open(&path).unwrap().link_exists("analysis/a"));
    assert!(!dir.path().join("r.h5.tmp").exists());
}

#[test]
fn ends_are_told_where_they_say_more() {
    let ends = |interval| table::ends(10.0, interval, |x| format!("{x:.1}"));
    for none in
        [None, Some([10.0, 10.0]), Some([8.0, 12.0]), Some([8.0, 12.05]), Some([f64::NEG_INFINITY, f64::INFINITY])]
    {
        assert_eq!(ends(none), "", "{none:?}");
    }
    assert_eq!(ends(Some([8.0, 13.0])), " [8.0, 13.0]");
    assert_eq!(ends(Some([8.0, f64::INFINITY])), " [8.0, ∞]");
}

#[test]
fn nothing_but_results_is_replaced() {
    let _alone = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (path, link) = (dir.path().join("x.h5"), dir.path().join("link.h5"));
    for foreign in [&b"weights"[..], b""] {
        std::fs::write(&path, foreign).unwrap();
        let e = ResultFile::create(&path, &header()).err().unwrap();
        assert!(e.exit_code() == 2 && e.to_string().contains("not a result file"), "{e}");
        assert_eq!(std::fs::read(&path).unwrap(), foreign);
    }
    hdf5::File::create(&path).unwrap().create_group("inputs").unwrap();
    assert!(ResultFile::create(&path, &header()).is_err());
    assert!(hdf5::File::open(&path).unwrap().group("inputs").is_ok());
    std::fs::remove_file(&path).unwrap();
    ResultFile::create(&path, &header()).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    ResultFile::create(&link, &header()).unwrap().add("a", Record::<f64>::default()).unwrap();
    assert!(link.is_symlink() && hdf5::File::open(&path).unwrap().group("analysis/a").is_ok());
}

#[test]
fn a_failed_addition_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.h5");
    let file = ResultFile::create(&path, &header()).unwrap();
    std::fs::write(dir.path().join("r.h5.tmp"), b"what a killed run left").unwrap();
    file.add("a", Record::<f64>::default()).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert_eq!(file.add("a", Record::<f64>::default()).unwrap_err().exit_code(), 1);
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Writes results until it is killed; does nothing unless the test below starts it.
#[test]
fn endless_writer() {
    let Some(path) = std::env::var_os("KPFLOW_TEST_ENDLESS_WRITER") else { return };
    let file = ResultFile::create(Path::new(&path), &header()).unwrap();
    for i in 0.. {
        let tensors = vec![("eigenvectors", vec![4096, 1, 2, 3], vec![0.5; 6 * 4096])];
        let record =
            Record { arrays: vec![("eigenvalues", vec![4096], vec![1.0; 4096])], tensors, ..Record::default() };
        file.add(&format!("{i:06}"), record).unwrap();
    }
}

#[test]
fn a_killed_run_leaves_a_file_that_opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut most = 0;
    for round in 0..8 {
        let path = dir.path().join(format!("{round}.h5"));
        let alone = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "results::tests::endless_writer"])
            .env("KPFLOW_TEST_ENDLESS_WRITER", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        drop(alone);
        let begun = std::time::Instant::now();
        while !path.exists() && begun.elapsed().as_secs() < 20 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(11 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, done) = ResultFile::resume(&path, &header(), &[], false).unwrap();
        let h5 = hdf5::File::open(&path).unwrap();
        for name in &done {
            let vectors = h5.dataset(&format!("analysis/{name}/eigenvectors")).unwrap();
            assert!(vectors.read_raw::<f64>().unwrap().iter().all(|&x| x == 0.5));
        }
        most = most.max(done.len());
    }
    assert!(most > 1);
}

#[test]
fn nowhere_to_write() {
    let e = ResultFile::create(Path::new("/nonexistent/r.h5"), &header()).err().unwrap();
    assert_eq!(e.exit_code(), 2);
    assert!(ResultFile::create(Path::new("/tmp"), &header()).is_err());
}
