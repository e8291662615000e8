//! Names: the hosts file, a name server that also forges, and one that is dead.

use crate::rig::{LIMIT, Rig, Scratch, Seen};
use cosip::driver::Options;
use cosip::net::{Failure, Record, Ticket};
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

/// Answers one question as a name server, with these records; a forged answer goes ahead.
fn answer_question(server: &UdpSocket, records: &[(&str, simple_dns::rdata::RData<'_>)]) {
    use simple_dns::{CLASS, Name, Packet, RCODE, ResourceRecord};
    let mut buf = [0; 1500];
    let (len, from) = server.recv_from(&mut buf).unwrap();
    let question = Packet::parse(&buf[..len]).unwrap();
    let mut answer = Packet::new_reply(question.id());
    answer.questions = question.questions.clone();
    let kind = question.questions[0].qtype;
    for (name, data) in records {
        let name = Name::new(name).unwrap();
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, 300, data.clone()));
    }
    let wanted = answer.answers.iter().any(|r| kind == r.rdata.type_code().into());
    if !wanted {
        *answer.rcode_mut() = RCODE::NameError;
    }
    answer.set_id(question.id() ^ 1);
    server.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
    server.send_to(b"nonsense", from).unwrap();
    answer.set_id(question.id());
    server.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
}

#[test]
fn names_come_from_the_hosts_file_and_the_name_server() {
    use simple_dns::{Name, rdata};
    let scratch = Scratch::new("names");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let port = server.local_addr().unwrap().port();
    let options = Options {
        resolv_conf: scratch.file("resolv.conf", &format!("nameserver 127.0.0.1#{port}\n")),
        hosts: scratch.file("hosts", "192.0.2.7 phone # a comment\n"),
        ..Options::default()
    };
    let rig = Rig::start(options, &[]);
    rig.tell("!address PHONE");
    rig.wait_for(&Seen::Resolved(Ticket(2), vec![Record::Address([192, 0, 2, 7].into())], 60));
    rig.tell("!address sip.example.net");
    let alias = rdata::RData::CNAME(rdata::CNAME(Name::new("Real.example.net").unwrap()));
    let address = rdata::RData::A(rdata::A { address: 0xc633_6401 });
    let stray = rdata::RData::A(rdata::A { address: 1 });
    let records =
        [("sip.example.net", alias), ("real.example.net", address), ("other.example.net", stray)];
    answer_question(&server, &records);
    answer_question(&server, &records);
    rig.wait_for(&Seen::Resolved(Ticket(3), vec![Record::Address([198, 51, 100, 1].into())], 300));
    rig.tell("!service _sip._udp.example.net");
    let target = Name::new("sip.example.net").unwrap();
    let service = rdata::RData::SRV(rdata::SRV { priority: 1, weight: 2, port: 5062, target });
    answer_question(&server, &[("_sip._udp.example.net", service)]);
    let target = "sip.example.net".to_owned();
    let service = Record::Service { priority: 1, weight: 2, port: 5062, target };
    rig.wait_for(&Seen::Resolved(Ticket(4), vec![service], 300));
    rig.tell("!service _sip._tcp.example.net");
    answer_question(&server, &[]);
    rig.wait_for(&Seen::Failed(Ticket(5), Failure::Absent));
}

/// A name server on UDP and TCP, and what the driver needs to ask it.
fn server_of_both(scratch: &Scratch) -> (UdpSocket, TcpListener, Options) {
    let (udp, tcp) = (0..100)
        .find_map(|_| {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
            Some((udp, tcp))
        })
        .unwrap();
    udp.set_read_timeout(Some(LIMIT)).unwrap();
    let port = udp.local_addr().unwrap().port();
    let resolv_conf = scratch.file("resolv.conf", &format!("nameserver 127.0.0.1#{port}\n"));
    let hosts = scratch.file("hosts", "");
    (udp, tcp, Options { resolv_conf, hosts, ..Options::default() })
}

/// An answer to this question with so many servers of a service, or one that is cut off.
fn services(question: &[u8], count: u16, cut: bool) -> Vec<u8> {
    use simple_dns::{CLASS, Name, Packet, PacketFlag, ResourceRecord, rdata};
    let question = Packet::parse(question).unwrap();
    let mut answer = Packet::new_reply(question.id());
    answer.questions = question.questions.clone();
    if cut {
        answer.set_flags(PacketFlag::TRUNCATION);
    }
    for port in 0..count {
        let target = Name::new("sip.example.net").unwrap();
        let service = rdata::RData::SRV(rdata::SRV { priority: 1, weight: 2, port, target });
        let name = question.questions[0].qname.clone();
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, 300, service));
    }
    answer.build_bytes_vec().unwrap()
}

