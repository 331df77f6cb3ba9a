//! Files as other tools write them: read right, or refused by name. tests/reference/make_formats.py
//! makes those that this crate cannot.

use super::tests::{golden, line, npy, source};
use super::Array;
use hdf5::plist::DatasetCreateBuilder;
use hdf5::{Group, Hyperslab, SliceOrIndex};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

fn formats() -> PathBuf {
    golden("../reference/formats/formats.h5")
}

fn names(group: &str) -> Vec<String> {
    let file = hdf5::File::open(formats()).unwrap();
    let names = file.group(group).unwrap().member_names().unwrap();
    assert!(!names.is_empty());
    names
}

fn read(path: &Path, dataset: &str) -> Vec<f64> {
    let array = Array::open(&source(path, Some(dataset))).unwrap();
    array.read_rows(0..array.shape()[0]).unwrap()
}

fn refusal(path: &Path, dataset: &str) -> String {
    line(Array::open(&source(path, Some(dataset))).and_then(|a| a.read_rows::<f64>(0..a.shape()[0])))
}

#[test]
fn every_type_of_number() {
    let numbers = read(&formats(), "numbers");
    assert_eq!(numbers[..3], [-1.125, -1.0, -0.875]);
    for name in names("plain") {
        assert_eq!(read(&formats(), &format!("plain/{name}")), numbers, "{name}");
    }
    for name in names("special") {
        let right = read(&formats(), &format!("special_numbers/{name}"));
        let bits = |x: Vec<f64>| x.into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(read(&formats(), &format!("special/{name}"))), bits(right), "{name}");
    }
    assert_eq!((names("plain").len(), names("special").len()), (11, 22));
}

#[test]
fn every_filter_that_is_read() {
    let numbers = read(&formats(), "numbers");
    let repeated = |x: &[f64]| x.iter().flat_map(|&x| [x; 32]).collect::<Vec<f64>>();
    for name in names("filtered") {
        let array = Array::open(&source(&formats(), Some(&format!("filtered/{name}")))).unwrap();
        assert_eq!(array.shape(), [3, 4, 64], "{name}");
        assert_eq!(array.read_rows::<f64>(0..3).unwrap(), repeated(&numbers), "{name}");
        assert_eq!(array.read_rows::<f32>(1..2).unwrap().len(), 256, "{name}");
        assert_eq!(array.read_rows::<f64>(1..2).unwrap(), repeated(&numbers[8..16]), "{name}");
        assert!(array.warnings().is_empty());
    }
    let scaled: Vec<f64> = numbers.iter().map(|x| 8.0 * x).collect();
    assert_eq!(read(&formats(), "filtered_scaled/nbit"), repeated(&scaled));
}

#[test]
fn what_is_not_read_is_named() {
    let file = hdf5::File::open(formats()).unwrap();
    for name in names("refused") {
        let says: hdf5::types::VarLenUnicode =
            file.dataset(&format!("refused/{name}")).unwrap().attr("says").unwrap().read_scalar().unwrap();
        let found = refusal(&formats(), &format!("refused/{name}"));
        assert!(found.contains(says.as_str()) && found.contains(&format!("dataset refused/{name}")), "{name}: {found}");
    }
    let found = refusal(&formats(), "/plain");
    assert!(found.contains("has no dataset /plain: it is a group; name one of its datasets /plain/bf16, "), "{found}");
}

