//! Telephones that play a tone and record what they hear: baresip.

use crate::needs;
use crate::process::Process;
use crate::provider::{DOMAIN, PASSWORD};
use crate::town::{Socket, Town};
use crate::transport::Transport;
use crate::{sound, wait};
use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const MODULES: &str = "/usr/lib/baresip/modules";
/// Where baresip takes commands, on its own host.
const CONTROL: &str = "127.0.0.1:4444";
/// How long a telephone may take for what it does by itself.
const SOON: Duration = Duration::from_secs(10);

/// A telephone, which takes every call.
pub(crate) struct Baresip {
    /// Its user.
    pub(crate) user: String,
    /// The tone that it plays, in Hz.
    pub(crate) tone: u32,
    process: Process,
    control: TcpStream,
    unread: Vec<u8>,
    events: Vec<Value>,
    heard: PathBuf,
}

impl Baresip {
    /// Plugs in a telephone, and waits until it is registered.
    pub(crate) fn start(
        town: &Town,
        socket: &Socket,
        (user, tone): (&str, u32),
        transport: Transport,
    ) -> Self {
        Self::start_at(
            town,
            socket,
            (user, tone),
            (transport, &format!("{}:5060", socket.router())),
        )
    }

    /// As [`Self::start`], with the address of whom it asks.
    pub(crate) fn start_at(
        town: &Town,
        socket: &Socket,
        (user, tone): (&str, u32),
        (transport, server): (Transport, &str),
    ) -> Self {
        let folder = town.folder().join(format!("baresip-{}", socket.host.name()));
        // baresip cuts longer names off: this one is the world's own.
        let heard = PathBuf::from("/run").join(socket.host.name());
        for folder in [&folder, &heard] {
            fs::create_dir_all(folder).unwrap();
        }
        let wave = folder.join("tone.wav");
        sound::write_tone(&wave, tone, 120);
        let parameter = if transport == Transport::Tcp { ";transport=tcp" } else { "" };
        let account = format!(
            "<sip:{user}@{DOMAIN}{parameter}>;auth_user={user};auth_pass={PASSWORD};regint=60;\
             outbound=\"sip:{server}{parameter}\";answermode=auto;audio_codecs=PCMA\n"
        );
        fs::write(folder.join("accounts"), account).unwrap();
        fs::write(folder.join("contacts"), "").unwrap();
        let settings = format!(
            "poll_method epoll\n\
             sip_listen {address}:5060\n\
             audio_player aubridge,out\n\
             audio_source aufile,{wave}\n\
             audio_alert aubridge,ring\n\
             audio_path {nothing}\n\
             module_path {MODULES}\n\
             module g711.so\n\
             module aufile.so\n\
             module aubridge.so\n\
             module sndfile.so\n\
             module_app account.so\n\
             module_app menu.so\n\
             module_app ctrl_tcp.so\n\
             ctrl_tcp_listen {CONTROL}\n\
             snd_path {heard}\n\
             rtp_ports 10000-10100\n",
            address = if socket.is_ipv6() {
                format!("[{}]", socket.address)
            } else {
                socket.address.into()
            },
            wave = wave.display(),
            heard = heard.display(),
            nothing = folder.display(),
        );
        fs::write(folder.join("config"), settings).unwrap();
        let mut command = Command::new(needs::find("baresip").unwrap());
        command.arg("-f").arg(&folder).args(["-v"]);
        let log = folder.join("log");
        let process = socket.host.on(|| Process::start(user, &mut command, &log));
        let control = wait::for_some("baresip's control", SOON, || {
            socket.host.on(|| TcpStream::connect(CONTROL).ok())
        });
        control.set_nonblocking(true).unwrap();
        let mut phone = Self {
            user: user.to_owned(),
            tone,
            process,
            control,
            unread: Vec::new(),
            events: Vec::new(),
            heard,
        };
        phone.process.await_log("200 OK", SOON);
        phone
    }

    /// Calls a user of the domain.
    pub(crate) fn dial(&mut self, user: &str) {
        self.events.clear();
        self.order("dial", &format!("sip:{user}@{DOMAIN}"));
    }

    /// Ends the call.
    pub(crate) fn hang_up(&mut self) {
        self.order("hangup", "");
    }

    fn order(&mut self, command: &str, parameters: &str) {
        let order = json!({ "command": command, "params": parameters, "token": "" }).to_string();
        write!(self.control, "{}:{order},", order.len()).unwrap();
    }

    /// Waits for an event, as baresip names it, since the last call was dialled or an event of
    /// this kind waited for.
    pub(crate) fn await_event(&mut self, kind: &str) {
        let what = format!("{kind} of {}", self.user);
        wait::until(&what, SOON, || {
            self.read_events();
            let place = self.events.iter().position(|event| event["type"] == kind);
            place.map(|place| self.events.remove(place)).is_some()
        });
    }

    fn read_events(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.control.read(&mut buffer) {
                Ok(0) => panic!("{} ended: {}", self.user, self.process.log()),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{}: {error}", self.user),
            }
        }
        // Netstrings: length, colon, bytes, comma.
        while let Some(colon) = self.unread.iter().position(|byte| *byte == b':') {
            let length: usize =
                std::str::from_utf8(&self.unread[..colon]).unwrap().parse().unwrap();
            let end = colon + 1 + length;
            if self.unread.len() <= end {
                break;
            }
            let event = serde_json::from_slice(&self.unread[colon + 1..end]).unwrap_or_default();
            self.events.push(event);
            self.unread.drain(..=end);
        }
    }

    /// How much of `tone` it has heard in its last call, in milliseconds.
    pub(crate) fn heard_ms(&self, tone: u32) -> u64 {
        let files = fs::read_dir(&self.heard).unwrap().flatten();
        let received = files.map(|file| file.path());
        let newest = received
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .max_by_key(|path| fs::metadata(path).and_then(|it| it.modified()).ok());
        newest.map_or(0, |path| sound::tone_ms(&path, tone))
    }

    /// Waits until it has heard `more_ms` of `tone` beyond what it has heard by now.
    pub(crate) fn await_sound(&self, tone: u32, more_ms: u64) {
        let before = self.heard_ms(tone);
        let what = format!("{} to hear {tone} Hz", self.user);
        wait::until(&what, SOON, || self.heard_ms(tone) >= before + more_ms);
    }
}
