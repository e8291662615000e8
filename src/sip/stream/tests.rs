//! Tests of framing: one stream, cut in every way, gives the same frames.

use super::*;

const ONE: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nCall-ID: 1\r\nl :\r\n 5\r\n\r\n\r\n\r\nx";
const TWO: &[u8] = b"SIP/2.0 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n";

fn drain(framer: &mut Framer, out: &mut Vec<Vec<u8>>) -> Result<(), FrameError> {
    while let Some(frame) = framer.next()? {
        out.push(match frame {
            Frame::Message(bytes) => bytes.to_vec(),
            Frame::KeepAlive => b"ping".to_vec(),
        });
    }
    Ok(())
}

#[test]
fn messages_and_keep_alives_come_out_whole_however_the_stream_is_cut() {
    let stream = [&b"\r\n"[..], ONE, TWO, b"\r\n\r\n", ONE, b"\r\n", TWO, b"\r\n"].concat();
    let expected = [ONE, TWO, b"ping", ONE, TWO];
    for size in 1..=stream.len() {
        let (mut framer, mut frames) = (Framer::new(), Vec::new());
        for chunk in stream.chunks(size) {
            framer.push(chunk).unwrap();
            drain(&mut framer, &mut frames).unwrap();
        }
        assert_eq!(frames, expected, "chunks of {size}");
        assert_eq!(framer.held(), 2);
    }
}

#[test]
fn a_message_whose_end_nobody_can_know_ends_the_stream() {
    let cases: [(&[u8], FrameError); 6] = [
        (b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\n", FrameError::NoContentLength),
        (b"OPTIONS sip:a SIP/2.0\r\nl: -1\r\n\r\n", FrameError::NoContentLength),
        (b"OPTIONS sip:a SIP/2.0\r\nl: 1\r\nl: 1\r\n\r\n", FrameError::NoContentLength),
        (b"GET / HTTP/1.1\r\n\r\n", FrameError::Malformed(ParseError::StartLine)),
        (b"OPTIONS sip:a SIP/2.0\r\nl: 99999\r\n\r\n", FrameError::TooLong),
        (b"OPTIONS sip:a SIP/2.0\r\nl: 4294967295\r\n\r\n", FrameError::TooLong),
    ];
    for (bytes, error) in cases {
        let (mut framer, mut frames) = (Framer::new(), Vec::new());
        framer.push(TWO).unwrap();
        framer.push(bytes).unwrap();
        assert_eq!(drain(&mut framer, &mut frames), Err(error));
        assert_eq!(frames, [TWO], "what came whole before counts");
        assert_eq!(framer.push(TWO), Err(error));
        assert_eq!(framer.next().err(), Some(error));
    }
}

#[test]
fn an_endless_head_is_cut_off_at_the_bound() {
    let mut framer = Framer::new();
    let mut pushed = 0;
    let error = loop {
        framer.push(&[b'x'; 100]).unwrap();
        pushed += 100;
        assert!(pushed <= SIP_MESSAGE_BYTES_MAX + 100);
        if let Err(error) = framer.next() {
            break error;
        }
    };
    assert_eq!(error, FrameError::TooLong);
    let mut framer = Framer::new();
    let undrained = (0..).map_while(|_| framer.push(&[b'x'; 1000]).ok()).take(1000).count();
    assert!(undrained * 1000 <= SIP_MESSAGE_BYTES_MAX + 1000);
}

#[test]
fn the_largest_message_fits() {
    let head = b"OPTIONS sip:a SIP/2.0\r\nl: 16000\r\n\r\n";
    let message = [&head[..], &[b'x'; 16000]].concat();
    let (mut framer, mut frames) = (Framer::new(), Vec::new());
    framer.push(&[&message[..], &message[..]].concat()).unwrap();
    drain(&mut framer, &mut frames).unwrap();
    assert_eq!(frames, [message.clone(), message]);
}
