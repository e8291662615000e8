//! Telephones that play a tone and record what they hear, of another make: linphonec.

use crate::needs;
use crate::process::Process;
use crate::provider::{DOMAIN, PASSWORD};
use crate::town::{Socket, Town};
use crate::transport::Transport;
use crate::{sound, wait};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Command};
use std::time::Duration;

/// How long a telephone may take for what it does by itself.
const SOON: Duration = Duration::from_secs(10);

/// A telephone, which takes every call.
pub(crate) struct Linphone {
    /// Its user.
    pub(crate) user: String,
    /// The tone that it plays, in Hz.
    pub(crate) tone: u32,
    process: Process,
    commands: ChildStdin,
    /// How much of what it says has been waited for.
    read: usize,
    heard: PathBuf,
}

impl Linphone {
    /// Plugs in a telephone, and waits until it is registered.
    pub(crate) fn start(
        town: &Town,
        socket: &Socket,
        (user, tone): (&str, u32),
        transport: Transport,
    ) -> Self {
        let folder = town.folder().join(format!("linphone-{}", socket.host.name()));
        // It opens its database only where this folder is.
        fs::create_dir_all(folder.join(".local/share/linphone")).unwrap();
        let wave = folder.join("tone.wav");
        sound::write_tone(&wave, tone, 120);
        let heard = folder.join("heard.wav");
        fs::write(folder.join("settings"), settings(user, socket.router(), transport)).unwrap();
        let mut command = Command::new(needs::find("linphonec").unwrap());
        command.arg("-a").arg("-c").arg(folder.join("settings"));
        let messages = folder.join("messages");
        command.args(["-d", "6", "-l"]).arg(&messages);
        command.env("HOME", &folder);
        let log = folder.join("log");
        let (process, commands) =
            socket.host.on(|| Process::start_for_commands(user, &mut command, &log));
        let user = user.to_owned();
        let mut phone = Self { user, tone, process, commands, read: 0, heard };
        // Where no sound card is, files take its place.
        phone.order("soundcard use files");
        phone.order(&format!("play {}", wave.display()));
        phone.order(&format!("record {}", phone.heard.display()));
        // It keeps to itself that it is registered.
        wait::until(&format!("{} to be registered", phone.user), SOON, || {
            fs::read_to_string(&messages).is_ok_and(|text| text.contains("SIP/2.0 200 OK"))
        });
        phone
    }

    /// Calls a user of the domain.
    pub(crate) fn dial(&mut self, user: &str) {
        self.order(&format!("call sip:{user}@{DOMAIN}"));
    }

    /// Ends the call.
    pub(crate) fn hang_up(&mut self) {
        self.order("terminate");
    }

    fn order(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }

    /// Waits until it has said this after what was waited for before.
    pub(crate) fn await_word(&mut self, word: &str) {
        let what = format!("{word:?} of {}", self.user);
        self.read = wait::for_some(&what, SOON, || {
            let log = self.process.log();
            let found = log.get(self.read..).and_then(|unread| unread.find(word));
            assert!(found.is_some() || self.process.is_running(), "no {what}: {log}");
            Some(self.read + found? + word.len())
        });
    }

    /// Waits until it has heard `more_ms` of `tone` beyond what it has heard by now.
    pub(crate) fn await_sound(&self, tone: u32, more_ms: u64) {
        let before = sound::tone_ms(&self.heard, tone);
        let what = format!("{} to hear {tone} Hz", self.user);
        wait::until(&what, SOON, || sound::tone_ms(&self.heard, tone) >= before + more_ms);
    }
}

fn settings(user: &str, router: &str, transport: Transport) -> String {
    let (udp, tcp) = if transport == Transport::Tcp { (0, 5060) } else { (5060, 0) };
    format!(
        "[sip]\n\
         sip_port={udp}\n\
         sip_tcp_port={tcp}\n\
         sip_tls_port=0\n\
         guess_hostname=1\n\
         use_ipv6=0\n\
         default_proxy=0\n\
         [rtp]\n\
         audio_rtp_port=10000\n\
         [net]\n\
         dns_srv_enabled=0\n\
         [misc]\n\
         add_missing_audio_codecs=0\n\
         [audio_codec_0]\n\
         mime=PCMA\n\
         rate=8000\n\
         channels=1\n\
         enabled=1\n\
         [sound]\n\
         ec=0\n\
         [video]\n\
         capture=0\n\
         display=0\n\
         [proxy_0]\n\
         reg_proxy=<sip:{router}:5060;transport={transport}>\n\
         reg_route=<sip:{router}:5060;transport={transport};lr>\n\
         reg_identity=sip:{user}@{DOMAIN}\n\
         reg_expires=600\n\
         reg_sendregister=1\n\
         [auth_info_0]\n\
         username={user}\n\
         passwd={PASSWORD}\n\
         realm={DOMAIN}\n"
    )
}
