//! The vectors of RFC 2617 and RFC 7616, hostile header values, replays.

use super::*;
use crate::rng::Rng;
use crate::sip::{Message, Name};
use crate::time::{Duration, Instant};
use proptest::prelude::*;

const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
const MUFASA: Secret<'_> = Secret {
    user: "Mufasa",
    realm: "http-auth@example.org",
    password: Some("Circle of Life"),
    ha1: None,
    ha1_sha256: None,
};

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let start = answer.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
    answer[start..].split('"').next().unwrap()
}

#[test]
fn the_vectors_of_rfc_7616_section_3_9_1() {
    let expected = [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ];
    for (algorithm, digest) in expected {
        let value = format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
             algorithm={algorithm}, nonce=\"{NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7Q\""
        );
        let challenge = Challenge::parse(&value).unwrap();
        let answer = answer(&challenge, &MUFASA, "GET", "/dir/index.html", CNONCE, 1).unwrap();
        let answer = answer.to_string();
        assert_eq!(field(&answer, "response"), digest);
        assert_eq!(field(&answer, "opaque"), "FQhe/qaU925kfnzjCev0ciny7Q");
        let credentials = Credentials::parse(&answer).unwrap();
        assert_eq!(credentials.quality, Some(("00000001", CNONCE)));
        assert_eq!(credentials.uri, "/dir/index.html");
    }
}

#[test]
fn the_vector_of_rfc_2617_section_3_5_with_qop_and_without() {
    let secret = Secret { realm: "testrealm@host.com", password: Some("Circle Of Life"), ..MUFASA };
    let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
    let with = format!("digest realm=testrealm@host.com,qop=\"auth\" , nonce=\"{nonce}\"");
    let challenge = Challenge::parse(&with).unwrap();
    let uri = "/dir/index.html";
    let text = answer(&challenge, &secret, "GET", uri, "0a4f113b", 1).unwrap().to_string();
    assert_eq!(field(&text, "response"), "6629fae49393a05397450978507c4ef1");
    // Without qop the answer is H(HA1:nonce:HA2): the value that RFC 2069's errata give.
    let without = format!("Digest realm=\"testrealm@host.com\", nonce=\"{nonce}\"");
    let old = Secret { password: Some("CircleOfLife"), ..secret };
    let challenge = Challenge::parse(&without).unwrap();
    let text = answer(&challenge, &old, "GET", uri, "", 1).unwrap().to_string();
    assert_eq!(field(&text, "response"), "1949323746fe6a43ef61f9606e7febea");
    assert!(!text.contains("qop"));
}

#[test]
fn a_stored_hash_serves_its_realm_and_its_algorithm_only() {
    let md5 = Algorithm::Md5.hash(&["Mufasa", "http-auth@example.org", "Circle of Life"]);
    let stored = Secret { password: None, ha1: Some(md5.as_str()), ..MUFASA };
    assert!(stored.serves(Algorithm::Md5) && !stored.serves(Algorithm::Sha256));
    let challenge = Challenge {
        realm: MUFASA.realm,
        nonce: "n",
        opaque: None,
        algorithm: Algorithm::Md5,
        auth: true,
        stale: false,
    };
    let by_hash = answer(&challenge, &stored, "REGISTER", "sip:a", "c", 7).unwrap().to_string();
    let by_word = answer(&challenge, &MUFASA, "REGISTER", "sip:a", "c", 7).unwrap().to_string();
    assert_eq!(by_hash, by_word);
    assert!(by_hash.contains("nc=00000007"));
    let elsewhere = Challenge { realm: "example.net", ..challenge };
    assert!(answer(&elsewhere, &stored, "REGISTER", "sip:a", "c", 1).is_none());
    let stronger = Challenge { algorithm: Algorithm::Sha256, ..challenge };
    assert!(answer(&stronger, &stored, "REGISTER", "sip:a", "c", 1).is_none());
}