#[test]
fn npy_of_either_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let shape = [3usize, 2, 2, 5];
    let numbers: Vec<f64> = (0..60).map(|i| i as f64 - 7.0).collect();
    let fortran = |f: &dyn Fn(usize) -> Vec<u8>| -> Vec<u8> {
        // The first axis is the fastest.
        let index = |i: usize| [i % 3, i / 3 % 2, i / 6 % 2, i / 12];
        (0..60).flat_map(|i| f(index(i).iter().zip(shape).fold(0, |c, (j, d)| c * d + j))).collect()
    };
    type Bytes<'a> = &'a dyn Fn(usize) -> Vec<u8>;
    let cases: [(&str, Bytes<'_>); 8] = [
        ("<f8", &|i| numbers[i].to_le_bytes().into()),
        (">f8", &|i| numbers[i].to_be_bytes().into()),
        (">f4", &|i| (numbers[i] as f32).to_be_bytes().into()),
        (">f2", &|i| half::f16::from_f64(numbers[i]).to_be_bytes().into()),
        ("<f2", &|i| half::f16::from_f64(numbers[i]).to_le_bytes().into()),
        (">i4", &|i| (numbers[i] as i32).to_be_bytes().into()),
        (">i2", &|i| (numbers[i] as i16).to_be_bytes().into()),
        (">i8", &|i| (numbers[i] as i64).to_be_bytes().into()),
    ];
    for (kind, bytes) in cases {
        for order in ["False", "True"] {
            let data = if order == "True" { fortran(bytes) } else { (0..60).flat_map(bytes).collect() };
            let header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': (3, 2, 2, 5), }}\n");
            npy(&path, &header, &data);
            let array = Array::open(&source(&path, None)).unwrap();
            for range in [0..3, 1..2, 2..3, 0..2] {
                let right = &numbers[20 * range.start..20 * range.end];
                assert_eq!(array.read_rows::<f64>(range).unwrap(), right, "{kind} {order}");
            }
        }
    }
    // Versions 2 and 3 have a longer length of the header.
    for version in [2u8, 3] {
        let header = "{'descr': '>f8', 'fortran_order': False, 'shape': (2, 1), }\n";
        let mut bytes =
            [b"\x93NUMPY", &[version, 0][..], &(header.len() as u32).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend([1.5f64, -2.0].iter().flat_map(|x| x.to_be_bytes()));
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Array::open(&source(&path, None)).unwrap().read_rows::<f64>(0..2).unwrap(), [1.5, -2.0]);
    }
}

#[test]
fn npy_that_holds_no_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    for (kind, says) in [
        ("'|O'", "objects, such as trials of different length"),
        ("'<f16'", "long double"),
        ("'<c8'", "complex numbers"),
        ("'|V2'", "astype(\"float32\")"),
        ("'<U3'", "type <U3; save it as float32"),
        ("'<M8[ns]'", "save it as float32"),
        ("[('go', '<f8'), ('nogo', '<i4')]", "structured type with the fields go, nogo; save one of them, x[\"go\"]"),
    ] {
        npy(&path, &format!("{{'descr': {kind}, 'fortran_order': False, 'shape': (3, 2), }}\n"), &[0; 400]);
        let found = line(Array::open(&source(&path, None)));
        assert!(found.contains(says), "{kind}: {found}");
    }
}

#[test]
fn files_of_other_tools_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let zip = |name: &str| [b"PK\x03\x04", &[0; 26][..], name.as_bytes(), &[0; 200]].concat();
    let npy = b"\x93NUMPY\x01\x00v\x00{".to_vec();
    let hdf5 = std::fs::read(golden("gru.h5")).unwrap();
    let matlab = [&b"MATLAB 7.3 MAT-file, Platform: GLNXA64"[..], &[b' '; 474], &hdf5].concat();
    for (name, bytes, says) in [
        ("x.npz", zip("arr_0.npy"), "a .npz archive, which is not read as inputs; save one array: numpy.save"),
        ("y.npy", zip("inputs.npy"), "a .npz archive"),
        ("x.npz", Vec::new(), "a .npz archive"),
        ("x.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".to_vec(), "scipy.io.loadmat(FILE)[NAME]"),
        ("y.mat", matlab.clone(), "axes are in reverse order"),
        ("y.h5", matlab, "axes are in reverse order"),
        ("x.csv", b"1,2".to_vec(), "a table of text"),
        ("x.pt", zip("archive/data.pkl"), "torch.load(FILE).numpy()"),
        ("y.pth", b"\x80\x02".to_vec(), "torch.load(FILE).numpy()"),
        ("z.h5", zip("archive/data.pkl"), "torch.load(FILE).numpy()"),
        ("x.pkl", b"\x80\x04".to_vec(), "a pickle, which kpflow does not run"),
        ("x.parquet", b"PAR1".to_vec(), "a table of columns"),
        ("x.h5", npy.clone(), "is a .npy file by its content; give it a name that ends with .npy"),
        ("x.dat", npy, "is a .npy file by its content"),
        ("x.npy", hdf5.clone(), "is an HDF5 file by its content"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let found = line(Array::open(&source(&path, None)));
        assert!(found.contains(says), "{name}: {found}");
    }
    // NetCDF-4, NWB and Keras files are HDF5 under other names; a block of the user's may come
    // first.
    for (name, bytes) in [("x.nwb", hdf5.clone()), ("y", hdf5.clone()), ("x.h5", [&[7; 512][..], &hdf5].concat())] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, "/inputs"), read(&golden("gru.h5"), "/inputs"), "{name}");
    }
}

