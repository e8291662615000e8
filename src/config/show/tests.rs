//! What is shown of settings, and what is not.

use super::*;
use serde_json::json;

const FILE: &str = "
config adapter 'adapter'
	option enabled '1'
	list lan 'lan'
	list lan '10.0.0.1'
	option unheard 'of'
config account
	option aor 'sip:alice@example.net'
	option password 'it is a secret'
	option ha1 '0123456789abcdef0123456789abcdef'
	option passwrd 'misspelled secret'
	list alias 'tel:+4989123'
config strange
	option password 'another secret'
";

#[test]
fn secrets_are_named_and_never_shown() {
    let text = shown(FILE, "test").unwrap().to_string();
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains("secret") && !text.contains("0123456789abcdef"), "{text}");
    assert_eq!(shown[0]["options"]["lan"], json!(["lan", "10.0.0.1"]));
    assert_eq!(shown[0]["options"]["enabled"], "1");
    assert_eq!(shown[0]["options"].get("unheard"), None);
    assert_eq!(shown[1]["stored"], json!(["password", "ha1"]));
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(super::shown("option x y", "test").unwrap_err().line, 1);
}