#[test]
fn header_values_are_read_widely_but_never_ambiguously() {
    let good = "DIGEST  Username=\"o\\\"brien, jr\",realm=\"a, b=c\" ,,\r\n nonce=abc=, \
                uri=\"sip:a,b@c;d=e\",response=\"00\" , algorithm=\"sha-256\", qop=\"AUTH\", \
                nc=\"0000000A\", cnonce=x, extension=y";
    let credentials = Credentials::parse(good).unwrap();
    assert!(credentials.is_user("o\"brien, jr") && !credentials.is_user("o\\\"brien, jr"));
    assert_eq!((credentials.realm, credentials.nonce), ("a, b=c", "abc="));
    assert_eq!(credentials.uri, "sip:a,b@c;d=e");
    assert_eq!(credentials.algorithm, Algorithm::Sha256);
    assert_eq!(credentials.count(), Some(10));
    let bad = [
        ("Basic dXNlcg==", DigestError::Scheme),
        ("Digest", DigestError::Scheme),
        ("", DigestError::Scheme),
        ("Digest realm=\"a\", realm=\"b\", nonce=\"c\"", DigestError::Syntax),
        ("Digest realm=\"a, nonce=c", DigestError::Syntax),
        ("Digest realm=\"a\" nonce=\"c\"", DigestError::Syntax),
        ("Digest realm", DigestError::Syntax),
        ("Digest =x", DigestError::Syntax),
        ("Digest nonce=\"c\"", DigestError::Missing("realm")),
        ("Digest realm=\"a\"", DigestError::Missing("nonce")),
        ("Digest realm=a, nonce=c, algorithm=MD5-sess", DigestError::Unsupported),
        ("Digest realm=a, nonce=c, qop=\"auth-int\"", DigestError::Unsupported),
    ];
    for (value, error) in bad {
        assert_eq!(Challenge::parse(value), Err(error), "{value}");
    }
    let head = "Digest username=u, realm=r, nonce=n, uri=x, response=0";
    assert_eq!(
        Credentials::parse(&format!("{head}, qop=auth, cnonce=c, nc=1")),
        Err(DigestError::Missing("nc"))
    );
    assert_eq!(
        Credentials::parse(&format!("{head}, qop=auth-int, cnonce=c, nc=00000001")),
        Err(DigestError::Unsupported)
    );
}

struct Exchange {
    server: Authenticator,
    now: Instant,
}

impl Exchange {
    fn new() -> Self {
        let server = Authenticator::new(4, Duration::from_secs(300), &mut Rng::new([5; 32]));
        Self { server, now: Instant::from_micros(7_000_000) }
    }

    fn offer(&mut self, algorithm: Algorithm) -> String {
        self.server.challenge(self.now, MUFASA.realm, algorithm, false).to_string()
    }

    fn give(&mut self, offer: &str, secret: &Secret<'_>, count: u32) -> Verdict {
        let challenge = Challenge::parse(offer).unwrap();
        let answer = answer(&challenge, secret, "REGISTER", "sip:x", "cc", count).unwrap();
        let answer = answer.to_string();
        let credentials = Credentials::parse(&answer).unwrap();
        self.server.verify(self.now, &credentials, "REGISTER", &MUFASA)
    }
}

#[test]
fn an_answer_is_good_once_and_counts_may_come_out_of_order() {
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let mut exchange = Exchange::new();
        let offer = exchange.offer(algorithm);
        let verdicts =
            [1, 1, 3, 2, 2, 3, 100, 36, 37, 0].map(|n| exchange.give(&offer, &MUFASA, n));
        use Verdict::{Accepted as Yes, Stale as No};
        assert_eq!(verdicts, [Yes, No, Yes, Yes, No, No, Yes, No, Yes, No]);
    }
}

#[test]
fn wrong_words_are_denied_and_old_or_foreign_nonces_are_stale() {
    let mut exchange = Exchange::new();
    let offer = exchange.offer(Algorithm::Sha256);
    let wrong = Secret { password: Some("circle of life"), ..MUFASA };
    assert_eq!(exchange.give(&offer, &wrong, 1), Verdict::Denied);
    let stranger = Secret { user: "Scar", ..MUFASA };
    assert_eq!(exchange.give(&offer, &stranger, 1), Verdict::Denied);
    exchange.now += Duration::from_secs(300);
    assert_eq!(exchange.give(&offer, &MUFASA, 1), Verdict::Accepted);
    exchange.now += Duration::from_secs(1);
    assert_eq!(exchange.give(&offer, &MUFASA, 2), Verdict::Stale);
    let foreign = offer.replace("nonce=\"", "nonce=\"0");
    assert_eq!(exchange.give(&foreign, &MUFASA, 1), Verdict::Stale);
    let again = exchange.server.challenge(exchange.now, MUFASA.realm, Algorithm::Md5, true);
    assert!(Challenge::parse(&again.to_string()).unwrap().stale);
}

#[test]
fn a_nonce_that_lost_its_window_is_stale_and_never_good_twice() {
    let mut exchange = Exchange::new();
    let first = exchange.offer(Algorithm::Md5);
    assert_eq!(exchange.give(&first, &MUFASA, 1), Verdict::Accepted);
    let later: Vec<String> = (0..4).map(|_| exchange.offer(Algorithm::Md5)).collect();
    assert_eq!(exchange.give(&first, &MUFASA, 2), Verdict::Accepted, "challenges take no room");
    for offer in &later {
        assert_eq!(exchange.give(offer, &MUFASA, 1), Verdict::Accepted);
    }
    assert_eq!(exchange.give(&first, &MUFASA, 1), Verdict::Stale);
    assert_eq!(exchange.give(&first, &MUFASA, 3), Verdict::Stale);
}

