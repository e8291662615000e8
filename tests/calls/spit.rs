//! Spam over telephony (SPIT): callers who call too often, or whom the owner of the phones blocks,
//! and what they may show. It is about the overlay alone: by the server all of them ring.

use crate::callers::{Mallory, by_server, certify, counted, is_busy, takes_no_call, with_mallory};
use crate::net::Fate;
use crate::sip::uri_of;
use crate::town::{DOMAIN, Phone, Town, two_with};
use cosip::config::IdentityConfig;
use cosip::net::Input;

/// Changes settings of Bob's router, and has it reload them.
fn set(town: &mut Town, change: impl Fn(&mut IdentityConfig)) {
    change(&mut town.routers[1].config.identity);
    let (place, config) = (town.routers[1].place, town.routers[1].config.clone());
    town.world.input(place, Input::Config(&config));
}

/// Mallory calls Bob in the name of this user; whether the phone rings.
fn rings(town: &mut Town, bob: &Phone, mallory: &Mallory, (user, call_id): (&str, &str)) -> bool {
    mallory.sends(town, &mallory.request("INVITE", user, call_id, &[]));
    town.world.run_ms(1_000);
    let Some(invite) = town.world.take(bob.at, "INVITE") else { return false };
    is_busy(town, &invite);
    true
}

/// What went before is over: no leg by the server is taken for one of it.
fn later(town: &mut Town, bob: &mut Phone, mallory: &Mallory) {
    town.world.run_ms(80_000);
    town.register(bob, 3600);
    town.world.expect(bob.at, "200 REGISTER", 3_000);
    // The channel is opened anew.
    mallory.sends(town, &mallory.request("OPTIONS", "mallory", "later", &[]));
    town.world.run_ms(1_000);
}

/// A call of this user by the server rings, and is all that does.
fn rings_by_server(town: &mut Town, bob: &Phone, user: &str, call_id: &str) {
    by_server(town, user, call_id);
    let invite = town.world.expect(bob.at, "INVITE", 500);
    assert_eq!(uri_of(invite.one("From")), format!("sip:{user}@{DOMAIN}"));
    is_busy(town, &invite);
    town.world.nothing(bob.at, "INVITE", 1_000);
}

/// Who was refused lately: caller, why, how often.
fn refused(town: &mut Town) -> Vec<(String, String, u64)> {
    let status = town.status(1);
    let text = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let all = status["refused"].as_array().unwrap().iter();
    all.map(|it| (text(it, "caller"), text(it, "why"), it["count"].as_u64().unwrap())).collect()
}

