//! Which sessions tell a call from others.

use super::*;

fn session(origin: &str) -> Option<SessionKey> {
    let body = format!("v=0\r\no={origin}\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n");
    session_of("application/sdp", body.as_bytes())
}

#[test]
fn ids_that_many_phones_have_name_no_session() {
    for id in [
        "0",
        "1",
        "12345",
        "000000",
        "111111",
        "1000000001",
        "123456",
        "1234567890",
        "98765432",
        "890123",
    ] {
        let origin = format!("- {id} {id} IN IP4 192.0.2.1");
        assert_eq!(session(&origin), None, "{id}");
        assert_eq!(session_of_answer(format!("v=0\r\no={origin}\r\n").as_bytes()), None);
    }
    for id in ["773310", "3979845231", "53655765", "1f4c09"] {
        assert!(session(&format!("- {id} 1 IN IP4 192.0.2.1")).is_some(), "{id}");
    }
}

#[test]
fn user_id_and_address_name_a_session_and_its_version_does_not() {
    let one = session("- 773310 1 IN IP4 192.0.2.1");
    assert_eq!(one, session("- 773310 2 IN IP4 192.0.2.1"));
    for other in [
        "root 773310 1 IN IP4 192.0.2.1",
        "- 773311 1 IN IP4 192.0.2.1",
        "- 773310 1 IN IP4 192.0.2.2",
    ] {
        assert_ne!(one, session(other));
    }
}

#[test]
fn what_a_notice_said_of_its_session_stays() {
    let claim = |id: &str| Claim { session: session(id), ..Claim::default() };
    let (told, leg) = (claim("- 773310 1 IN IP4 192.0.2.1"), claim("- 884421 1 IN IP4 192.0.2.1"));
    let mut notice = told.clone();
    notice.learn_session(&leg);
    assert_eq!(notice, told);
    let mut early = Claim::default();
    early.learn_session(&leg);
    assert_eq!(early, leg);
}
