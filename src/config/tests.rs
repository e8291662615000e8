//! Settings as users write them, right and wrong.

use super::schema::{Applies, Kind, sections};
use super::*;
use crate::time::Duration;
use proptest::prelude::*;

fn good(text: &str) -> Config {
    let (config, warnings) = parse(text, "test").unwrap();
    assert_eq!(warnings, [], "{text}");
    config
}

fn warnings(text: &str) -> Vec<String> {
    parse(text, "test").unwrap().1.iter().map(ToString::to_string).collect()
}

fn bad(text: &str) -> (u32, String) {
    let error = parse(text, "test").expect_err(text);
    assert!(!error.allowed.is_empty());
    (error.line, error.value)
}

/// A file that sets one option of a section, with whatever else the section requires.
fn file_with(section: &schema::Section, setting: &str) -> String {
    let required = match section.name {
        "provider" if !setting.contains("option domain") => "\toption domain 'd.test'\n",
        "account" => "\toption aor 'sip:a@d.test'\n\toption password 'x'\n",
        _ => "",
    };
    format!("config {}\n{required}{setting}", section.name)
}

/// Two different values that the option takes; the first is not its default.
fn samples(row: &schema::Row) -> (String, String) {
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    match row.kind {
        Kind::Flag if row.default == ["1"] => pair("0", "1"),
        Kind::Flag => pair("1", "0"),
        Kind::Number { .. } if row.name == "port_max" => pair("30399", "30401"),
        // Ports have the widest ranges; these two collide with no default.
        Kind::Number { min, max } if max > 30_000 && min <= 1025 => pair("29990", "29992"),
        Kind::Number { min, max } => (max.to_string(), min.to_string()),
        Kind::Choice(words) => {
            let other = words.iter().rev().find(|w| !row.default.contains(w)).unwrap();
            (other.to_string(), row.default[0].to_owned())
        }
        Kind::Address => pair("192.0.2.1", "2001:db8::1"),
        Kind::Host => pair("a.test", "b.test"),
        Kind::Net => pair("192.0.2.0/24", "2001:db8::/32"),
        Kind::Route => pair("sip:a.test", "sip:112@[2001:db8::1]:5061;transport=tcp;lr"),
        Kind::Server => pair("sip:a.test", "sip:[2001:db8::1]:5061;transport=tcp"),
        Kind::HostPort => pair("a.test:1", "[2001:db8::1]:2"),
        Kind::Network => pair("br-lan", "192.0.2.1"),
        Kind::Digits | Kind::Dialled => pair("777", "88"),
        Kind::Aor => pair("sip:b@d.test", "tel:+49891"),
        Kind::Blocked => pair("d.test", "+49 89 1"),
        Kind::Text | Kind::File | Kind::Password => pair("some", "other"),
        Kind::Hex(digits) => ("aB".repeat(digits / 2), "01".repeat(digits / 2)),
        Kind::PublicKey => ("aB".repeat(32), "01".repeat(32)),
    }
}

fn quoted(row: &schema::Row, value: &str) -> String {
    format!("\t{} {} '{value}'\n", if row.list { "list" } else { "option" }, row.name)
}

#[test]
fn an_empty_file_means_the_defaults_of_the_table() {
    assert_eq!(good(""), Config::default());
    for section in sections() {
        let base = good(&file_with(section, ""));
        for row in section.options.iter().filter(|row| row.default != [""]) {
            let lines: String = row.default.iter().map(|v| quoted(row, v)).collect();
            let name = format!("{}.{}", section.name, row.name);
            assert_eq!(good(&file_with(section, &lines)), base, "{name}");
        }
    }
}

#[test]
fn every_option_changes_something_and_says_when() {
    for section in sections() {
        let base = good(&file_with(section, ""));
        for row in section.options {
            let name = format!("{}.{}", section.name, row.name);
            let (a, b) = samples(row);
            assert!(row.kind.takes(&a) && row.kind.takes(&b), "{name} {a} {b}");
            let one = parse(&file_with(section, &quoted(row, &a)), "test").unwrap().0;
            assert_ne!(one, base, "{name}");
            let two = parse(&file_with(section, &quoted(row, &b)), "test").unwrap().0;
            assert_ne!(one, two, "{name}");
            let held = Config::restart_needed(&base, &one);
            let expected =
                if row.applies == Applies::Restart { vec![name.as_str()] } else { vec![] };
            assert_eq!(held, expected, "{name}");
            let merged = base.reloaded(&one);
            let mut base = base.clone();
            if name == "provider.domain" {
                // The old one's section is gone, and with it its place in the overlay.
                base.providers[0].overlay = false;
            }
            assert_eq!(merged == base, row.applies == Applies::Restart, "{name}");
            assert!(Config::restart_needed(&base, &merged).is_empty(), "{name}");
        }
    }
}

