//! Names beside addresses, and headers that name others.

use super::*;

fn text(line: &str, from: &str, more: &str) -> String {
    format!(
        "{line}\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKa\r\nFrom: {from}\r\nCall-ID: c\r\n\
         CSeq: 1 INVITE\r\n{more}Content-Length: 2\r\n\r\nhi"
    )
}

/// How a request to Bob comes out.
fn shown_of(from: &str, more: &str) -> String {
    let text = text("INVITE sip:bob@x SIP/2.0", from, more);
    let bytes = request(&Message::parse(text.as_bytes()).unwrap())
        .unwrap_or_else(|| text.clone().into_bytes());
    assert_eq!(request(&Message::parse(&bytes).unwrap()), None, "once is enough");
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_name_stays_where_it_says_no_other_number_or_address() {
    let number = "sip:+498912345@example.net;user=phone";
    let alice = "sip:alice@example.net";
    let cases = [
        ("Alice", alice, true),
        ("Jürgen Groß", alice, true),
        ("Room 12", alice, true),
        ("alice@example.net", alice, true),
        ("sip:alice@Example.net", alice, true),
        ("bob@example.net", alice, false),
        ("alice@bank.example", alice, false),
        ("+49 89 12345", number, true),
        ("089/12345", number, true),
        ("12345", number, true),
        ("Alice (+49 89 12345)", number, true),
        ("+49 89 12346", number, false),
        ("+1 89 12345", number, false),
        ("345", number, false),
        ("110", number, false),
        ("110", alice, false),
        ("Bank 0800 12345", alice, false),
        ("Police 110", alice, false),
        ("Bank ①①⓪", alice, false),
        ("police＠gov.example", alice, false),
        ("\\+\\4\\9\\8\\9", number, false),
        ("１１０", alice, false),
        ("+٤٩٨٩١٢٣٤٥", number, false),
        ("42", "sip:42@example.net", true),
    ];
    for (name, uri, stays) in cases {
        let from = format!("\"{name}\" <{uri}>;tag=t");
        let wanted = if stays { from.clone() } else { format!("<{uri}>;tag=t") };
        assert!(shown_of(&from, "").contains(&format!("From: {wanted}\r\n")), "{name} {uri}");
    }
}

#[test]
fn who_is_withheld_is_called_anonymous() {
    let nobody = "<sip:anonymous@anonymous.invalid>";
    for from in ["Police ", "\"+49 110\" ", "\"anonymous\" "] {
        let shown = shown_of(&format!("{from}{nobody};isub=1;tag=t"), "");
        assert!(shown.contains(&format!("From: \"Anonymous\" {nobody};tag=t\r\n")), "{shown}");
    }
    let bare = format!("{nobody};tag=t");
    assert!(shown_of(&bare, "").contains(&format!("From: {bare}\r\n")));
}

#[test]
fn whoever_else_is_named_is_left_out() {
    let alice = "<sip:alice@example.net>;tag=t";
    for (by, stays) in [
        ("<sip:alice@example.net>", true),
        ("sip:Alice@example.net", true),
        ("<sip:bank@example.net>", false),
        ("\"Bank\" <sip:alice@example.net>", false),
        ("no address", false),
    ] {
        let line = format!("Referred-By: {by}\r\n");
        assert_eq!(shown_of(alice, &line).contains(&line), stays, "{by}");
    }
    let two = "Referred-By: <sip:alice@example.net>\r\nb: <sip:bank@example.net>\r\n";
    assert!(!shown_of(alice, two).contains("bank"));
    let to = "To: \"Bank calls\" <sip:bob@example.net>\r\n";
    assert!(shown_of(alice, to).contains("To: <sip:bob@example.net>\r\n"));
    let inside = "To: \"Bank\" <sip:bob@x>;tag=b\r\nReferred-By: <sip:alice@example.net>\r\n";
    let shown = shown_of("\"110\" <sip:alice@example.net>;tag=t", inside);
    assert!(shown.contains("\"110\"") && !shown.contains("Referred-By"), "a dialog has names");
    assert!(shown.ends_with("Content-Length: 2\r\n\r\nhi"), "{shown}");
}

#[test]
fn a_response_names_whom_the_request_does() {
    let answered = |asked: &str, told: &str| {
        let asked =
            text("INVITE sip:bob@x SIP/2.0", "<sip:a@x>;tag=t", &format!("To: {asked}\r\n"));
        let told = text("SIP/2.0 200 Fine", "<sip:a@x>;tag=t", &format!("To: {told}\r\n"));
        let bytes = response(&Message::parse(told.as_bytes()).unwrap(), asked.as_bytes());
        let text = String::from_utf8(bytes.unwrap_or_else(|| told.clone().into_bytes())).unwrap();
        assert!(text.starts_with("SIP/2.0 200 Fine\r\n") && text.ends_with("\r\n\r\nhi"), "{text}");
        Message::parse(text.as_bytes()).unwrap().header(Name::To).unwrap().to_owned()
    };
    let bob = "\"Bob\" <sip:bob@x>";
    assert_eq!(answered(bob, "\"Bob\" <sip:bob@x>;tag=b"), "\"Bob\" <sip:bob@x>;tag=b");
    assert_eq!(answered(bob, "\"Bank\" <sip:bank@x>;tag=b"), "\"Bob\" <sip:bob@x>;tag=b");
    assert_eq!(answered(bob, "<sip:bank@x>"), bob);
    assert_eq!(answered("<sip:bob@x>;tag=b", "<sip:bank@x>;tag=c"), "<sip:bob@x>;tag=b");
}
