//! What is written, another implementation reads, and the other way round.

use super::*;

#[test]
fn a_value_looks_as_it_is_written() {
    let (name, none): (&str, Option<u32>) = ("own", None);
    let value = json!({
        "b": [], "a": { "yes": true, "none": none }, name: vec!["x", "y"],
        "sum": 1u64 + 2, "text": "a \"b\"\\\n\u{1}",
    });
    let text = value.to_string();
    let expected = "{\"a\":{\"none\":null,\"yes\":true},\"b\":[],\"own\":[\"x\",\"y\"],\"sum\":3,\
                    \"text\":\"a \\\"b\\\"\\\\\\n\\u0001\"}";
    assert_eq!(text, expected);
    assert_eq!(parse(text.as_bytes()), Some(value.clone()));
    assert_eq!(value["a"]["yes"], Value::Bool(true));
    assert_eq!((&value["own"][1], &value["own"][2]), (&json!("y"), &Value::Null));
    let other: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(other["text"], "a \"b\"\\\n\u{1}");
}

#[test]
fn the_last_of_two_values_of_one_name_counts() {
    assert_eq!(parse(b"{\"a\":1,\"a\":2}").unwrap().to_string(), "{\"a\":2}");
    let mut value = json!({ "a": 1u32 });
    value.insert("a", json!(2u32));
    assert_eq!(value.to_string(), "{\"a\":2}");
}

#[test]
fn what_is_no_json_is_none() {
    let deep = "[".repeat(40) + &"]".repeat(40);
    let no_json = [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2]",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "nul",
        "01",
        "1.",
        "-",
        "1e",
        "1 1",
        "+1",
        &deep,
    ];
    for text in no_json {
        assert_eq!(parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse(b"\"\xff\""), None);
}

proptest::proptest! {
    #![proptest_config(crate::properties::cases(400))]

    #[test]
    fn texts_cross_both_ways(text in ".{0,20}", escaped in "(\\\\u[0-9a-f]{4}|[a-z\\\\\"/]){0,8}") {
        let name = text.as_str();
        let ours = json!({ name: text }).to_string();
        let other: serde_json::Value = serde_json::from_str(&ours).unwrap();
        proptest::prop_assert_eq!(other[&text].as_str(), Some(text.as_str()));
        let theirs = serde_json::to_string(&other).unwrap();
        let read = parse(theirs.as_bytes()).unwrap();
        proptest::prop_assert_eq!(read[name].as_str(), Some(name));
        // Both take the same escapes, and for the same characters.
        let quoted = format!("\"{escaped}\"");
        let other = serde_json::from_str::<String>(&quoted).ok();
        let ours = parse(quoted.as_bytes());
        proptest::prop_assert_eq!(ours.as_ref().and_then(Value::as_str), other.as_deref());
    }

    #[test]
    fn numbers_are_taken_as_others_take_them(
        text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?",
    ) {
        let ours = parse(text.as_bytes());
        let other = serde_json::from_str::<serde_json::Number>(&text).ok();
        proptest::prop_assert_eq!(ours.is_some(), other.is_some(), "{}", text);
    }
}