#[test]
fn a_value_out_of_range_or_malformed_names_line_value_and_range() {
    for section in sections() {
        for row in section.options {
            let wrong = match row.kind {
                Kind::Number { max, .. } => (max + 1).to_string(),
                Kind::Text | Kind::File | Kind::Password => "x".repeat(257),
                Kind::Net => "192.0.2.0/33".into(),
                Kind::Server => "http://a.test".into(),
                Kind::Route => "sip:@a.test".into(),
                _ => "no such value!".into(),
            };
            let text = file_with(section, &quoted(row, &wrong));
            let error = parse(&text, "file").expect_err(&text);
            assert_eq!(error.line as usize, text.lines().count(), "{text}");
            assert!(error.allowed.contains(&row.kind.to_string()), "{error}");
            let shown = if row.kind.is_secret() { "(secret)" } else { &wrong };
            assert_eq!(error.value, shown);
            assert!(error.to_string().starts_with("file:"), "{error}");
        }
    }
}

#[test]
fn syntax_is_libucis() {
    let config = good(concat!(
        "# comment\npackage cosip\n\nconfig 'adapter' \"adapter\" # comment\r\n",
        "\toption mode server#comment\n\toption\tlog_level \"de\"'bug'\n",
        "\toption sip_port \\\n\t50\\61\n\tlist lan 'a'\n\tlist lan b\n",
        "c overlay\no name 'it'\\''s \"one\"'\nl bootstrap \"[::1]:\\5\"\n",
    ));
    assert_eq!(config.adapter.mode, Mode::Server);
    assert_eq!(config.adapter.log_level, log::LevelFilter::Debug);
    assert_eq!(config.adapter.sip_port, 5061);
    assert_eq!(config.adapter.lan, ["a", "b"]);
    assert_eq!(config.overlay.name, "it's \"one\"");
    assert_eq!(config.overlay.bootstrap[0].to_string(), "[::1]:5");
}

#[test]
fn what_is_not_uci_is_an_error_with_its_line() {
    for (text, line, value) in [
        ("\noption mode 'server'\n", 2, "mode"),
        ("config\n", 1, "config"),
        ("config adapter a b c d\n", 1, "c"),
        ("config adapter\n\nmode server", 3, "mode"),
        ("config adapter\noption mode", 2, "option"),
        ("config adapter\n\toption mode 'server\n\n", 2, "server"),
        ("config provider\n\toption server sip:a;transport=udp\n", 2, "sip:a"),
        ("config adapter\n\toption mo-de 'server'\n", 2, "mo-de"),
        ("config provider 'a b'\n", 1, "a b"),
        ("<html>\n", 1, "<html>"),
    ] {
        assert_eq!(bad(text), (line, value.to_owned()), "{text}");
    }
}

#[test]
fn what_may_be_a_secret_is_not_told_even_where_it_is_not_uci() {
    for line in ["password 'secret", "ha1 sec;ret", "passwrd \"secret", "password sec'ret"] {
        let error = parse(&format!("config account\n\toption {line}\n"), "test").unwrap_err();
        assert_eq!(error.value, "(secret)", "{line}");
    }
    let error = parse("config adapter\n\toption mode 'server\n", "test").unwrap_err();
    assert_eq!(error.value, "server");
}

#[test]
fn sizes_are_bounded() {
    use crate::limits::{CONFIG_BYTES_MAX, CONFIG_SECTIONS_MAX, PROVIDERS_MAX};
    assert_eq!(bad(&" ".repeat(CONFIG_BYTES_MAX + 1)).0, 1);
    let many = "config account\n".repeat(CONFIG_SECTIONS_MAX + 1);
    assert_eq!(bad(&many).0 as usize, CONFIG_SECTIONS_MAX + 1);
    let long = format!("config adapter\noption mode {}\n", "x".repeat(1025));
    assert_eq!(bad(&long).0, 2);
    let list = format!("config adapter\n{}", "list lan a\n".repeat(257));
    assert_eq!(bad(&list).0, 258);
    let providers: String = (0..=PROVIDERS_MAX)
        .map(|n| format!("config provider\noption domain d{n}.test\n"))
        .collect();
    assert_eq!(bad(&providers).0 as usize, 2 * PROVIDERS_MAX + 1);
}