fn service(port: u16) -> Record {
    Record::Service { priority: 1, weight: 2, port, target: "sip.example.net".into() }
}

#[test]
fn an_answer_that_is_cut_off_is_asked_for_over_tcp() {
    let scratch = Scratch::new("cut");
    let (udp, tcp, options) = server_of_both(&scratch);
    let rig = Rig::start(options, &[]);
    rig.tell("!service _sip._udp.example.net");
    let mut buf = [0; 1500];
    let (len, from) = udp.recv_from(&mut buf).unwrap();
    udp.send_to(&services(&buf[..len], 1, true), from).unwrap();
    let (mut stream, _) = tcp.accept().unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).unwrap();
    assert_eq!(question, buf[..len]);
    let answer = services(&question, 24, false);
    // In pieces, as it may come.
    stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
    for piece in answer.chunks(100) {
        stream.write_all(piece).unwrap();
    }
    rig.wait_for(&Seen::Resolved(Ticket(2), (0..24).map(service).collect(), 300));
}

#[test]
fn without_tcp_what_fitted_counts() {
    let scratch = Scratch::new("fitted");
    let (udp, tcp, options) = server_of_both(&scratch);
    drop(tcp);
    let rig = Rig::start(options, &[]);
    rig.tell("!service _sip._udp.example.net");
    let mut buf = [0; 1500];
    let (len, from) = udp.recv_from(&mut buf).unwrap();
    udp.send_to(&services(&buf[..len], 2, true), from).unwrap();
    rig.wait_for(&Seen::Resolved(Ticket(2), vec![service(0), service(1)], 300));
}

#[test]
fn addresses_do_not_wait_for_a_family_that_is_never_answered() {
    use simple_dns::{CLASS, Packet, ResourceRecord, TYPE, rdata};
    let scratch = Scratch::new("families");
    let (udp, _tcp, options) = server_of_both(&scratch);
    let rig = Rig::start(options, &[]);
    rig.tell("!address sip.example.net");
    for _ in 0..2 {
        let mut buf = [0; 1500];
        let (len, from) = udp.recv_from(&mut buf).unwrap();
        let question = Packet::parse(&buf[..len]).unwrap();
        if question.questions[0].qtype != TYPE::A.into() {
            continue;
        }
        let mut answer = Packet::new_reply(question.id());
        answer.questions = question.questions.clone();
        let name = question.questions[0].qname.clone();
        let address = rdata::RData::A(rdata::A { address: 0xc633_6401 });
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, 300, address));
        udp.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
    }
    rig.wait_for(&Seen::Resolved(Ticket(2), vec![Record::Address([198, 51, 100, 1].into())], 300));
    udp.set_nonblocking(true).unwrap();
    udp.recv_from(&mut [0; 1500]).expect_err("it was not asked for again");
}

#[test]
fn name_servers_that_were_handed_over_go_before_the_systems() {
    let scratch = Scratch::new("handed");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let port = server.local_addr().unwrap().port();
    let folders = scratch.folders();
    std::fs::create_dir_all(&folders.run).unwrap();
    let handed_over = format!("nameserver 127.0.0.1#{port}\n");
    std::fs::write(folders.run.join("resolv.conf"), handed_over).unwrap();
    let options = Options {
        folders: Some(folders),
        resolv_conf: scratch.file("resolv.conf", "nameserver 127.0.0.1#9\n"),
        ..Options::default()
    };
    let rig = Rig::start(options, &[]);
    rig.tell("!service _sip._udp.example.net");
    answer_question(&server, &[]);
    rig.wait_for(&Seen::Failed(Ticket(2), Failure::Absent));
}

#[test]
fn a_dead_name_server_is_asked_twice_and_then_given_up() {
    let scratch = Scratch::new("deadname");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let port = server.local_addr().unwrap().port();
    let options = Options {
        resolv_conf: scratch.file("resolv.conf", &format!("nameserver 127.0.0.1#{port}\n")),
        ..Options::default()
    };
    let rig = Rig::start(options, &[]);
    rig.tell("!service _sip._udp.example.net");
    let mut buf = [0; 1500];
    let first = server.recv_from(&mut buf).unwrap();
    let second = server.recv_from(&mut buf).unwrap();
    assert_ne!(first.1, second.1, "a fresh port each time");
    rig.wait_for(&Seen::Failed(Ticket(2), Failure::TimedOut));
}
