//! Bodies of every kind through the whole relay, hostile ones included.

use super::*;
use crate::media::fuzz::fuzz;
use proptest::prelude::*;

#[test]
fn bodies_without_sdp_and_multipart_bodies_pass_the_relay() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    let mut out = Vec::new();
    let inner = offer(PHONE, 5004, "");
    let multipart = format!("--x\r\nContent-Type: application/sdp\r\n\r\n{inner}\r\n--x--\r\n");
    let mut pass = |content_type: &str, body: &str| {
        let body = body.as_bytes();
        let source = ip(PHONE);
        let (from, to) = OUT;
        let media = &mut bench.media;
        media.rewrite(bench.now, session, from, to, source, content_type, body, &mut out).unwrap();
        String::from_utf8(out.clone()).unwrap()
    };
    assert_eq!(pass("text/plain", &inner), inner);
    assert_eq!(pass("application/sdp", ""), "");
    let plain = pass("application/sdp", &inner);
    assert_ne!(plain, inner);
    let out = pass("multipart/mixed;boundary=x", &multipart);
    assert_eq!(out, multipart.replace(&inner, &plain));
}

#[test]
fn the_fuzz_target_holds_for_real_bodies() {
    for body in [
        &include_bytes!("../../../tests/data/sdp/audio.in.sdp")[..],
        include_bytes!("../../../tests/data/sdp/lines.in.sdp"),
        include_bytes!("../../../tests/data/sdp/hold.in.sdp"),
        include_bytes!("../../../tests/data/sdp/own-addresses.in.sdp"),
        include_bytes!("../../../tests/data/sdp/nested.multipart"),
        b"--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 5004 RTP/AVP 0\r\n--x--",
    ] {
        fuzz(body);
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(100))]

    #[test]
    fn the_fuzz_target_holds_for_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz(&data);
    }

    #[test]
    fn no_datagram_harms_the_relay(
        packets in proptest::collection::vec((any::<u8>(), any::<u32>(), 0..1700usize), 0..60)
    ) {
        let mut bench = Bench::usual();
        let (session, _, _) = call(&mut bench);
        let ids: Vec<SocketId> = bench.sockets.values().copied().collect();
        let data = [0x80; 1700];
        let mut buf = [0; TRANSMIT_BYTES_MAX];
        for (socket, source, len) in packets {
            let id = ids.get(usize::from(socket)).copied().unwrap_or(SocketId(source));
            let from = SocketAddr::from((source.to_be_bytes(), 5004));
            let taken = bench.media.handle_datagram(bench.now, id, from, 0, &data[..len]);
            let sent = bench.media.poll_transmit(&mut buf).is_some();
            prop_assert!(!sent, "no random source is one of the call's: {from} {taken:?}");
        }
        prop_assert_eq!(bench.media.stats(session).unwrap().to_phone.packets, 0);
    }
}