#[test]
fn unknown_names_are_warnings_with_the_nearest_known() {
    let text = "config adaptor\nconfig adapter\noption max_phone 3\noption hovercraft 'eels'\n\
                config provider\noption domain d.test\nlist hedge 500\n";
    assert_eq!(
        warnings(text),
        [
            "test:1: unknown section \"adaptor\": did you mean \"adapter\"?",
            "test:3: unknown option \"max_phone\": did you mean \"max_phones\"?",
            "test:4: unknown option \"hovercraft\": ignored",
            "test:7: unknown option \"hedge\": did you mean \"hedge_ms\"?",
        ]
    );
}

#[test]
fn a_value_of_a_later_version_is_a_note() {
    let (config, warnings) = parse("config media\noption path 'kernel'\n", "test").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2]);
    assert!(warnings.iter().all(|w| w.text.contains("not in this version")));
}

#[test]
fn with_a_trust_anchor_the_verified_alone_may_call_unless_told_otherwise() {
    let key = |begin: &str| format!("\tlist trust_anchor '{begin}{}'\n", "0".repeat(56));
    let one = format!("config identity\n{}", key("0000000a"));
    assert_eq!(good(&one).identity.accept, Accept::Verified);
    let open = format!("{one}\toption accept network\n");
    assert_eq!(parse(&open, "test").unwrap().0.identity.accept, Accept::Network);
    assert!(warnings(&open)[0].contains("whoever has the secret may call"), "{open}");
    assert_eq!(good(&one).identity.trust_anchor[0].0[..5], [0, 0, 0, 10, 0]);
    let wrong = "config identity\n\n\toption accept 'verified'\n";
    assert_eq!(bad(wrong), (3, "verified".into()), "nobody verifies anybody");
    let many: String = (0..9).map(|n| key(&format!("0000000{n}"))).collect();
    assert_eq!(bad(&format!("config identity\n{many}")).0, 2, "eight at most");
    let twins = format!("{one}{}", key("0000000A"));
    assert_eq!(bad(&twins).1, format!("0000000a{}", "0".repeat(56)), "one name for two");
    assert_eq!(good(&format!("{one}\toption certificate 'a.crt'\n")).identity.certificate, "a.crt");
    let unused = warnings("config identity\n\toption certificate 'a.crt'\n");
    assert!(unused[0].starts_with("test:2: certificate without a trust_anchor"), "{unused:?}");
}

#[test]
fn an_address_a_number_a_domain_and_a_router_can_be_blocked() {
    let list = |value: &str| format!("config identity\n\tlist block '{value}'\n");
    let id = "a5".repeat(16);
    for value in ["sip:a@b.test", "tel:+49891", "+49 (89) 12/3", "0891", "b.test", "1.2.3.4", &id] {
        assert_eq!(good(&list(value)).identity.block, [value]);
    }
    for value in ["a@b.test", "+", "sip:a", "::1", "b_ test", "0".repeat(33).as_str()] {
        assert_eq!(bad(&list(value)), (2, value.to_owned()));
    }
}

#[test]
fn option_stands_for_a_list_of_one_and_a_list_for_no_option() {
    let config = good("config adapter\noption lan 'a'\n");
    assert_eq!(config.adapter.lan, ["a"]);
    let config = good("config provider\noption domain d.test\noption server_only ''\n");
    assert!(config.providers[0].server_only.is_empty());
    assert_eq!(bad("config adapter\nlist mode 'server'\nlist mode 'server'\n").0, 2);
}

#[test]
fn sections_repeat_where_they_may() {
    let config = good(
        "config provider 'a'\noption domain A.test\nconfig provider\noption domain b.test\n\
         config provider 'a'\noption hedge_ms 700\n",
    );
    let domains: Vec<&str> = config.providers.iter().map(|p| p.domain.as_str()).collect();
    assert_eq!(domains, ["a.test", "b.test"]);
    assert_eq!(config.providers[0].hedge, Duration::from_millis(700));
    assert_eq!((config.providers[0].name.as_str(), config.network_name()), ("a", "a.test"));
    assert_eq!(warnings("config media\nconfig media 'x'\n").len(), 1);
    assert_eq!(bad("config provider\n").0, 1);
    assert_eq!(bad("config provider\noption domain d\nconfig provider\noption domain D\n").0, 3);
}

