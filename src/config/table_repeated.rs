//! The options of the sections that a file may have several times: `provider` and `account`.

use super::schema::Applies::{Live, Restart};
use super::schema::{Kind, Row, Section};
use super::table::{millis, number, parsed, rows, seconds, text, texts, yes};
use super::types::{Account, Config, Prefer, Provider};
use super::value::Secret;

/// Changes the provider whose section is being read.
fn provider(config: &mut Config, change: impl FnOnce(&mut Provider)) {
    config.providers.last_mut().map(change).unwrap_or_default();
}

/// Changes the account whose section is being read.
fn account(config: &mut Config, change: impl FnOnce(&mut Account)) {
    config.accounts.last_mut().map(change).unwrap_or_default();
}

fn lower(values: &[&str]) -> Vec<String> {
    values.iter().map(|v| v.to_ascii_lowercase()).collect()
}

fn secret(values: &[&str]) -> Option<Secret> {
    values.first().map(|v| Secret::new(*v))
}

fn hash(values: &[&str]) -> Option<Secret> {
    values.first().map(|v| Secret::new(v.to_ascii_lowercase()))
}

pub(super) const PROVIDER: Section = Section {
    name: "provider",
    repeatable: true,
    options: rows! {
        domain: Kind::Host, "", Restart,
            |c, v| provider(c, |p| p.domain = lower(v).pop().unwrap_or_default()),
            "The domain of the provider's addresses; required.";
        alias_domain: Kind::Host, [], Live, |c, v| provider(c, |p| p.alias_domain = lower(v)),
            "Other names and addresses that mean the same domain.";
        server: Kind::Server, "", Restart, |c, v| provider(c, |p| p.server = parsed(v).pop()),
            "The SIP server; empty: found by the domain's DNS records (RFC 3263).";
        fallback_server: Kind::Server, [], Restart,
            |c, v| provider(c, |p| p.fallback_server = parsed(v)),
            "Servers that are used where the first one fails, in this order.";
        server_net: Kind::Net, [], Live, |c, v| provider(c, |p| p.server_net = parsed(v)),
            "Further addresses that the provider's requests come from.";
        overlay: Kind::Flag, "1", Live, |c, v| provider(c, |p| p.overlay = yes(v)),
            "Whether this provider's numbers are put into the overlay.";
        hedge_ms: Kind::Number { min: 50, max: 10_000 }, "500", Live,
            |c, v| provider(c, |p| p.hedge = millis(v)),
            "Silence of the server after which the overlay is called, in milliseconds.";
        hedge_trying_ms: Kind::Number { min: 100, max: 30_000 }, "4000", Live,
            |c, v| provider(c, |p| p.hedge_trying = millis(v)),
            "The same after a 100 Trying alone, in milliseconds.";
        prefer: Kind::Choice(&["server", "fastest"]), "server", Live,
            |c, v| provider(c, |p| p.prefer = prefer(v)),
            "Whether the overlay helps out only, or calls at once as well.";
        probe_s: Kind::Number { min: 5, max: 3600 }, "60", Live,
            |c, v| provider(c, |p| p.probe = seconds(v)),
            "Time without a sign of life after which the server is probed, in seconds.";
        keepalive_s: Kind::Number { min: 5, max: 3600 }, "20", Live,
            |c, v| provider(c, |p| p.keepalive = seconds(v)),
            "Interval of keep-alives towards the server, in seconds.";
        recover_after: Kind::Number { min: 1, max: 20 }, "3", Live,
            |c, v| provider(c, |p| p.recover_after = number(v)),
            "Answers in a row after which a server that was down is up.";
        recover_grace_s: Kind::Number { min: 0, max: 86_400 }, "3600", Live,
            |c, v| provider(c, |p| p.recover_grace = seconds(v)),
            "For how long after an outage a 'not found' is not believed, in seconds.";
        failover_code: Kind::Number { min: 400, max: 599 },
            ["408", "500", "502", "503", "504"], Live,
            |c, v| provider(c, |p| p.failover_code = parsed(v)),
            "Answers of the server that the overlay may replace.";
        country_code: Kind::Digits, "", Live, |c, v| provider(c, |p| p.country_code = text(v)),
            "E.164 country code; empty: numbers are compared as they are written.";
        area_code: Kind::Digits, "", Live, |c, v| provider(c, |p| p.area_code = text(v)),
            "Area code without trunk prefix; empty: none.";
        international_prefix: Kind::Digits, "00", Live,
            |c, v| provider(c, |p| p.international_prefix = text(v)),
            "What is dialled before a country code.";
        trunk_prefix: Kind::Digits, "0", Live, |c, v| provider(c, |p| p.trunk_prefix = text(v)),
            "What is dialled before an area code; empty: nothing.";
        server_only: Kind::Dialled, ["*", "#"], Live,
            |c, v| provider(c, |p| p.server_only = texts(v)),
            "Beginnings of numbers that only the server understands.";
    },
};

fn prefer(values: &[&str]) -> Prefer {
    if values == ["fastest"] { Prefer::Fastest } else { Prefer::Server }
}

pub(super) const ACCOUNT: Section = Section {
    name: "account",
    repeatable: true,
    options: rows! {
        aor: Kind::Aor, "", Live, |c, v| account(c, |a| a.aor = text(v)),
            "The address that the account is for; required.";
        user: Kind::Text, "", Live, |c, v| account(c, |a| a.user = text(v)),
            "Name that the phone authenticates with; empty: the address's user part.";
        realm: Kind::Text, "", Live, |c, v| account(c, |a| a.realm = text(v)),
            "Realm of the challenge; empty: the address's domain.";
        password: Kind::Password, "", Live, |c, v| account(c, |a| a.password = secret(v)),
            "The password; or one or both of the hashes instead.";
        ha1: Kind::Hex(32), "", Live, |c, v| account(c, |a| a.ha1 = hash(v)),
            "MD5 of user:realm:password.";
        ha1_sha256: Kind::Hex(64), "", Live, |c, v| account(c, |a| a.ha1_sha256 = hash(v)),
            "SHA-256 of user:realm:password.";
        alias: Kind::Aor, [], Live, |c, v| account(c, |a| a.alias = texts(v)),
            "Further addresses of the same account.";
    },
};
