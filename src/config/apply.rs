//! From sections of words to settings: the table is asked what each option takes, then what only
//! several options together can have wrong is checked.

use super::schema::{Row, Section, section, sections};
use super::types::{Accept, Account, Config, IdentityConfig, Mode, Provider};
use super::uci::{self, Setting};
use super::value::Anchor;
use super::{Error, Warning};
use crate::limits::{
    EMERGENCY_ROUTES_MAX, INTERCEPT_PORTS_MAX, PROVIDERS_MAX, SERVERS_MAX, SIPS_PORT,
    TRUST_ANCHORS_MAX,
};

/// Relay ports that a call may need: two sides of two legs with RTP and RTCP, and hold-off.
const MEDIA_PORTS_PER_CALL: u32 = 6;

/// Reads one file.
pub(super) struct Reader<'a> {
    source: &'a str,
    config: Config,
    warnings: Vec<Warning>,
    /// Where each option of the sections that exist once was set.
    lines: Vec<(&'static str, &'static str, u32)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        let (config, warnings) = (Config::default(), Vec::new());
        Self { source, config, warnings, lines: Vec::new() }
    }

    pub(super) fn read(mut self, text: &str) -> Result<(Config, Vec<Warning>), Error> {
        let found = uci::sections(text).map_err(|e| self.error(e.line, &e.value, e.allowed))?;
        let mut seen = Vec::new();
        for found in &found {
            let Some(known) = section(&found.kind) else {
                let names = sections().iter().map(|s| s.name);
                let text = unknown("section", &found.kind, names);
                self.warn(found.line, text);
                continue;
            };
            if !known.repeatable && seen.contains(&known.name) {
                let name = known.name;
                let text = format!("section {name:?} a second time: later options win");
                self.warn(found.line, text);
            }
            seen.push(known.name);
            self.section(known, found)?;
        }
        self.check_ports()?;
        self.check_routes()?;
        self.check_trust()?;
        self.check_use();
        Ok((self.config, self.warnings))
    }

    fn error(&self, line: u32, value: &str, allowed: impl Into<String>) -> Error {
        let (file, value) = (self.source.to_owned(), value.to_owned());
        Error { file, line, value, allowed: allowed.into() }
    }

    fn warn(&mut self, line: u32, text: String) {
        self.warnings.push(Warning { file: self.source.to_owned(), line, text });
    }

    fn section(&mut self, known: &'static Section, found: &uci::Section) -> Result<(), Error> {
        match known.name {
            "provider" if self.config.providers.len() == PROVIDERS_MAX => {
                let allowed = format!("at most {PROVIDERS_MAX} providers");
                return Err(self.error(found.line, &found.kind, allowed));
            }
            "provider" => {
                let name = found.name.clone();
                self.config.providers.push(Provider { name, ..Provider::default() });
            }
            "account" => self.config.accounts.push(Account::default()),
            _ => {}
        }
        for setting in &found.options {
            if let Some(row) = known.options.iter().find(|row| row.name == setting.name) {
                self.option(known, row, setting)?;
            } else {
                let names = known.options.iter().map(|row| row.name);
                self.warn(setting.line, unknown("option", &setting.name, names));
            }
        }
        match known.name {
            "provider" => self.check_provider(found),
            "account" => self.check_account(found),
            _ => Ok(()),
        }
    }

    fn option(
        &mut self,
        known: &'static Section,
        row: &'static Row,
        setting: &Setting,
    ) -> Result<(), Error> {
        let name = row.name;
        if !row.list && setting.values.len() > 1 {
            return Err(self.error(setting.line, name, "one value, not a list"));
        }
        let mut values: Vec<&str> = Vec::with_capacity(setting.values.len());
        for (line, value) in &setting.values {
            if row.list && value.is_empty() && setting.values.len() == 1 {
                break;
            }
            let mut value = value.as_str();
            if (known.name, name, value) == ("media", "path", "kernel") {
                self.warn(*line, "path 'kernel' is not in this version: as 'user'".into());
                value = "user";
            }
            if !row.kind.takes(value) {
                let shown = if row.kind.is_secret() { "(secret)" } else { value };
                return Err(self.error(*line, shown, format!("{name} is {}", row.kind)));
            }
            values.push(value);
        }
        (row.set)(&mut self.config, &values);
        self.lines.push((known.name, name, setting.line));
        Ok(())
    }

    fn line_of(&self, section: &str, option: &str) -> u32 {
        let found = self.lines.iter().rev().find(|(s, o, _)| (*s, *o) == (section, option));
        found.map_or(1, |(_, _, line)| *line)
    }

    fn check_provider(&self, found: &uci::Section) -> Result<(), Error> {
        let Some((last, before)) = self.config.providers.split_last() else { return Ok(()) };
        if last.domain.is_empty() {
            return Err(self.error(found.line, "provider", "a section with option 'domain'"));
        }
        if before.iter().any(|p| p.domain == last.domain) {
            let allowed = "one section 'provider' for each domain";
            return Err(self.error(found.line, &last.domain, allowed));
        }
        if last.fallback_server.len() >= SERVERS_MAX {
            let allowed = format!("at most {} of 'fallback_server'", SERVERS_MAX - 1);
            return Err(self.error(found.line, &last.domain, allowed));
        }
        Ok(())
    }

    /// An account needs an address and something to compare a digest with; name and realm follow
    /// from the address where they are not given.
    fn check_account(&mut self, found: &uci::Section) -> Result<(), Error> {
        let allowed = "a section with option 'aor' and with 'password', 'ha1' or 'ha1_sha256'";
        let missing = self.error(found.line, "account", allowed);
        let Some(account) = self.config.accounts.last_mut() else { return Ok(()) };
        let secrets = [&account.password, &account.ha1, &account.ha1_sha256];
        if account.aor.is_empty() || secrets.iter().all(|secret| secret.is_none()) {
            return Err(missing);
        }
        let rest = account.aor.split_once(':').map_or("", |(_, rest)| rest);
        let (user, domain) = rest.split_once('@').unwrap_or((rest, ""));
        if account.user.is_empty() {
            account.user = user.to_owned();
        }
        if account.realm.is_empty() {
            account.realm = domain.to_owned();
        }
        Ok(())
    }

    /// No two sockets may want the same port.
    fn check_ports(&mut self) -> Result<(), Error> {
        let (adapter, media) = (&self.config.adapter, &self.config.media);
        let relay = media.port_min..=media.port_max;
        if relay.clone().count() < 2 {
            let line = self.line_of("media", "port_max");
            return Err(self.error(line, &media.port_max.to_string(), "more than port_min"));
        }
        let wan = adapter.wan_sip_port;
        if wan == 5060 {
            let line = self.line_of("adapter", "wan_sip_port");
            return Err(self.error(line, "5060", "wan_sip_port is 0 or any port but 5060"));
        }
        let overlay = self.config.overlay.port;
        for (section, option, port) in [
            ("adapter", "sip_port", adapter.sip_port),
            ("adapter", "wan_sip_port", wan),
            ("overlay", "port", overlay),
        ] {
            let taken = (option, port) == ("wan_sip_port", overlay) && port != 0;
            if relay.contains(&port) || taken {
                let line = self.line_of(section, option);
                let allowed = "a port that no other option uses";
                return Err(self.error(line, &port.to_string(), allowed));
            }
        }
        self.check_intercepted()?;
        let (adapter, media) = (&self.config.adapter, &self.config.media);
        let ports = u32::from(media.port_max - media.port_min) + 1;
        let wanted = u32::from(adapter.max_calls) * MEDIA_PORTS_PER_CALL;
        if ports < wanted {
            let calls = adapter.max_calls;
            let text = format!("{ports} media ports are few for {calls} calls: {wanted} or more");
            self.warn(self.line_of("media", "port_max"), text);
        }
        Ok(())
    }

    /// Each port once, each with sockets of its own; on one of TLS a phone would be cut off.
    fn check_intercepted(&mut self) -> Result<(), Error> {
        let mut seen = Vec::new();
        self.config.adapter.intercept_port.retain(|port| {
            let new = !seen.contains(port);
            seen.push(*port);
            new
        });
        let ports = &self.config.adapter.intercept_port;
        let tls = ports.iter().find(|port| **port == SIPS_PORT);
        let Some(wrong) = tls.or_else(|| ports.get(INTERCEPT_PORTS_MAX)) else { return Ok(()) };
        let allowed = match *wrong {
            SIPS_PORT => "a port without TLS: what is encrypted cannot be intercepted".to_owned(),
            _ => format!("at most {INTERCEPT_PORTS_MAX} ports"),
        };
        Err(self.error(self.line_of("adapter", "intercept_port"), &wrong.to_string(), allowed))
    }

    /// Each route is a leg of the call, beside the server's.
    fn check_routes(&self) -> Result<(), Error> {
        match self.config.emergency.route.get(EMERGENCY_ROUTES_MAX) {
            Some(surplus) => {
                let line = self.line_of("emergency", "route");
                let allowed = format!("at most {EMERGENCY_ROUTES_MAX} routes");
                Err(self.error(line, &surplus.to_string(), allowed))
            }
            None => Ok(()),
        }
    }

    /// Anchors are known by how they begin, and only they verify anybody.
    fn check_trust(&mut self) -> Result<(), Error> {
        let anchors = self.config.identity.trust_anchor.clone();
        let begins = |anchor: &Anchor| anchor.0.first_chunk::<4>().copied();
        let twin = anchors.iter().enumerate().find(|(at, anchor)| {
            anchors.iter().take(*at).any(|other| begins(other) == begins(anchor))
        });
        let wrong = match (twin, anchors.get(TRUST_ANCHORS_MAX)) {
            (Some((_, twin)), _) => Some((twin, "keys that begin with other 8 digits each".into())),
            (None, beyond) => beyond.map(|it| (it, format!("at most {TRUST_ANCHORS_MAX} keys"))),
        };
        if let Some((anchor, allowed)) = wrong {
            let line = self.line_of("identity", "trust_anchor");
            return Err(self.error(line, &anchor.to_string(), allowed));
        }
        let default = IdentityConfig::default().certificate;
        let unused = self.config.identity.certificate != default;
        let anchored = !anchors.is_empty();
        let set = |it: &(&str, &str, u32)| (it.0, it.1) == ("identity", "accept");
        let accept = &mut self.config.identity.accept;
        if anchored && !self.lines.iter().any(set) {
            *accept = Accept::Verified;
        } else if anchored && *accept == Accept::Network {
            let text = "accept 'network' beside a trust_anchor: whoever has the secret may call in \
                        anybody's name; leave it out for verified";
            self.warn(self.line_of("identity", "accept"), text.into());
        }
        if !anchored && self.config.identity.accept == Accept::Verified {
            let line = self.line_of("identity", "accept");
            let allowed = "verified with a trust_anchor; network or nobody without";
            return Err(self.error(line, "verified", allowed));
        }
        if !anchored && unused {
            let text = "certificate without a trust_anchor: nobody needs it, it is not used";
            self.warn(self.line_of("identity", "certificate"), text.into());
        }
        Ok(())
    }

    /// What is allowed but hardly meant, told where the daemon is to run.
    fn check_use(&mut self) {
        let adapter = &self.config.adapter;
        if !adapter.enabled {
            return;
        }
        let mode = adapter.mode;
        let line = self.line_of("adapter", "mode");
        if mode == Mode::Overlay && self.config.accounts.is_empty() {
            let text = "mode 'overlay' without a section 'account': no phone can register";
            self.warn(line, text.into());
        }
        if mode != Mode::Overlay && self.config.providers.is_empty() {
            let text = "no section 'provider': calls pass, but nothing helps when a server fails";
            self.warn(line, text.into());
        }
    }
}

/// "unknown option "hedge": did you mean "hedge_ms"?"
fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> String {
    let nearest = known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 || candidate.starts_with(name)
        })
        .min();
    match nearest {
        Some((_, candidate)) => format!("unknown {what} {name:?}: did you mean {candidate:?}?"),
        None => format!("unknown {what} {name:?}: ignored"),
    }
}

/// The number of letters to insert, delete or replace (Levenshtein), over bytes; names that are
/// much longer than any of ours are not measured.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 40 || b.len() > 40 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.bytes().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