#[test]
fn accounts_take_name_and_realm_from_their_address() {
    let text = "config account\noption aor 'sip:alice@example.net'\noption ha1 '";
    let hash = "ABCDEFABCDEFABCDEFABCDEFABCDEFAB";
    let account = good(&format!("{text}{hash}'\n")).accounts.remove(0);
    assert_eq!((account.user.as_str(), account.realm.as_str()), ("alice", "example.net"));
    assert_eq!(account.ha1.as_ref().unwrap().expose(), hash.to_lowercase());
    assert!(!format!("{account:?}").to_lowercase().contains("abcdef"));
    assert_eq!(bad("config account\noption aor 'sip:a@b'\n").0, 1);
    assert_eq!(bad("config account\noption password 'b'\n").0, 1);
}

#[test]
fn options_that_contradict_each_other_are_found() {
    let media = "config media\noption port_min 40001\noption port_max 40000\n";
    assert_eq!(bad(media), (3, "40000".into()));
    assert_eq!(bad("config adapter\noption wan_sip_port 5060\n"), (2, "5060".into()));
    assert_eq!(bad("config adapter\noption sip_port 30005\n"), (2, "30005".into()));
    let both = "config overlay\noption port 6000\nconfig adapter\noption wan_sip_port 6000\n";
    assert_eq!(bad(both), (4, "6000".into()));
    let ports = |ports: &[u16]| {
        let lines = ports.iter().map(|port| format!("list intercept_port {port}\n"));
        format!("config adapter\n{}", lines.collect::<String>())
    };
    let many: Vec<u16> = (5062..=5070).collect();
    assert_eq!(bad(&ports(&many)).1, "5070", "more than are intercepted");
    assert_eq!(bad(&ports(&[5060, 5061])).1, "5061", "TLS");
    let twice = [&many[..8], &many[..2]].concat();
    assert_eq!(good(&ports(&twice)).adapter.intercept_port, many[..8], "each once");
    assert_eq!(
        warnings("config adapter\noption max_calls 40\n"),
        ["test:1: 200 media ports are few for 40 calls: 240 or more"]
    );
    assert_eq!(warnings("config adapter\noption enabled 1\n").len(), 1);
    assert_eq!(warnings("config adapter\noption enabled 1\noption mode overlay\n").len(), 1);
}

#[test]
fn blocks_of_addresses_contain_what_their_prefix_says() {
    for (net, address, inside) in [
        ("203.0.113.0/24", "203.0.113.255", true),
        ("203.0.113.7/24", "203.0.114.0", false),
        ("0.0.0.0/0", "8.8.8.8", true),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.0", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("2001:db8::/32", "2001:db8:ffff::", true),
        ("2001:db8::/33", "2001:db8:ffff::", false),
        ("::/0", "192.0.2.1", false),
    ] {
        let net: Net = net.parse().unwrap();
        assert_eq!(net.contains(address.parse().unwrap()), inside, "{net:?} {address}");
    }
}

#[test]
fn servers_are_written_as_they_are_read() {
    for text in ["sip:a.test", "sip:192.0.2.1:5060;transport=udp", "sip:[2001:db8::1]:1"] {
        assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
    }
    for text in ["", "sip:", "sips:a", "sip:a:0", "sip:a:65536", "sip:a@b", "sip:a;x=y", "sip:1.2"]
    {
        assert!(text.parse::<Server>().is_err(), "{text}");
    }
}

#[test]
fn routes_are_written_as_they_are_read_and_as_many_as_a_call_has_legs_for() {
    for text in [
        "sip:gw.test",
        "sip:112@192.0.2.1:5070;transport=tcp",
        "sip:psap@[2001:db8::1];transport=udp;lr",
        "sip:%2B49-112@gw.test;lr",
    ] {
        assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "sip",
        "tel:112",
        "sip:@gw.test",
        "sip:a b@gw.test",
        "sip:a@b@gw.test",
        "sip:a<@gw.test",
        "sip:112@",
        "sip:112@gw.test;x",
        "ünï:a@gw.test",
    ] {
        assert!(text.parse::<Route>().is_err(), "{text}");
    }
    let routes = |count: usize| {
        let lines: String = (0..count).map(|n| format!("list route 'sip:gw{n}.test'\n")).collect();
        format!("config emergency\n{lines}")
    };
    assert_eq!(good(&routes(3)).emergency.route.len(), 3);
    assert_eq!(bad(&routes(4)).1, "sip:gw3.test");
}

