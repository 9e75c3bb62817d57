//! Rules C5 and C10: texts that mean the same, and texts that only look alike.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::core::model::canonical::{Canonical, canonical, whole_word};

fn same(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

fn is_bytewise(text: &str) -> bool {
    canonical(text) == Canonical { encoding: None, value: Value::String(text.to_owned()) }
}

#[test]
fn c5_json_is_equal_up_to_white_space_and_the_order_of_members() {
    assert!(same(r#"{"a":1,"b":[true,null]}"#, " {\n \"b\" : [ true , null ] , \"a\" : 1 }\n"));
    assert!(!same(r#"{"a":1}"#, r#"{"a":2}"#));
    assert!(!same(r#"{"a":1}"#, r#"{"a":"1"}"#));
    assert!(!same("{}", "[]"));
}

#[test]
fn c5_json_scalars_keep_their_digits_and_their_types() {
    assert!(!same("[12345678901234567890123]", "[12345678901234567890124]"));
    assert!(!same("[0.1]", "[0.10]"));
    assert!(!same("[null]", r#"["null"]"#));
    assert!(same(r#"["\u0041\/"]"#, r#"["A/"]"#), "two ways to write one string");
    assert!(same(r#"{"a\\":"\"\\","b":"\\\""}"#, r#"{"b":"\\\"", "a\\":"\"\\"}"#), "quotes and backslashes inside");
}

#[test]
fn c5_a_list_whose_elements_name_themselves_is_a_set() {
    let list = |order: [&str; 3]| {
        let elements = order.map(|name| json!({ "destination": name, "contents": format!("secret of {name}") }));
        json!({ "template": elements }).to_string()
    };
    assert!(same(&list(["a", "b", "c"]), &list(["c", "a", "b"])));
    assert!(!same(&list(["a", "b", "c"]), &list(["a", "b", "d"])));
    let keyed = canonical(&list(["a", "b", "c"])).value;
    assert!(keyed.pointer("/template/[destination=a]/contents").is_some(), "{keyed}");
}

#[test]
fn c5_any_other_list_keeps_its_order() {
    assert!(!same(r#"["a","b"]"#, r#"["b","a"]"#));
    assert!(!same(r#"[{"a":1,"b":2},{"a":1,"b":2},{"a":2,"b":1}]"#, r#"[{"a":2,"b":1},{"a":1,"b":2},{"a":1,"b":2}]"#));
    assert!(!same(r#"[{"on":true},{"on":false}]"#, r#"[{"on":false},{"on":true}]"#));
    assert!(!same(r#"[{"a":1},{"a":"1"}]"#, r#"[{"a":"1"},{"a":1}]"#), "1 and \"1\" do not tell elements apart");
}

#[test]
fn c5_what_is_not_strictly_json_is_compared_byte_by_byte() {
    for text in [
        "",
        "plain",
        "5",
        "\"quoted\"",
        "{",
        "{}}",
        r#"{"a":1,}"#,
        r#"{"a":1,"a":2}"#,
        "[01]",
        "[1 2]",
        "[tru]",
        "[\"a]",
        "[\"\\\"]",
        "{a:1}",
        "[,]",
        "{\"a\"}",
        "\u{feff}{}",
    ] {
        assert!(is_bytewise(text), "{text:?}");
    }
    assert!(is_bytewise(&"[".repeat(100_000)), "no depth can exhaust the stack");
    let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(!is_bytewise(&deep(64)));
    assert!(is_bytewise(&deep(65)));
}

#[test]
fn c5_base64_of_json_is_read_as_json_but_is_not_the_same_as_json() {
    // {"a":1,"b":2} and {"b":2,"a":1}
    assert!(same("eyJhIjoxLCJiIjoyfQ==", "eyJiIjoyLCJhIjoxfQ=="));
    assert!(!same("eyJhIjoxLCJiIjoyfQ==", r#"{"a":1,"b":2}"#));
    assert_eq!(canonical("eyJhIjoxLCJiIjoyfQ==").encoding, Some("base64"));
}

#[test]
fn c5_broken_base64_and_base64_of_other_things_are_compared_byte_by_byte() {
    for text in [
        "eyJhIjoxLCJiIjoyfQ=",    // padding missing
        "eyJhIjoxLCJiIjoyfR==",   // bits behind the end
        "eyJhIjoxL=JiIjoyfQ==",   // padding in the middle
        "eyJhIjox\nLCJiIjoyfQ==", // wrapped
        "====",
        "aGVsbG8=", // hello
        "/////w==", // no UTF-8
    ] {
        assert!(is_bytewise(text), "{text:?}");
    }
}

/// A certificate in form only: a DER SEQUENCE of the given bytes, wrapped as asked for.
fn certificate(content: &[u8], width: usize, newline: &str) -> String {
    let mut der = vec![0x30, u8::try_from(content.len()).unwrap()];
    der.extend_from_slice(content);
    let digits = STANDARD.encode(&der);
    let lines: Vec<&str> = digits.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let body = lines.join(newline);
    format!("-----BEGIN CERTIFICATE-----{newline}{body}{newline}-----END CERTIFICATE-----{newline}")
}

#[test]
fn c10_certificates_are_a_set_of_der_bytes() {
    let (a, b) = (b"the first anchor", b"and another");
    let unix = certificate(a, 64, "\n") + &certificate(b, 64, "\n");
    let windows = certificate(b, 16, "\r\n") + "\r\n" + &certificate(a, 76, "\r\n");
    assert!(same(&unix, &windows));
    assert_eq!(canonical(&unix).encoding, Some("pem"));
    assert!(!same(&unix, &certificate(a, 64, "\n")), "an anchor less");
    assert!(!same(&unix, &(certificate(a, 64, "\n") + &certificate(b"and a new one", 64, "\n"))));
}

#[test]
fn c10_garbage_and_other_pem_is_compared_byte_by_byte() {
    let good = certificate(b"anchor", 64, "\n");
    for text in [
        "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n".to_owned(),
        "-----BEGIN CERTIFICATE-----\nMAA=\n".to_owned(),
        format!("# our anchors\n{good}"),
        format!("{good}and more"),
    ] {
        assert!(is_bytewise(&text), "{text:?}");
    }
}

#[test]
fn c10_long_certificates_have_their_length_in_several_bytes() {
    let mut der = vec![0x30, 0x82, 0x01, 0x00];
    der.extend([7; 256]);
    let pem = |der: &[u8]| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", STANDARD.encode(der));
    assert!(!is_bytewise(&pem(&der)));
    der.push(7);
    assert!(is_bytewise(&pem(&der)), "something behind the certificate");
    assert!(is_bytewise(&pem(&[0x30, 0x82, 0x01])), "cut off within the length");
}

#[test]
fn tokens_are_replaced_only_where_they_stand_alone() {
    let replace = |text| whole_word::replace(text, "db-1", "db-7").into_owned();
    assert_eq!(replace("db-1"), "db-7");
    assert_eq!(replace("db-1.db.svc,db-1:80"), "db-7.db.svc,db-7:80");
    assert_eq!(replace("data-db-1"), "data-db-7");
    assert_eq!(replace("db-10 mydb-1 db-1a"), "db-10 mydb-1 db-1a");
    assert_eq!(replace("db-10,db-1"), "db-10,db-7");
    assert_eq!(replace("ädb-1ö"), "ädb-7ö");
    assert_eq!(whole_word::replace("a-a-a", "a-a", "x"), "x-a");
    assert_eq!(whole_word::replace("ba-a-a", "a-a", "x"), "ba-x", "an occurrence may overlap one that is none");
    assert_eq!(whole_word::replace("text", "", "x"), "text");
    assert_eq!(whole_word::replace("-", "", "x"), "-");
}
