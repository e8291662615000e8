//! Bodies of several parts.

use super::*;

/// Puts `text` in place of the description.
fn replaced(content_type: &str, body: &str, text: &str) -> Option<String> {
    let found = find(content_type, body.as_bytes())?;
    let mut out = Vec::new();
    replace(body.as_bytes(), &found, text.as_bytes(), &mut out);
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn a_plain_description_is_the_whole_body() {
    for kind in ["application/sdp", "Application/SDP ; charset=utf-8"] {
        assert_eq!(replaced(kind, "v=0\r\n", "v=1").unwrap(), "v=1", "{kind}");
    }
    for kind in ["", "text/plain", "application/sdpx", "multipart/mixed", "multipart/x;boundary="] {
        assert_eq!(replaced(kind, "v=0\r\n", "v=1"), None, "{kind}");
    }
}

#[test]
fn in_a_multipart_body_all_but_the_description_stays() {
    let body = "preamble\r\n--b 1\r\nContent-Type: text/plain\r\n\r\nv=0 --b 1\r\n\r\n--b 1 \r\n\
                Content-Type: application/sdp\r\nContent-Length: 7\r\n\r\nv=0\r\n\r\n\r\n--b 1\r\n\
                c: application/pidf+xml\r\n\r\n<x/>\r\n--b 1--\r\nepilogue";
    let out = replaced("Multipart/Mixed; a=b; Boundary=\"b 1\"; x=\"y", body, "v=0\r\ns=-\r\n");
    let wanted = body
        .replace("v=0\r\n\r\n\r\n--b 1", "v=0\r\ns=-\r\n\r\n--b 1")
        .replace("Length: 7", "Length: 10");
    assert_eq!(out.unwrap(), wanted);
}

#[test]
fn nested_lengths_grow_together() {
    let body = "--o\nContent-Type: multipart/alternative;boundary=i\nl:40\n\n\
                --i\nc:application/sdp\nl:3\n\nv=0\n--i--\n--o--\n";
    let out = replaced("multipart/mixed; boundary=o", body, "v=0 and more").unwrap();
    assert_eq!(
        out,
        body.replace("l:40", "l:49").replace("l:3\n", "l:12\n").replace("v=0\n", "v=0 and more\n")
    );
}

#[test]
fn a_length_that_cannot_be_true_stays_as_it_is() {
    for length in ["18446744073709551615", "4294967295000000000000", "-3", "2", "many"] {
        let body = format!(
            "--o\nContent-Type: multipart/alternative;boundary=i\nl:{length}\n\n\
             --i\nc:application/sdp\nl:{length}\n\nv=0\n--i--\n--o--\n"
        );
        let out = replaced("multipart/mixed; boundary=o", &body, "v=0 and more").unwrap();
        assert_eq!(out, body.replace("v=0\n", "v=0 and more\n"), "{length}");
    }
}

#[test]
fn the_first_description_of_the_session_counts() {
    let parts = [
        "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n",
        "Content-Type: application/sdp\r\nContent-Transfer-Encoding: base64\r\n",
        "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n",
        "Content-Type: application/sdp\r\n",
    ];
    let mut body = String::new();
    for (number, head) in parts.iter().enumerate() {
        body.push_str(&format!("--b\r\n{head}\r\nv={number}\r\n"));
    }
    body.push_str("--b--\r\n");
    let out = replaced("multipart/mixed;boundary=b", &body, "new").unwrap();
    assert_eq!(out, body.replace("v=2", "new"));
}

#[test]
fn broken_bodies_are_left_alone() {
    for body in ["", "--b", "--b\r\n", "--b\r\nContent-Type: application/sdp", "--b--\r\nv=0"] {
        assert_eq!(replaced("multipart/mixed;boundary=b", body, "new"), None, "{body:?}");
    }
    // Nested deeper than the limit.
    let mut body = "Content-Type: application/sdp\n\nv=0\n".to_owned();
    for level in (0..4).rev() {
        body = format!("--b{level}\n{body}\n--b{level}--\n");
        body = format!("Content-Type: multipart/mixed;boundary=b{level}\n\n{body}");
    }
    let body = body.split_once("\n\n").unwrap().1;
    assert_eq!(replaced("multipart/mixed;boundary=b0", body, "new"), None);
}