#[test]
fn open_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.h5");
    std::fs::copy(golden("gru.h5"), &path).unwrap();
    let holder = std::fs::File::open(&path).unwrap();
    let lock = |how: i32| assert_eq!(unsafe { libc::flock(holder.as_raw_fd(), how) }, 0);
    lock(libc::LOCK_EX);
    let found = refusal(&path, "/inputs");
    assert!(found.contains("is open in another process") && found.contains("close it there, or"), "{found}");
    let results = crate::results::read::Results::open(&path).err().unwrap().to_string();
    assert!(results.contains("is open in another process"), "{results}");
    assert!(crate::results::replaceable(&path).err().unwrap().to_string().contains("is open in another process"));
    assert!(crate::info::of(&path).err().unwrap().to_string().contains("is open in another process"));
    // Several may read.
    lock(libc::LOCK_SH);
    assert_eq!(read(&path, "/inputs"), read(&golden("gru.h5"), "/inputs"));
    lock(libc::LOCK_UN);
    // A writer of the newest format marks the file, and takes the mark away when it closes it.
    let marked = hdf5::File::with_options().with_fapl(|p| p.libver_latest()).create(&path).unwrap();
    marked.new_dataset_builder().with_data(&ndarray::arr2(&[[1.0, 2.0]])).create("inputs").unwrap();
    marked.close().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(read(&path, "/inputs"), [1.0, 2.0]);
    bytes[11] |= 1;
    let sum = lookup3(&bytes[..44]);
    bytes[44..48].copy_from_slice(&sum.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let found = refusal(&path, "/inputs");
    assert!(found.contains("was not closed by one that ended") && found.contains("h5clear -s"), "{found}");
}

/// The checksum of HDF5's metadata: Bob Jenkins' lookup3.
fn lookup3(data: &[u8]) -> u32 {
    let mut s = [0xdead_beef_u32.wrapping_add(data.len() as u32); 3];
    let word = |c: &[u8]| c.iter().rev().fold(0u32, |w, b| (w << 8) | u32::from(*b));
    let chunks: Vec<&[u8]> = data.chunks(12).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        for (s, part) in s.iter_mut().zip(chunk.chunks(4)) {
            *s = s.wrapping_add(word(part));
        }
        let [mut a, mut b, mut c] = s;
        if i + 1 < chunks.len() {
            for (x, y, z, r) in [(0, 2, 1, 4), (1, 0, 2, 6), (2, 1, 0, 8), (0, 2, 1, 16), (1, 0, 2, 19), (2, 1, 0, 4)] {
                s[x] = s[x].wrapping_sub(s[y]) ^ s[y].rotate_left(r);
                s[y] = s[y].wrapping_add(s[z]);
            }
            continue;
        }
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        return c;
    }
    s[2]
}

fn rows(range: std::ops::Range<usize>) -> Hyperslab {
    Hyperslab::from(vec![SliceOrIndex::from(range), SliceOrIndex::from(..)])
}

/// A virtual dataset [4, 2] whose halves are the sources' datasets x.
fn virtual_of(group: &Group, name: &str, sources: [&str; 2]) {
    let mut map = DatasetCreateBuilder::default();
    for (i, source) in sources.into_iter().enumerate().filter(|s| !s.1.is_empty()) {
        map.virtual_map(source, "x", [2, 2], rows(0..2), [4, 2], rows(2 * i..2 * i + 2));
    }
    group.new_dataset::<f64>().set_create_plist(&map.finish().unwrap()).shape([4, 2]).create(name).unwrap();
}