#[test]
fn without_qop_a_nonce_is_good_once() {
    let mut exchange = Exchange::new();
    let offer = exchange.offer(Algorithm::Md5).replace(", qop=\"auth\"", "");
    assert_eq!(exchange.give(&offer, &MUFASA, 1), Verdict::Accepted);
    assert_eq!(exchange.give(&offer, &MUFASA, 2), Verdict::Stale);
}

proptest! {
    #![proptest_config(crate::properties::cases(500))]
    #[test]
    fn no_value_makes_a_reader_panic(value in "(Digest )?[ -~]{0,80}", text in "\\PC{0,60}") {
        let _ = Challenge::parse(&value);
        let _ = Credentials::parse(&format!("Digest {value}"));
        let _ = Credentials::parse(&text);
    }

    #[test]
    fn every_user_name_survives_the_way_to_the_server(
        user in "[ -~]{1,20}",
        word in "[ -~]{0,20}",
    ) {
        let secret = Secret { user: &user, realm: "r", password: Some(&word), ..Secret::default() };
        let mut server = Authenticator::new(1, Duration::from_secs(9), &mut Rng::new([1; 32]));
        let offer = server.challenge(Instant::ZERO, "r", Algorithm::Sha256, false).to_string();
        let challenge = Challenge::parse(&offer).unwrap();
        let text = answer(&challenge, &secret, "BYE", "sip:x", "c", 1).unwrap().to_string();
        let credentials = Credentials::parse(&text).unwrap();
        let verdict = server.verify(Instant::ZERO, &credentials, "BYE", &secret);
        prop_assert_eq!(verdict, Verdict::Accepted);
        let credentials = Credentials::parse(&text).unwrap();
        let verdict = server.verify(Instant::ZERO, &credentials, "INVITE", &secret);
        prop_assert_eq!(verdict, Verdict::Denied);
    }
}

fn response(head: &str) -> Vec<u8> {
    let rest = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n";
    format!("SIP/2.0 {head}\r\n{rest}").into_bytes()
}

#[test]
fn a_session_answers_the_first_challenge_that_it_can_and_counts() {
    let secret = Secret { user: "alice", password: Some("open"), ..Secret::default() };
    let hash = Secret { user: "alice", realm: "r", ha1: Some("00"), ..Secret::default() };
    let text = response(
        "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"m\", qop=\"auth\", opaque=\"o\"",
    );
    let challenge = Message::parse(&text).unwrap();
    let mut session = Session::challenged(&challenge, &secret).unwrap();
    for count in 1..=3 {
        let (name, value) = session.credentials(&secret, "REGISTER", "sip:b", "c").unwrap();
        assert_eq!(name, Name::Authorization);
        assert!(value.contains("algorithm=SHA-256") && value.contains("nonce=\"n\""), "{value}");
        assert!(value.contains(&format!("nc={count:08x}")), "{value}");
    }
    let mut by_hash = Session::challenged(&challenge, &hash).unwrap();
    let (_, value) = by_hash.credentials(&hash, "REGISTER", "sip:b", "c").unwrap();
    assert!(value.contains("algorithm=MD5") && value.contains("opaque=\"o\""), "{value}");
    let strange = Secret { realm: "other", ..hash };
    assert!(Session::challenged(&challenge, &strange).is_none(), "a hash is for its own realm");
    assert!(session.is_same(&Session::challenged(&challenge, &secret).unwrap()));
    assert!(!session.is_same(&by_hash));
}

#[test]
fn a_session_takes_the_next_nonce_and_answers_proxies() {
    let secret = Secret { user: "alice", password: Some("open"), ..Secret::default() };
    let text = response("407 No\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=auth");
    let mut session = Session::challenged(&Message::parse(&text).unwrap(), &secret).unwrap();
    let (name, _) = session.credentials(&secret, "INVITE", "sip:b", "c").unwrap();
    assert_eq!(name, Name::ProxyAuthorization);
    let text = response("200 OK\r\nAuthentication-Info: nextnonce=\"next\", qop=auth");
    session.accepted(&Message::parse(&text).unwrap());
    let (_, value) = session.credentials(&secret, "INVITE", "sip:b", "c").unwrap();
    assert!(value.contains("nonce=\"next\"") && value.contains("nc=00000001"), "{value}");
    session.accepted(&Message::parse(&response("200 OK")).unwrap());
    let (_, value) = session.credentials(&secret, "INVITE", "sip:b", "c").unwrap();
    assert!(value.contains("nonce=\"next\"") && value.contains("nc=00000002"), "{value}");
}
