//! Names: the hosts file, a name server that also forges, and one that is dead.

use crate::rig::{LIMIT, Rig, Scratch, Seen};
use cosip::driver::Options;
use cosip::net::{Failure, Record, Ticket};
use std::net::UdpSocket;

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