#[test]
fn virtual_datasets_need_their_sources() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, x) in [("a.h5", 1.0), ("b.h5", 2.0)] {
        let file = hdf5::File::create(at(name)).unwrap();
        file.new_dataset_builder().with_data(&ndarray::Array2::from_elem((2, 2), x)).create("x").unwrap();
        file.new_dataset_builder().with_data(&ndarray::Array2::from_elem((2, 2), x)).create("y").unwrap();
    }
    let v = at("v.h5");
    {
        let file = hdf5::File::create(&v).unwrap();
        virtual_of(&file, "whole", ["a.h5", "b.h5"]);
        virtual_of(&file, "gone", ["a.h5", "gone.h5"]);
        virtual_of(&file, "half", ["a.h5", ""]);
        let mut nested = DatasetCreateBuilder::default();
        nested.virtual_map(".", "gone", [4, 2], .., [4, 2], ..);
        file.new_dataset::<f64>().set_create_plist(&nested.finish().unwrap()).shape([4, 2]).create("nested").unwrap();
    }
    assert_eq!(read(&v, "whole"), [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
    let found = refusal(&v, "gone");
    assert!(found.contains("dataset gone is virtual, and its source gone.h5 is not there"), "{found}");
    let found = refusal(&v, "half");
    assert!(found.contains("4 of its 8 numbers have no source"), "{found}");
    let found = refusal(&v, "nested");
    assert!(found.contains("its source .:gone is virtual, and its source gone.h5 is not there"), "{found}");
    // The source is there, and something else about it is wrong.
    let holder = std::fs::File::open(at("b.h5")).unwrap();
    assert_eq!(unsafe { libc::flock(holder.as_raw_fd(), libc::LOCK_EX) }, 0);
    let found = refusal(&v, "whole");
    assert!(found.contains("its source b.h5 is open in another process"), "{found}");
    drop(holder);
    hdf5::File::open_rw(at("b.h5")).unwrap().unlink("x").unwrap();
    assert!(refusal(&v, "whole").contains("its source b.h5 has no dataset x"));
    std::fs::write(at("b.h5"), "no").unwrap();
    assert!(refusal(&v, "whole").contains("its source b.h5 is not an HDF5 file"));
    // It is looked for beside the virtual dataset, wherever both are moved.
    std::fs::create_dir(at("moved")).unwrap();
    std::fs::copy(&v, at("moved/v.h5")).unwrap();
    assert!(refusal(&at("moved/v.h5"), "whole").contains("its source a.h5 is not there"));
}

#[test]
fn links_and_raw_files() {
    let dir = tempfile::tempdir().unwrap();
    let (path, raw) = (dir.path().join("x.h5"), dir.path().join("x.raw"));
    {
        let file = hdf5::File::create(&path).unwrap();
        file.link_soft("/data/x", "soft").unwrap();
        file.link_external(golden("gru.h5").to_str().unwrap(), "/inputs", "there").unwrap();
        file.link_external("gone.h5", "/inputs", "outside").unwrap();
        let plist = DatasetCreateBuilder::default().external(raw.to_str().unwrap(), 0, 32).finish().unwrap();
        file.new_dataset::<f64>().set_create_plist(&plist).shape([2, 2]).create("raw").unwrap();
        file.new_dataset::<f64>().shape([2, 2]).create("never").unwrap();
        let part = file.new_dataset::<f64>().chunk((1, 2)).shape([2, 2]).create("part").unwrap();
        part.write_slice(&ndarray::arr1(&[1.0, 2.0]), ndarray::s![0, ..]).unwrap();
        file.new_dataset::<f64>().fill_value(f64::NAN).shape([2, 2]).create("nan").unwrap();
    }
    assert_eq!(read(&path, "there"), read(&golden("gru.h5"), "inputs"));
    assert!(refusal(&path, "soft").contains("/soft is a link to /data/x, which is not there"));
    let found = refusal(&path, "/outside");
    assert!(found.contains("/outside is a link to /inputs in the file gone.h5, which cannot be read there"), "{found}");
    let found = refusal(&path, "raw");
    assert!(found.contains("has its numbers in the file") && found.contains("which is not there"), "{found}");
    std::fs::write(&raw, [0; 24]).unwrap();
    assert!(refusal(&path, "raw").contains("cut short"));
    std::fs::write(&raw, [1.0f64, 2.0, 3.0, 4.0].map(f64::to_le_bytes).concat()).unwrap();
    assert_eq!(read(&path, "raw"), [1.0, 2.0, 3.0, 4.0]);
    for (name, numbers, says) in [
        (
            "never",
            [0.0; 4],
            "no numbers were ever written to dataset never of x.h5; they are read as its fill value, 0",
        ),
        ("part", [1.0, 2.0, 0.0, 0.0], "some chunks were never written of dataset part"),
    ] {
        let array = Array::open(&source(&path, Some(name))).unwrap();
        assert_eq!(array.read_rows::<f64>(0..2).unwrap(), numbers);
        assert!(array.warnings().len() == 1 && array.warnings()[0].contains(says), "{:?}", array.warnings());
    }
    assert!(refusal(&path, "nan").contains("NaN at index [0, 0]"));
}