#[test]
fn a_caller_that_calls_too_often_is_told_when_to_come_back_and_rings_by_the_server() {
    let (mut town, _, mut bob, mallory) = with_mallory();
    set(&mut town, |identity| identity.caller_calls_per_hour = 3);
    for number in 0..5 {
        let call_id = format!("c{number}");
        let rings = rings(&mut town, &bob, &mallory, ("mallory", &call_id));
        assert_eq!(rings, number < 3, "{call_id}");
    }
    let heard = town.world.order(mallory.place, |node, _| node.liar().heard.clone());
    let refusals: Vec<&String> = heard.iter().filter(|it| it.starts_with("SIP/2.0 480")).collect();
    assert_eq!(refusals.len(), 2);
    assert!(refusals[0].contains("\r\nRetry-After: 119"), "{}", refusals[0]);
    later(&mut town, &mut bob, &mallory);
    // Notices of it are for nobody, and so no call by the server is taken for that.
    mallory.tells(&mut town, "n1", &["mallory"]);
    town.world.run_ms(1_000);
    assert_eq!(mallory.answers(&mut town), [false]);
    rings_by_server(&mut town, &bob, "mallory", "s1");
    assert!(!rings(&mut town, &bob, &mallory, ("mallory", "n1")));
    // Neither somebody else behind the same router nor texts are held to what calls have used up.
    assert!(rings(&mut town, &bob, &mallory, ("second", "d1")));
    mallory.sends(&mut town, &mallory.request("MESSAGE", "mallory", "m1", &[]));
    let text = town.world.expect(bob.at, "MESSAGE", 500);
    town.reply(&text, 200, "b", &[]);
    assert_eq!(counted(&mut town, 1, "callers_too_often"), 4);
    let mallory_s = (format!("sip:mallory@{DOMAIN}"), "too often".to_owned(), 4);
    assert_eq!(refused(&mut town), [mallory_s]);
    town.world.run_ms(1_200_000);
    later(&mut town, &mut bob, &mallory);
    assert!(rings(&mut town, &bob, &mallory, ("mallory", "e1")));
    assert!(!rings(&mut town, &bob, &mallory, ("mallory", "e2")));
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn a_notice_that_is_repeated_belongs_to_its_call_though_that_was_the_last_one() {
    let (mut town, _, bob, mallory) = with_mallory();
    set(&mut town, |identity| identity.caller_calls_per_hour = 1);
    mallory.tells(&mut town, "c1", &["mallory"]);
    town.world.run_ms(500);
    mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &[]));
    let invite = town.world.expect(bob.at, "INVITE", 500);
    mallory.tells(&mut town, "c1", &["mallory"]);
    town.world.run_ms(500);
    mallory.tells(&mut town, "c2", &["mallory"]);
    town.world.run_ms(500);
    assert_eq!(mallory.answers(&mut town), [true, true, false]);
    is_busy(&mut town, &invite);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn texts_and_routers_are_counted_too() {
    let (mut town, _, bob, mallory) = with_mallory();
    set(&mut town, |identity| {
        identity.caller_texts_per_hour = 2;
        identity.adapter_calls_per_hour = 2;
    });
    for (number, user) in ["mallory", "mallory", "mallory", "second"].into_iter().enumerate() {
        let text = mallory.request("MESSAGE", user, &format!("m{number}"), &[]);
        mallory.sends(&mut town, &text);
        town.world.run_ms(500);
        let text = town.world.take(bob.at, "MESSAGE");
        assert_eq!(text.is_some(), number != 2, "{number}");
        if let Some(text) = text {
            town.reply(&text, 200, "b", &[]);
        }
        let rings = rings(&mut town, &bob, &mallory, (user, &format!("c{number}")));
        assert_eq!(rings, number < 2, "{number}");
    }
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn without_certificates_the_router_counts_whatever_callers_it_names() {
    let (mut town, alice, bob) = two_with(|config| {
        config.identity.caller_calls_per_hour = 1;
        config.identity.adapter_calls_per_hour = 3;
    });
    town.server_is(Fate::Refuse);
    for number in 0..3 {
        town.dial(&alice, &bob.aor(), &format!("c{number}"));
        let invite = town.world.expect(bob.at, "INVITE", 1_000);
        is_busy(&mut town, &invite);
        town.refused(&alice, "486", &bob.aor(), 9_000);
    }
    town.dial(&alice, &bob.aor(), "c3");
    town.refused(&alice, "480", &bob.aor(), 9_000);
    town.world.nothing(bob.at, "INVITE", 1_000);
    town.finish();
}

#[test]
fn invented_callers_push_nobody_out_of_what_is_counted_or_shown() {
    let (mut town, _, bob, mallory) = with_mallory();
    set(&mut town, |identity| identity.caller_calls_per_hour = 1);
    assert!(rings(&mut town, &bob, &mallory, ("mallory", "c0")));
    assert!(!rings(&mut town, &bob, &mallory, ("mallory", "c1")));
    for number in 0..400 {
        let user = format!("x{number}");
        mallory.sends(&mut town, &mallory.request("INVITE", &user, &user, &[]));
        town.world.run_ms(60);
    }
    assert!(counted(&mut town, 1, "callers_refused") > 300);
    // Those that were refused are repeated no more.
    town.world.run_ms(40_000);
    assert!(!rings(&mut town, &bob, &mallory, ("mallory", "c2")));
    let shown: Vec<String> = refused(&mut town).into_iter().map(|(_, why, _)| why).collect();
    assert_eq!(shown, ["too often", "not certified"]);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn whom_the_owner_blocks_rings_by_the_server_alone() {
    let (mut town, _, mut bob, mallory) = with_mallory();
    let id = mallory.host.split('.').next().unwrap().to_owned();
    let entries = [
        ("sip:mallory@EXAMPLE.net:5060", false),
        ("sip:%6dallory@example.net", false),
        ("example.net", true),
        (id.as_str(), true),
    ];
    for (number, (entry, both)) in entries.into_iter().enumerate() {
        set(&mut town, |identity| identity.block = vec!["sip:x@y".into(), entry.into()]);
        let before = mallory.heard(&mut town, "SIP/2.0 403 Forbidden\r\n");
        let name = |what: &str| format!("{what}{number}");
        assert!(!rings(&mut town, &bob, &mallory, ("mallory", &name("c"))), "{entry}");
        mallory.sends(&mut town, &mallory.request("MESSAGE", "mallory", &name("m"), &[]));
        town.world.nothing(bob.at, "MESSAGE", 1_000);
        assert_eq!(mallory.heard(&mut town, "SIP/2.0 403 Forbidden\r\n"), before + 2, "{entry}");
        assert_eq!(rings(&mut town, &bob, &mallory, ("second", &name("d"))), !both, "{entry}");
        later(&mut town, &mut bob, &mallory);
        // Any of its names that are told gives it away.
        mallory.tells(&mut town, &name("n"), &["second", "mallory"]);
        town.world.run_ms(1_000);
        rings_by_server(&mut town, &bob, "mallory", &name("s"));
    }
    assert_eq!(mallory.answers(&mut town), [false; 4]);
    let shown = refused(&mut town);
    assert!(shown.iter().all(|(_, why, _)| why == "blocked"), "{shown:?}");
    assert_eq!(shown.iter().map(|(_, _, count)| count).sum::<u64>(), 14);
    assert_eq!(counted(&mut town, 1, "callers_blocked"), 14);
    set(&mut town, |identity| identity.block.clear());
    later(&mut town, &mut bob, &mallory);
    assert!(rings(&mut town, &bob, &mallory, ("mallory", "last")), "a reload takes it off");
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn who_is_withheld_can_be_blocked_and_is_counted_by_its_router() {
    let (mut town, _, bob, mallory) = with_mallory();
    let nobody = |mallory: &Mallory, call_id: &str| {
        let text = String::from_utf8(mallory.request("INVITE", "x", call_id, &[])).unwrap();
        text.replace("<sip:x@example.net>", "\"The Police\" <sip:anonymous@anonymous.invalid>")
    };
    mallory.sends(&mut town, nobody(&mallory, "c1").as_bytes());
    let invite = town.world.expect(bob.at, "INVITE", 500);
    assert_eq!(invite.one("From"), "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=m");
    is_busy(&mut town, &invite);
    set(&mut town, |identity| identity.adapter_calls_per_hour = 1);
    mallory.sends(&mut town, nobody(&mallory, "c2").as_bytes());
    town.world.nothing(bob.at, "INVITE", 1_000);
    set(&mut town, |identity| {
        identity.adapter_calls_per_hour = 0;
        identity.block = vec!["sip:anonymous@anonymous.invalid".into()];
    });
    mallory.sends(&mut town, nobody(&mallory, "c3").as_bytes());
    town.world.nothing(bob.at, "INVITE", 1_000);
    mallory.tells(&mut town, "n1", &[]);
    town.world.run_ms(1_000);
    assert_eq!(mallory.answers(&mut town), [false]);
    assert!(rings(&mut town, &bob, &mallory, ("mallory", "c4")));
    let why: Vec<String> = refused(&mut town).into_iter().map(|(_, why, _)| why).collect();
    assert_eq!(why, ["blocked", "too often"]);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn a_phone_shows_of_a_caller_what_was_judged_and_no_other_number() {
    let (mut town, _, bob, mallory) = with_mallory();
    let bare = "<sip:mallory@example.net>";
    for (number, (name, stays)) in
        [("\"Mallory\" ", true), ("\"+49 110\" ", false), ("\"alice@example.net\" ", false)]
            .into_iter()
            .enumerate()
    {
        for method in ["INVITE", "MESSAGE"] {
            let call_id = format!("{method}{number}");
            let text = mallory.request(method, "mallory", &call_id, &[]);
            let text = String::from_utf8(text).unwrap().replace(bare, &format!("{name}{bare}"));
            mallory.sends(&mut town, text.as_bytes());
            let heard = town.world.expect(bob.at, method, 500);
            let shown = if stays { name } else { "" };
            assert_eq!(heard.one("From"), format!("{shown}{bare};tag=m"));
            takes_no_call(&mut town, &heard);
        }
    }
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn headers_that_name_callers_stay_behind() {
    let (mut town, _, bob, mallory) = with_mallory();
    let bank = "<sip:+498912345@example.net>";
    for (number, name) in [
        "P-Asserted-Identity",
        "P-Preferred-Identity",
        "Remote-Party-ID",
        "Referred-By",
        "Diversion",
        "History-Info",
        "Identity",
        "Identity-Info",
        "P-Called-Party-ID",
        "Call-Info",
        "Alert-Info",
        "Organization",
        "Subject",
        "Reply-To",
        "P-Asserted-Service",
        "Answer-Mode",
    ]
    .into_iter()
    .enumerate()
    {
        for method in ["INVITE", "MESSAGE"] {
            let call_id = format!("{method}{number}");
            mallory
                .sends(&mut town, &mallory.request(method, "mallory", &call_id, &[(name, bank)]));
            let heard = town.world.expect(bob.at, method, 500);
            assert!(!heard.has(name) && !heard.text.contains("12345"), "{}", heard.text);
            takes_no_call(&mut town, &heard);
        }
    }
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn inside_a_call_nobody_else_is_named_and_no_phone_made_to_answer() {
    let (mut town, _, bob, mallory) = with_mallory();
    certify(&mut town, 0, &["alice"]);
    town.world.run_ms(2_000);
    mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &[]));
    let invite = town.world.expect(bob.at, "INVITE", 500);
    town.reply(&invite, 180, "b", &[("Contact", "<sip:bob@192.168.2.11>")]);
    let to = format!("<sip:bob@{DOMAIN}>;tag=b");
    let inside = |number: u32, method: &str, user: &str, more: &[(&str, &str)]| {
        let mut all = vec![("To", to.as_str())];
        all.extend_from_slice(more);
        let text = String::from_utf8(mallory.request(method, user, "c1", &all)).unwrap();
        let text = text.replace("CSeq: 1 ", &format!("CSeq: {number} "));
        text.replace("z9hG4bK", &format!("z9hG4bK{number}"))
    };
    let state = ("Subscription-State", "active");
    for (number, event) in ["talk", "hold", "check-sync", "dialog"].into_iter().enumerate() {
        let number = number as u32 + 2;
        let notify = inside(number, "NOTIFY", "mallory", &[("Event", event), state]);
        mallory.sends(&mut town, notify.as_bytes());
        let ask = inside(number + 10, "SUBSCRIBE", "mallory", &[("Event", event)]);
        mallory.sends(&mut town, ask.as_bytes());
        town.world.nothing(bob.at, "NOTIFY", 300);
        town.world.nothing(bob.at, "SUBSCRIBE", 300);
    }
    assert_eq!(mallory.heard(&mut town, "SIP/2.0 403"), 8);
    town.accept(&invite, "b", &bob.contact());
    town.world.run_ms(300);
    mallory.sends(&mut town, inside(1, "ACK", "mallory", &[]).as_bytes());
    town.world.expect(bob.at, "ACK", 500);
    let told = [("Refer-To", "<sip:alice@example.net>"), ("Referred-By", "<sip:bank@example.net>")];
    mallory.sends(&mut town, inside(20, "REFER", "bank", &told).as_bytes());
    let refer = town.world.expect(bob.at, "REFER", 2_000);
    assert!(!refer.text.contains("bank"), "{}", refer.text);
    town.reply(&refer, 202, "", &[]);
    let own = [told[0], ("Referred-By", "<sip:mallory@example.net>")];
    mallory.sends(&mut town, inside(21, "REFER", "bank", &own).as_bytes());
    let refer = town.world.expect(bob.at, "REFER", 2_000);
    assert_eq!(refer.one("Referred-By"), own[1].1);
    town.reply(&refer, 202, "", &[]);
    let replaces = [("Replaces", "c2;to-tag=x;from-tag=y")];
    let again = inside(22, "UPDATE", "mallory", &replaces);
    mallory.sends(&mut town, again.as_bytes());
    let update = town.world.expect(bob.at, "UPDATE", 500);
    assert!(!update.has("Replaces"));
    town.reply(&update, 200, "", &[]);
    let notify = inside(30, "NOTIFY", "mallory", &[("Event", "refer;id=20"), state]);
    mallory.sends(&mut town, notify.as_bytes());
    let notify = town.world.expect(bob.at, "NOTIFY", 500);
    town.reply(&notify, 200, "", &[]);
    mallory.sends(&mut town, inside(90, "BYE", "mallory", &[]).as_bytes());
    let bye = town.world.expect(bob.at, "BYE", 2_500);
    town.reply(&bye, 200, "b", &[]);
    town.world.run_ms(40_000);
    town.finish();
}