/// The shipped file with the comment signs of its commented options taken away.
fn shipped() -> String {
    let shipped = include_str!("../../openwrt/net/cosip/files/cosip.config");
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with("config ") || rest.starts_with('\t') => rest,
        _ => line,
    };
    shipped.lines().map(uncomment).fold(String::new(), |all, line| all + line + "\n")
}

#[test]
fn the_shipped_file_names_every_option_with_its_default() {
    let as_shipped = include_str!("../../openwrt/net/cosip/files/cosip.config");
    assert_eq!(good(as_shipped), Config::default());
    let text = shipped();
    let (config, _) = parse(&text, "cosip.config").unwrap();
    assert_eq!((config.providers.len(), config.accounts.len()), (1, 1));
    let mut here = Vec::new();
    let mut section = "";
    for line in text.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["config", name, ..] => section = name,
            ["option" | "list", name, ..] => here.push(format!("{section}.{name}")),
            _ => {}
        }
    }
    here.dedup();
    let known = sections()
        .iter()
        .flat_map(|s| s.options.iter().map(move |row| format!("{}.{}", s.name, row.name)));
    assert_eq!(here, known.collect::<Vec<_>>());
}

#[test]
fn the_readme_names_every_option_with_its_default() {
    for readme in ["README.md", "openwrt/net/cosip/README.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(readme);
        let text = std::fs::read_to_string(path).unwrap();
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for section in sections() {
            for row in section.options {
                let default = if row.default == [""] { "" } else { &row.default.join(" ") };
                let cells = if default.is_empty() { String::new() } else { format!("`{default}`") };
                let wanted = format!("| `{}.{}` | {cells} | {}", section.name, row.name, row.help);
                let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(squeezed.contains(&wanted), "{readme} lacks: {wanted}");
            }
        }
    }
}

#[test]
fn settings_that_the_documentation_shows_are_accepted_as_they_stand() {
    let documents = [include_str!("../../README.md"), include_str!("../../docs/isp.md")];
    let shown = documents.iter().flat_map(|text| text.split("```text\n").skip(1));
    let shown = shown.map(|rest| rest.split("```").next().unwrap());
    let settings: Vec<_> = shown.filter(|text| text.starts_with("config ")).collect();
    assert_eq!(settings.len(), 4);
    for text in settings {
        let told = warnings(text);
        // A bootstrap peer has no phones.
        assert!(told.iter().all(|line| line.contains("no phone can register")), "{told:?}");
    }
}

#[test]
fn the_schema_is_json_that_names_everything() {
    let json: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let options = json["options"].as_array().unwrap();
    let count: usize = sections().iter().map(|s| s.options.len()).sum();
    assert_eq!(options.len(), count);
    let port = options.iter().find(|o| o["option"] == "port_min").unwrap();
    assert_eq!((&port["section"], &port["default"]), (&"media".into(), &"30000".into()));
    assert_eq!((&port["min"], &port["applies"]), (&1024.into(), &"restart".into()));
}

proptest! {
    #![proptest_config(crate::properties::cases(200))]
    #[test]
    fn any_bytes_end_in_settings_or_an_error(
        data in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        fuzz::fuzz(&data);
    }

    #[test]
    fn any_words_end_in_settings_or_an_error(words in proptest::collection::vec(
        prop_oneof![
            Just("config"), Just("option"), Just("list"), Just("provider"), Just("adapter"),
            Just("account"), Just("media"), Just("port_min"), Just("port_max"), Just("domain"),
            Just("\n"), Just("'"), Just("\""), Just("\\"), Just("#"), Just("1"), Just("40000"),
            Just("a.test"), Just("aor"), Just("sip:a@b"), Just("password"), Just("lan"),
        ], 0..60,
    )) {
        fuzz::fuzz(words.join(" ").as_bytes());
    }

    #[test]
    fn a_quoted_value_comes_back_as_it_was(name in "[ -~]{1,100}") {
        let text = format!("config overlay\noption name '{}'\n", name.replace('\'', "'\\''"));
        prop_assert_eq!(good(&text).overlay.name, name);
    }
}
