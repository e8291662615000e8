//! The run loop: one turn after the other, and one input after the other within a turn.

use super::lines::LineSource;
use super::poll::{Key, ReadyList};
use super::reactor::{Happening, start};
use super::requests::{Io, Owned};
use super::signals::{Signals, Wish};
use super::sockets::Returned;
use super::streams;
use super::{Driver, logger};
use crate::limits::{
    MEDIA_PACKET_BYTES_MAX, OVERLAY_DATAGRAM_BYTES_MAX, PORTMAP_DATAGRAM_BYTES_MAX,
    SEND_ERRORS_A_TURN_MAX, SIP_MESSAGE_BYTES_MAX, STOP_LIMIT, TASK_STEPS_A_TURN_MAX, WAIT_MAX,
};
use crate::net::{Core, Event, Failure, Input, Request, SocketId, SocketKind, StreamEvent, Ticket};
use crate::time::{Duration, Instant, earlier};
use std::io;

impl Driver {
    /// Runs `core` until it has stopped.
    ///
    /// # Errors
    /// Where the system cannot be waited on any more.
    pub fn run<C: Core>(&mut self, core: &mut C) -> io::Result<()> {
        let mut turn = Turn { core, io: &mut self.io, buf: &mut self.send };
        turn.tell_clock();
        turn.tell_network();
        loop {
            let busy = turn.run_tasks();
            if turn.io.finished() {
                return Ok(());
            }
            let wait = if busy { Some(Duration::ZERO) } else { turn.wait() };
            turn.io.reactor.poll().wait(&mut self.ready, wait)?;
            turn.serve(&self.ready, &mut self.receive);
        }
    }
}

/// What one turn works on.
struct Turn<'a, C> {
    core: &'a mut C,
    io: &'a mut Io,
    buf: &'a mut [u8],
}

