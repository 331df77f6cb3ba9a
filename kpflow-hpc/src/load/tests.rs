use super::{Array, Source};
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use std::path::{Path, PathBuf};

pub(super) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

pub(super) fn source(path: &Path, dataset: Option<&str>) -> Source {
    Source { path: path.into(), dataset: dataset.map(String::from) }
}

/// The one line that `result` failed with, for the user.
pub(super) fn line<T>(result: crate::error::Result<T>) -> String {
    let e = result.err().expect("an error");
    assert_eq!(e.exit_code(), 2);
    let line = e.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

pub(super) fn npy(path: &Path, header: &str, data: &[u8]) {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_container_reads_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let numbers: Vec<f32> = (0..24).map(|i| i as f32 / 8.0).collect();
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let (h5, np, st) = (dir.path().join("x.h5"), dir.path().join("x.npy"), dir.path().join("x.safetensors"));
    let cube = ndarray::Array::from_shape_vec((4, 3, 2), numbers.clone()).unwrap();
    let file = hdf5::File::create(&h5).unwrap();
    file.new_dataset_builder().with_data(&cube).create("inputs").unwrap();
    file.new_dataset_builder().with_data(&cube.mapv(|x| (8.0 * x) as i32)).chunk((1, 3, 2)).create("integers").unwrap();
    file.close().unwrap();
    npy(&np, "{'descr': '<f4', 'fortran_order': False, 'shape': (4, 3, 2), }\n", &bytes);
    let view = TensorView::new(Dtype::F32, vec![4, 3, 2], &bytes).unwrap();
    safetensors::serialize_to_file([("inputs", view)], None, &st).unwrap();
    for (path, dataset, scale) in [
        (&h5, Some("/inputs"), 1.0),
        (&h5, Some("integers"), 8.0),
        (&np, None, 1.0),
        (&st, None, 1.0),
        (&st, Some("inputs"), 1.0),
    ] {
        let array = Array::open(&source(path, dataset)).unwrap();
        assert_eq!(array.shape(), [4, 3, 2]);
        for range in [0..4, 1..3, 3..4, 2..2] {
            let right: Vec<f64> =
                numbers[6 * range.start..6 * range.end].iter().map(|&x| scale * f64::from(x)).collect();
            assert_eq!(array.read_rows::<f64>(range).unwrap(), right);
        }
    }
    let several = line(Array::open(&source(&h5, None)));
    assert!(several.contains("has several datasets; name one as FILE:DATASET of /inputs, /integers"), "{several}");
    let missing = line(Array::open(&source(&h5, Some("/input"))));
    assert!(missing.contains("has no dataset /input; at its root are /inputs, /integers"), "{missing}");
    assert!(
        line(Array::open(&source(&golden("gru.h5"), Some("reference/ntk")))).contains("has no dataset reference/ntk")
    );
}

/// Tokens and masks come as whole numbers or truth values of any width.
#[test]
fn whole_numbers_of_every_width() {
    let dir = tempfile::tempdir().unwrap();
    let (np, st) = (dir.path().join("x.npy"), dir.path().join("x.safetensors"));
    let read = |path: &Path| Array::open(&source(path, None)).unwrap().read_rows::<f64>(0..2).unwrap();
    for (descr, dtype, width, signed) in [
        ("|b1", Dtype::BOOL, 1, false),
        ("|u1", Dtype::U8, 1, false),
        ("|i1", Dtype::I8, 1, true),
        ("<u2", Dtype::U16, 2, false),
        ("<i2", Dtype::I16, 2, true),
        ("<u4", Dtype::U32, 4, false),
        ("<i4", Dtype::I32, 4, true),
        ("<u8", Dtype::U64, 8, false),
        ("<i8", Dtype::I64, 8, true),
    ] {
        // The highest bit tells a sign from a magnitude.
        let high = if dtype == Dtype::BOOL { 1 } else { 0x80 };
        let mut bytes = vec![0u8; 4 * width];
        (bytes[0], bytes[width - 1 + 3 * width]) = (1, high);
        let last = match (dtype, signed) {
            (Dtype::BOOL, _) => 1.0,
            (_, true) => -(2f64.powi(8 * width as i32 - 1)),
            (_, false) => 2f64.powi(8 * width as i32 - 1),
        };
        npy(&np, &format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2, 2), }}\n"), &bytes);
        let view = TensorView::new(dtype, vec![2, 2], &bytes).unwrap();
        safetensors::serialize_to_file([("x", view)], None, &st).unwrap();
        for path in [&np, &st] {
            assert_eq!(read(path), [1.0, 0.0, 0.0, last], "{descr}");
        }
    }
    let h5 = dir.path().join("x.h5");
    let file = hdf5::File::create(&h5).unwrap();
    let truths = ndarray::arr2(&[[true, false], [false, true]]);
    file.new_dataset_builder().with_data(&truths).create("mask").unwrap();
    file.close().unwrap();
    assert_eq!(read(&h5), [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn wrong_inputs_say_where() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let head = |order: &str, shape: &str| format!("{{'descr': '<f8', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let open = || Array::open(&source(&path, None));
    let mut numbers = [0.0f64; 12];
    numbers[9] = f64::NEG_INFINITY;
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    npy(&path, &head("False", "(2, 3, 2)"), &bytes);
    // Said of the whole array's index, though only its second row is read.
    let found = line(open().and_then(|a| a.read_rows::<f64>(1..2)));
    assert!(found.contains("is -inf at index [1, 1, 1]"), "{found}");
    npy(&path, &head("True", "(2, 3, 2)"), &bytes);
    let found = line(open().and_then(|a| a.read_rows::<f64>(0..2)));
    assert!(found.contains("is -inf at index [1, 1, 1]"), "{found}");
    npy(&path, &head("False", "(2, 3, 9)"), &bytes);
    assert!(line(open()).contains("is cut short"));
    npy(&path, &head("False", "(1099511627776, 1)"), &bytes);
    assert!(line(open()).contains("is cut short"));
    for len in 0..60 {
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(dir.path().join("cut.npy"), &whole[..len]).unwrap();
        line(Array::open(&source(&dir.path().join("cut.npy"), None)));
    }
    let text = dir.path().join("x.txt");
    std::fs::write(&text, "1 2").unwrap();
    assert!(line(Array::open(&source(&text, None))).contains("inputs are .h5, .hdf5, .npy or .safetensors"));
    let h5 = dir.path().join("x.h5");
    assert!(line(Array::open(&source(&h5, None))).contains("cannot be read"));
    std::fs::write(&h5, "no").unwrap();
    assert!(line(Array::open(&source(&h5, None))).contains("is not an HDF5 file"));
    hdf5::File::create(&h5).unwrap().close().unwrap();
    assert!(line(Array::open(&source(&h5, None))).contains("has no dataset at its root"));
}
