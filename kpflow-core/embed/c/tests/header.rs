//! The committed header is what cbindgen makes of the source. `KPFLOW_WRITE_HEADER=1 cargo test -p kpflow-c` writes it.

use std::path::Path;

#[test]
fn the_header_is_what_cbindgen_generates() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config).with_src(here.join("src/lib.rs"));
    let mut generated = Vec::new();
    builder.generate().unwrap().write(&mut generated);
    let (generated, path) = (String::from_utf8(generated).unwrap(), here.join("include/kpflow.h"));
    if std::env::var_os("KPFLOW_WRITE_HEADER").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "kpflow.h is not what cbindgen makes; write it with KPFLOW_WRITE_HEADER=1 cargo test -p kpflow-c"
    );
}

/// The calls for the two precisions are written twice, since cbindgen does not look into macros.
#[test]
fn both_precisions_have_the_same_calls() {
    let read =
        |name: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(name)).unwrap();
    assert_eq!(read("f32.rs").replace("f32", "f64"), read("f64.rs"));
}