impl<C: Core> Turn<'_, C> {
    /// How long to wait for the next thing to do.
    fn wait(&self) -> Option<Duration> {
        if self.io.lines.as_ref().is_some_and(LineSource::always_ready) {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.core.poll_timeout(),
            self.io.reactor.deadline(),
            self.io.networks.look_at(),
            self.io.stop_at,
        ];
        let now = self.io.reactor.now();
        let next = deadlines.into_iter().fold(None, earlier);
        Some(next.map_or(WAIT_MAX, |at| at.since(now)).min(WAIT_MAX))
    }

    /// Serves what is ready: media, SIP, tasks, overlay, then what is due.
    fn serve(&mut self, ready: &ReadyList, receive: &mut [u8]) {
        self.datagrams(ready, SocketKind::Media, receive);
        self.datagrams(ready, SocketKind::Sip, receive);
        for event in ready.iter() {
            match event.key {
                Key::Task(place) => self.io.reactor.wake(place),
                Key::Signals => self.take_signals(),
                Key::Network => {
                    let now = self.io.reactor.now();
                    self.io.networks.note_changes(now);
                }
                Key::Lines | Key::Udp(..) => {}
            }
        }
        self.io.reactor.wake_due(self.io.reactor.now());
        self.run_tasks();
        self.take_lines(ready);
        self.datagrams(ready, SocketKind::Overlay, receive);
        self.datagrams(ready, SocketKind::Portmap, receive);
        self.serve_time();
    }

    /// What is due by now.
    fn serve_time(&mut self) {
        let now = self.io.reactor.now();
        if self.core.poll_timeout().is_some_and(|at| at <= now) {
            self.feed(now, Input::Timeout);
        }
        if self.io.networks.look_at().is_some_and(|at| at <= now) {
            self.tell_network();
        }
        if self.io.clock_was_set(now) {
            self.tell_clock();
        }
        let ended = self.io.lines.as_ref().is_some_and(LineSource::ended);
        if ended && self.io.lines_open() == 0 {
            self.io.lines = None;
            self.stop();
        }
        if self.io.stop_at.is_some_and(|at| at <= now) {
            log::warn!("the clean stop took too long");
            self.io.stopped = true;
        }
    }

    /// Takes one datagram off each ready socket of a kind. More may wait; the next turn is told
    /// so by the wait, which costs no more than asking each socket until it is empty, and keeps
    /// turns short.
    fn datagrams(&mut self, ready: &ReadyList, kind: SocketKind, buf: &mut [u8]) {
        let largest = match kind {
            SocketKind::Media => MEDIA_PACKET_BYTES_MAX,
            SocketKind::Sip | SocketKind::SipListener => SIP_MESSAGE_BYTES_MAX,
            SocketKind::Overlay => OVERLAY_DATAGRAM_BYTES_MAX,
            SocketKind::Portmap => PORTMAP_DATAGRAM_BYTES_MAX,
        };
        let buf = buf.get_mut(..largest).unwrap_or_default();
        for event in ready.iter() {
            let Key::Udp(ready_kind, id) = event.key else { continue };
            if ready_kind != kind {
                continue;
            }
            if event.error && kind != SocketKind::Media {
                self.io.sockets.read_errors(id);
            }
            self.datagram(id, buf);
        }
    }

    fn datagram(&mut self, id: SocketId, buf: &mut [u8]) {
        let Some(received) = self.io.sockets.receive(id, buf) else { return };
        let Some(data) = buf.get(..received.len) else { return };
        let (from, to, tos) = (received.from, received.to, received.tos);
        let input = Input::Datagram { socket: id, from, to, tos, data };
        self.feed(self.io.reactor.now(), input);
    }

    /// One input, and then everything that the core wants.
    fn feed(&mut self, now: Instant, input: Input<'_>) {
        // A rejection has been counted by the core, and concerns nobody else.
        let _ = self.core.handle_input(now, input);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        loop {
            while let Some(transmit) = self.core.poll_transmit(now, self.buf) {
                let data = self.buf.get(..transmit.len).unwrap_or_default();
                self.io.send(transmit, data);
            }
            match self.core.poll_event() {
                Some(Event::Request(ticket, Request::Reply(reply))) => self.io.reply(ticket, reply),
                Some(Event::Request(ticket, request)) => self.io.serve(ticket, request),
                Some(Event::Stopped) => self.io.stopped = true,
                None => match self.io.answers.pop_front() {
                    Some((ticket, answer)) => {
                        let answer = answer.as_ref().map(Owned::borrow).map_err(|error| *error);
                        let _ = self.core.handle_input(now, Input::Answer(ticket, answer));
                    }
                    None => return,
                },
            }
        }
    }

    /// Runs tasks and takes their reports. Whether there is more to do at once.
    fn run_tasks(&mut self) -> bool {
        for _ in 0..TASK_STEPS_A_TURN_MAX {
            let ticked = self.io.executor.try_tick();
            while let Some(happening) = self.io.reactor.next_report() {
                self.take(happening);
            }
            self.take_returned();
            if !ticked {
                return self.io.sockets.has_returned();
            }
        }
        true
    }

    /// Tells the core of datagrams that came back.
    fn take_returned(&mut self) {
        for _ in 0..SEND_ERRORS_A_TURN_MAX {
            let Some(returned) = self.io.sockets.next_returned() else { return };
            let Returned { via, to, error } = returned;
            self.feed(self.io.reactor.now(), Input::SendFailed { via, to, error });
        }
    }

    fn take(&mut self, happening: Happening) {
        let now = self.io.reactor.now();
        match happening {
            Happening::Accepted(on, stream, remote) => {
                let Ok(local) = self.io.local_of(on, &stream) else { return };
                let Ok(conn) = self.io.streams.add(&self.io.reactor, stream, remote) else {
                    return;
                };
                let opened = StreamEvent::Opened { on, local, remote };
                let task = streams::serve(self.io.reactor.clone(), conn.clone(), true);
                start(&self.io.executor, task).detach();
                self.feed(now, Input::Stream(conn.id, opened));
            }
            Happening::Connected(ticket, outcome, remote) => {
                let answer = outcome.and_then(|stream| self.io.connected(stream, remote));
                self.io.answers.push_back((ticket, answer));
                self.drain(now);
            }
            Happening::Data(id, data) => {
                if self.io.streams.is_open(id) {
                    self.feed(now, Input::Stream(id, StreamEvent::Data(&data)));
                }
            }
            Happening::Ended(id) => {
                if self.io.streams.ended(id) {
                    self.feed(now, Input::Stream(id, StreamEvent::Closed));
                }
            }
            Happening::Resolved(ticket, outcome) => {
                let answer = outcome.map(|(records, ttl_s)| Owned::Resolved(records, ttl_s));
                self.io.answers.push_back((ticket, answer));
                self.drain(now);
            }
            Happening::Neighbour(ticket, mac) => {
                let answer = mac.map(Owned::Neighbour).ok_or(Failure::Absent);
                self.io.answers.push_back((ticket, answer));
                self.drain(now);
            }
            Happening::Command(words, reply) => {
                if words.first().is_some_and(|word| word == "driver") {
                    return reply.send(self.io.counters().to_json().into_bytes());
                }
                let ticket = self.io.expect_reply(Some(reply));
                self.command(ticket, &words);
            }
        }
    }

    fn command(&mut self, ticket: Ticket, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.feed(self.io.reactor.now(), Input::Command(ticket, &words));
    }

    fn take_lines(&mut self, ready: &ReadyList) {
        let Some(source) = self.io.lines.as_mut() else { return };
        if source.always_ready() || ready.iter().any(|event| event.key == Key::Lines) {
            for line in source.read(self.io.reactor.poll()) {
                let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
                let ticket = self.io.expect_reply(None);
                self.command(ticket, &words);
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(wish) = self.io.signals.as_ref().and_then(Signals::next) {
            match wish {
                Wish::Reload => self.reload(),
                Wish::Stop => self.stop(),
            }
        }
    }

    fn stop(&mut self) {
        if self.io.stop_at.is_none() {
            let now = self.io.reactor.now();
            self.io.stop_at = Some(now + STOP_LIMIT);
            self.feed(now, Input::Stop);
        }
    }

    /// Reads the settings again; what cannot be used changes nothing.
    fn reload(&mut self) {
        let Some(path) = self.io.settings.clone() else { return };
        let now = self.io.reactor.now();
        match super::start::load_settings(&path) {
            Ok(config) => {
                log::info!("{}: read again", path.display());
                logger::set_level(config.adapter.log_level);
                self.io.networks.set(&config.adapter.lan, &config.adapter.wan);
                self.feed(now, Input::Config(&config));
                if self.io.can_be_disabled && !config.adapter.enabled {
                    log::info!("disabled by its settings");
                    self.stop();
                }
            }
            Err(error) => {
                log::error!("{error}; the running settings stay");
                self.feed(now, Input::ConfigError(&error));
            }
        }
        self.tell_network();
    }

    fn tell_network(&mut self) {
        let now = self.io.reactor.now();
        if let Some(network) = self.io.networks.look(now).cloned() {
            self.feed(now, Input::Network(&network));
        }
    }

    fn tell_clock(&mut self) {
        let now = self.io.reactor.now();
        let seconds = self.io.wall_clock(now);
        self.feed(now, Input::Clock(seconds));
    }
}
