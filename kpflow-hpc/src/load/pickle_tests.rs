use super::*;

fn text(pickle: &Pickle, id: Id) -> String {
    match pickle.value(id) {
        Value::Other => "·".into(),
        Value::Int(n) => n.to_string(),
        Value::Text(t) => format!("{t:?}"),
        Value::List(items) => {
            format!("{:?}", items.iter().map(|&i| text(pickle, i)).collect::<Vec<_>>()).replace('"', "")
        }
        Value::Dict(items) => {
            let pair = |(k, v): &(Id, Id)| format!("{}: {}", text(pickle, *k), text(pickle, *v));
            format!("{{{}}}", items.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn containers_of_every_protocol() {
    // pickle.dumps({"a": [1, 300, -2], "b": (True, None, 1.5), 7: 2**40}, protocol=N), as Python 3.11 writes it.
    let protocol_2 = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01J\xfe\xff\xff\xffeX\x01\x00\x00\x00bq\x03\x88NG?\xf8\x00\x00\x00\x00\x00\x00\x87q\x04K\x07\x8a\x06\x00\x00\x00\x00\x00\x01u.";
    let protocol_0 = b"(dp0\nVa\np1\n(lp2\nI1\naI300\naI-2\nasVb\np3\n(I01\nNF1.5\ntp4\nsI7\nL1099511627776L\ns.";
    let protocol_4 = b"\x80\x04\x95:\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01M,\x01J\xfe\xff\xff\xffe\x8c\x01b\x94\x88NG?\xf8\x00\x00\x00\x00\x00\x00\x87\x94K\x07\x8a\x06\x00\x00\x00\x00\x00\x01u.";
    for bytes in [&protocol_2[..], protocol_4] {
        let p = Pickle::read(bytes).unwrap();
        assert_eq!(text(&p, p.root()).replace('\\', ""), "{\"a\": [1, 300, -2], \"b\": [·, ·, ·], 7: 1099511627776}");
    }
    let p = Pickle::read(protocol_0).unwrap();
    assert_eq!(text(&p, p.root()).replace('\\', ""), "{\"a\": [1, 300, -2], \"b\": [1, ·, ·], 7: 1099511627776}");
    for len in 0..protocol_2.len() {
        assert!(Pickle::read(&protocol_2[..len]).is_err());
    }
}

#[test]
fn nothing_is_executed() {
    // os.system("touch /tmp/x") as a pickle: a name and a text, no call.
    let p = Pickle::read(b"cos\nsystem\n(S'touch /tmp/x'\ntR.").unwrap();
    assert!(matches!(p.value(p.root()), Value::Object(name) if name == "os.system"));
    for damaged in [&b"."[..], b"R.", b"(((", b"h\x05.", b"\xff.", b"(tR.", b"X\xff\xff\xff\xffa.", b"u.", b"Q."] {
        assert!(Pickle::read(damaged).is_err(), "{damaged:?}");
    }
}
