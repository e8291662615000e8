//! Phones with several Contacts: each is a binding, and goes without the others.

use crate::net::Fate;
use crate::sip::Msg;
use crate::town::{DOMAIN, Phone, Town, server, two};

/// A second Contact of a phone, at another port of its host.
fn second(phone: &Phone) -> Phone {
    let mut second = phone.clone();
    second.at.set_port(5070);
    second
}

/// REGISTER from a phone's own port, with this value of Contact.
fn register(town: &mut Town, phone: &mut Phone, contact: &str) -> Msg {
    phone.cseq += 1;
    let headers = [("Contact", contact), ("Expires", if contact == "*" { "0" } else { "3600" })];
    let target = ("REGISTER", &*format!("sip:{DOMAIN}"));
    let text = phone.request(target, &phone.call_id, phone.cseq, &headers, "");
    let (to, aor) = (format!("To: <sip:{DOMAIN}>"), format!("To: <{}>", phone.aor()));
    let text = String::from_utf8(text).unwrap().replace(&to, &aor);
    town.say(phone, text.into_bytes());
    town.world.expect(phone.at, "200 REGISTER", 2_100)
}

fn both(first: &Phone) -> String {
    format!("<{}>, <{}>", first.contact(), second(first).contact())
}

/// What the server was told last.
fn told(town: &Town) -> String {
    let packets = town.world.log.iter().rev();
    let mut registers = packets.filter(|p| p.to == server() && p.data.starts_with(b"REGISTER"));
    let message = Msg::parse(registers.next().expect("a REGISTER")).unwrap();
    message.all("Contact").join(", ")
}

/// Which of a phone's two Contacts a call over the overlay reaches.
fn called(town: &mut Town, caller: &Phone, callee: &Phone) -> [bool; 2] {
    town.world.run_ms(1_500);
    town.server_is(Fate::Drop);
    town.dial(caller, &callee.aor(), "c1");
    town.world.run_ms(3_000);
    let ends = [callee.at, second(callee).at];
    let reached = ends.map(|at| {
        let invite = town.world.take(at, "INVITE")?;
        town.reply(&invite, 486, "b", &[]);
        Some(())
    });
    town.world.run_ms(8_000);
    town.world.clear(caller.at);
    reached.map(|it| it.is_some())
}

fn contacts(town: &mut Town) -> Vec<String> {
    let status = town.status(1);
    let phones = status["phones"].as_array().unwrap().clone();
    let registered = phones.iter().filter(|phone| phone["registered"] == true);
    registered.map(|phone| phone["contact"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn two_contacts_in_one_register_are_two_bindings_and_both_are_called() {
    let (mut town, alice, mut bob) = two();
    let all = both(&bob);
    let answer = register(&mut town, &mut bob, &all);
    let given = answer.all("Contact").join(", ");
    for contact in [bob.contact(), second(&bob).contact()] {
        assert!(given.contains(&format!("<{contact}>;expires=120")), "{given}");
    }
    let told = told(&town);
    assert!(!told.contains("192.168."), "{told}");
    assert_eq!(told.matches("@203.0.113.2:5062").count(), 2, "{told}");
    assert_eq!(called(&mut town, &alice, &bob), [true, true]);
    town.finish();
}

#[test]
fn a_contact_registered_by_itself_stays_beside_the_first_and_goes_without_it() {
    let (mut town, alice, mut bob) = two();
    let more = format!("<{}>", second(&bob).contact());
    register(&mut town, &mut bob, &more);
    assert_eq!(contacts(&mut town), [bob.contact(), second(&bob).contact()]);
    // Each is refreshed by itself.
    for contact in [format!("<{}>", bob.contact()), more.clone()] {
        register(&mut town, &mut bob, &contact);
        assert_eq!(contacts(&mut town).len(), 2);
    }
    let first = format!("<{}>;expires=0", bob.contact());
    register(&mut town, &mut bob, &first);
    assert_eq!(contacts(&mut town), [second(&bob).contact()]);
    assert_eq!(called(&mut town, &alice, &bob), [false, true]);
    town.finish();
}

#[test]
fn one_of_two_is_taken_back_while_the_other_is_refreshed() {
    for down in [false, true] {
        let (mut town, _, mut bob) = two();
        let all = both(&bob);
        register(&mut town, &mut bob, &all);
        if down {
            town.server_is(Fate::Drop);
        }
        let one = format!("<{}>;expires=0, <{}>", bob.contact(), second(&bob).contact());
        register(&mut town, &mut bob, &one);
        assert_eq!(contacts(&mut town), [second(&bob).contact()], "server down: {down}");
        assert_eq!(told(&town).matches("expires=0").count(), 1);
        town.world.run_ms(32_000);
        town.finish();
    }
}

#[test]
fn a_wildcard_removes_all() {
    for down in [false, true] {
        let (mut town, _, mut bob) = two();
        let all = both(&bob);
        register(&mut town, &mut bob, &all);
        if down {
            town.server_is(Fate::Drop);
        }
        register(&mut town, &mut bob, "*");
        assert_eq!(contacts(&mut town), [""; 0], "server down: {down}");
        town.world.run_ms(32_000);
        assert_eq!(town.finds(0, &bob.aor()), 0);
        town.finish();
    }
}

/// Softphones name themselves anew at each start.
#[test]
fn a_phone_that_has_restarted_takes_its_own_place() {
    let (mut town, _, mut bob) = two();
    bob.call_id = "after-its-start".into();
    let renamed = format!("<{};rinstance=1234>", bob.contact());
    register(&mut town, &mut bob, &renamed);
    assert_eq!(contacts(&mut town), [format!("{};rinstance=1234", bob.contact())]);
    town.finish();
}

/// A phone with an instance names both of its Contacts anew at each start.
#[test]
fn a_phone_that_has_restarted_keeps_both_of_its_contacts() {
    let (mut town, alice, _) = two();
    let mut bob = town.phone(1, 7, "ben");
    let named = |bob: &Phone, run: u8| {
        let instance = "+sip.instance=\"<urn:uuid:b>\"";
        let named = |phone: &Phone| format!("<{};run={run}>;{instance}", phone.contact());
        format!("{}, {}", named(bob), named(&second(bob)))
    };
    for run in [1, 2, 3] {
        bob.call_id = format!("run-{run}");
        let all = named(&bob, run);
        register(&mut town, &mut bob, &all);
        let now = contacts(&mut town);
        let both = [bob.contact(), second(&bob).contact()].map(|it| format!("{it};run={run}"));
        for contact in &both {
            assert!(now.contains(contact), "{run}: {now:?}");
        }
        assert_eq!(now.len(), 3, "those of the run before are gone: {now:?}");
    }
    assert_eq!(called(&mut town, &alice, &bob), [true, true]);
    town.finish();
}

#[test]
fn contacts_beyond_the_limit_are_left_out_and_counted() {
    let (mut town, _, mut bob) = two();
    let at = |port: u16| {
        let mut phone = bob.clone();
        phone.at.set_port(port);
        format!("<{}>", phone.contact())
    };
    let beyond = [5070, 5071, 5072, 5073, 5074].map(at).join(", ");
    let all = format!("<{}>, {beyond}", bob.contact());
    register(&mut town, &mut bob, &all);
    assert_eq!(contacts(&mut town).len(), 4, "the first, and three beside it");
    assert_eq!(told(&town).matches("@203.0.113.2:5062").count(), 4, "no other is promised");
    assert_eq!(town.status(1)["counters"]["contacts_dropped"], 2);
    town.finish();
}
