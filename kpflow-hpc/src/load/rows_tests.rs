//! Parts of arrays, and rows of tensors, are what the whole has there.

use super::tests::{golden, line, npy, source};
use super::{Array, Checkpoint};
use hdf5_sys::h5d::{H5Dclose, H5Dcreate2, H5Dwrite};
use hdf5_sys::h5p::H5P_DEFAULT;
use hdf5_sys::h5s::{H5Sclose, H5Screate_simple, H5S_ALL};
use hdf5_sys::h5t::H5T_STD_B8LE;
use safetensors::tensor::TensorView;
use safetensors::Dtype;
use std::path::Path;

const SHAPE: [usize; 4] = [3, 5, 2, 4];

/// Writes bytes of which libhdf5 makes no numbers, as PyTables writes truth values.
fn write_bits(file: &hdf5::File, bytes: &[u8]) {
    hdf5::sync::sync(|| unsafe {
        let space = H5Screate_simple(4, SHAPE.map(|d| d as u64).as_ptr(), std::ptr::null());
        let (name, kind) = (c"bits".as_ptr(), *H5T_STD_B8LE);
        let set = H5Dcreate2(file.id(), name, kind, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert!(H5Dwrite(set, kind, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.as_ptr().cast()) >= 0);
        H5Dclose(set);
        H5Sclose(space);
    });
}

/// The numbers 0 to 119 of four axes in every container, in either order, in chunks, as bits.
fn arrays(directory: &Path) -> Vec<Array> {
    let at = |name: &str| directory.join(name);
    let numbers: Vec<f32> = (0..120).map(|i| i as f32).collect();
    let file = hdf5::File::create(at("x.h5")).unwrap();
    let cube = ndarray::Array::from_shape_vec(SHAPE, numbers.clone()).unwrap();
    file.new_dataset_builder().with_data(&cube).create("plain").unwrap();
    file.new_dataset_builder().with_data(&cube).chunk((2, 3, 1, 4)).deflate(3).create("chunks").unwrap();
    write_bits(&file, &(0..120).collect::<Vec<u8>>());
    file.close().unwrap();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let header = |order: &str| format!("{{'descr': '<f4', 'fortran_order': {order}, 'shape': (3, 5, 2, 4), }}\n");
    npy(&at("c.npy"), &header("False"), &bytes(&numbers));
    let transposed: Vec<f32> = cube.t().iter().copied().collect();
    npy(&at("f.npy"), &header("True"), &bytes(&transposed));
    let all = bytes(&numbers);
    let view = TensorView::new(Dtype::F32, SHAPE.to_vec(), &all).unwrap();
    safetensors::serialize_to_file([("x", view)], None, &at("x.safetensors")).unwrap();
    let set = |name: &str| Array::open(&source(&at("x.h5"), Some(name))).unwrap();
    let file = |name: &str| Array::open(&source(&at(name), None)).unwrap();
    vec![set("plain"), set("chunks"), set("bits"), file("c.npy"), file("f.npy"), file("x.safetensors")]
}

#[test]
fn rows_within_a_row_are_those_of_the_whole() {
    let directory = tempfile::tempdir().unwrap();
    let numbers: Vec<f64> = (0..120).map(f64::from).collect();
    for array in arrays(directory.path()) {
        for range in [0..3, 1..2, 2..3, 1..1] {
            assert_eq!(array.read_rows::<f64>(range.clone()).unwrap(), numbers[40 * range.start..40 * range.end]);
        }
        for v in 0..3 {
            for range in [0..5, 1..3, 4..5, 2..2] {
                let found = array.read_of::<f64>(Some(v), range.clone(), None).unwrap();
                assert_eq!(found, numbers[40 * v + 8 * range.start..40 * v + 8 * range.end], "{v} {range:?}");
            }
            // Behind a trajectory's end there are zeros.
            let ended = array.read_of::<f64>(Some(v), 3..5, Some(&[2, 2, 2, 1, 2])).unwrap();
            let right = [&numbers[40 * v + 24..40 * v + 28], &[0.0; 4], &numbers[40 * v + 32..40 * v + 40]].concat();
            assert_eq!(ended, right);
        }
        let (mut all, mut parts) = (Vec::new(), 0);
        array.in_parts::<f32>(|part| (all.extend(part.iter().map(|&x| f64::from(x))), parts += 1).0).unwrap();
        assert_eq!((all, parts), (numbers.clone(), 3));
    }
}

#[test]
fn a_number_that_is_none_is_told_by_its_place_in_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.npy");
    let mut numbers = [0.0f64; 24];
    numbers[17] = f64::NAN;
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    npy(&path, "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3, 2, 2), }\n", &bytes);
    let array = Array::open(&source(&path, None)).unwrap();
    assert!(array.read_of::<f64>(Some(1), 0..1, None).is_ok() && array.read_of::<f64>(Some(0), 0..3, None).is_ok());
    assert!(line(array.read_of::<f64>(Some(1), 1..2, None)).contains("NaN at index [1, 1, 0, 1]"));
    assert!(line(array.in_parts::<f64>(|_| ())).contains("NaN at index [1, 1, 0, 1]"));
}

#[test]
fn rows_of_a_tensor_are_those_of_the_whole() {
    for file in [golden("gru.safetensors"), golden("../reference/checkpoints/nested.pt")] {
        let c = Checkpoint::open(&file, "").unwrap();
        let matrices: Vec<(String, Vec<usize>)> =
            c.names().iter().filter_map(|n| Some((n.clone(), c.shape(n)?))).filter(|(_, s)| s.len() == 2).collect();
        assert!(!matrices.is_empty());
        for (name, shape) in matrices {
            let whole = c.tensor::<f64>(&[&name]).unwrap().unwrap();
            let last = shape[0] - 1;
            for rows in [&[0, 1, last][..], &[last], &[], &(0..=last).collect::<Vec<_>>()] {
                let found = c.rows::<f64>(&name, &shape, rows).unwrap();
                let right: Vec<f64> =
                    rows.iter().flat_map(|r| whole.data[r * shape[1]..][..shape[1]].to_vec()).collect();
                assert_eq!((found.shape, found.data), (vec![rows.len(), shape[1]], right), "{name} {rows:?}");
                let outline = c.clone().outline().rows::<f64>(&name, &shape, rows).unwrap();
                assert_eq!(
                    (outline.shape, outline.data),
                    (vec![rows.len(), shape[1]], vec![0.0; rows.len() * shape[1]])
                );
            }
            assert!(line(c.rows::<f64>(&name, &[shape[0] + 1, shape[1]], &[0])).contains("it should be"));
        }
    }
}
