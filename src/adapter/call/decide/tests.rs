//! The table of CALLS §3.3 to §3.6, row by row.

use super::*;

const HEDGE: Duration = Duration::from_millis(500);
const TRYING: Duration = Duration::from_millis(4000);
const START: Instant = Instant::from_micros(1_000_000);

fn view(after_ms: u64, server: ServerLeg, overlay: OverlayLeg) -> View<'static> {
    View {
        now: START + Duration::from_millis(after_ms),
        started: START,
        server,
        overlay,
        server_up: true,
        hedge: HEDGE,
        hedge_trying: TRYING,
        fastest: false,
        notice_acknowledged: false,
        registered_there: true,
        recovering: false,
        failover_codes: &[408, 500, 502, 503, 504],
    }
}

const FOUND: OverlayLeg = OverlayLeg::Found;
const OPEN: OverlayLeg = OverlayLeg::Open { ringing: false };
const RINGING: OverlayLeg = OverlayLeg::Open { ringing: true };

fn refused(code: u16) -> ServerLeg {
    ServerLeg::Refused { code, rang: false }
}

#[test]
fn silence_opens_the_overlay_leg_after_the_hedge_and_not_before() {
    let wait = Step::Wait(Some(START + HEDGE));
    assert_eq!(decide(&view(0, ServerLeg::Silent, FOUND)), wait);
    assert_eq!(decide(&view(499, ServerLeg::Silent, FOUND)), wait);
    assert_eq!(decide(&view(500, ServerLeg::Silent, FOUND)), Step::OpenOverlay);
}

#[test]
fn a_server_not_up_is_not_waited_for() {
    for server in [ServerLeg::Silent, ServerLeg::Trying(START)] {
        let down = View { server_up: false, ..view(0, server, FOUND) };
        assert_eq!(decide(&down), Step::OpenOverlay);
    }
    assert_eq!(decide(&view(0, ServerLeg::Failed, FOUND)), Step::OpenOverlay);
}

#[test]
fn a_hundred_alone_is_granted_its_own_time_from_its_arrival() {
    let came = START + Duration::from_millis(300);
    let trying = ServerLeg::Trying(came);
    assert_eq!(decide(&view(4299, trying, FOUND)), Step::Wait(Some(came + TRYING)));
    assert_eq!(decide(&view(4300, trying, FOUND)), Step::OpenOverlay);
}

#[test]
fn fastest_opens_as_soon_as_the_notice_is_acknowledged() {
    let fastest = View { fastest: true, ..view(1, ServerLeg::Silent, FOUND) };
    assert_eq!(decide(&fastest), Step::Wait(Some(START + HEDGE)));
    let told = View { notice_acknowledged: true, ..fastest };
    assert_eq!(decide(&told), Step::OpenOverlay);
}

#[test]
fn a_ringing_server_leg_is_never_hedged() {
    let down = View { server_up: false, ..view(60_000, ServerLeg::Ringing, FOUND) };
    assert_eq!(decide(&down), Step::Wait(None));
}

#[test]
fn final_answers_of_the_server_pass_and_wait_only_for_a_leg_that_rings() {
    for code in [302, 403, 486, 488, 501, 600, 603, 606] {
        assert_eq!(decide(&view(9, refused(code), FOUND)), Step::AnswerServer, "{code}");
        assert_eq!(decide(&view(9, refused(code), OPEN)), Step::AnswerServer, "{code}");
        assert_eq!(decide(&view(9, refused(code), RINGING)), Step::Wait(None), "{code}");
    }
}

#[test]
fn failover_codes_go_on_before_ringing_only() {
    for code in [408, 500, 502, 503, 504] {
        assert_eq!(decide(&view(9, refused(code), FOUND)), Step::OpenOverlay);
        assert_eq!(decide(&view(9, refused(code), OverlayLeg::Looking)), Step::Wait(None));
        assert_eq!(decide(&view(9, refused(code), OverlayLeg::Missing)), Step::AnswerServer);
        let rang = ServerLeg::Refused { code, rang: true };
        assert_eq!(decide(&view(9, rang, FOUND)), Step::AnswerServer);
    }
}

#[test]
fn a_target_that_does_not_know_the_phone_has_not_the_last_word() {
    for (code, step) in [
        (403, Step::OpenOverlay),
        (404, Step::OpenOverlay),
        (480, Step::OpenOverlay),
        (486, Step::AnswerServer),
    ] {
        let strange = View { registered_there: false, ..view(9, refused(code), FOUND) };
        assert_eq!(decide(&strange), step, "{code}");
    }
}

#[test]
fn not_found_is_doubted_after_an_outage_and_after_an_acknowledged_notice() {
    for code in [404, 408, 410, 480] {
        let recovering = View { recovering: true, ..view(9, refused(code), FOUND) };
        assert_eq!(decide(&recovering), Step::OpenOverlay, "{code}");
        let told = View { notice_acknowledged: true, ..view(9, refused(code), FOUND) };
        assert_eq!(decide(&told), Step::OpenOverlay, "{code}");
        let down = View { server_up: false, ..view(9, refused(code), OPEN) };
        assert_eq!(decide(&down), Step::Wait(None), "{code}");
    }
}

#[test]
fn not_found_waits_as_long_as_silence_would_for_the_notice_that_it_overtook() {
    for code in [404, 410, 480] {
        for overlay in [OverlayLeg::Looking, FOUND] {
            let early = decide(&view(499, refused(code), overlay));
            assert_eq!(early, Step::Wait(Some(START + HEDGE)), "{code}");
            assert_eq!(decide(&view(500, refused(code), overlay)), Step::AnswerServer);
            let rang = ServerLeg::Refused { code, rang: true };
            assert_eq!(decide(&view(9, rang, overlay)), Step::AnswerServer);
        }
        assert_eq!(decide(&view(9, refused(code), OverlayLeg::Missing)), Step::AnswerServer);
        assert_eq!(decide(&view(9, refused(code), OPEN)), Step::AnswerServer);
        assert_eq!(decide(&view(9, refused(code), RINGING)), Step::Wait(None));
    }
}

#[test]
fn who_refuses_was_found() {
    let told = |overlay| View { notice_acknowledged: true, ..view(9, refused(404), overlay) };
    for code in [486, 600, 603] {
        assert_eq!(decide(&told(OverlayLeg::Refused(code))), Step::AnswerOverlay);
    }
    assert_eq!(decide(&told(OverlayLeg::Refused(480))), Step::AnswerServer);
}

#[test]
fn overlay_refusals_count_only_against_a_silent_server() {
    for code in [486, 600, 603] {
        let overlay = OverlayLeg::Refused(code);
        assert_eq!(decide(&view(9, ServerLeg::Silent, overlay)), Step::AnswerOverlay);
        let lost = START + CALL_TRYING;
        assert_eq!(decide(&view(9, ServerLeg::Trying(START), overlay)), Step::Wait(Some(lost)));
        assert_eq!(decide(&view(16_000, ServerLeg::Trying(START), overlay)), Step::AnswerOverlay);
        assert_eq!(decide(&view(60_000, ServerLeg::Ringing, overlay)), Step::Wait(None));
        assert_eq!(decide(&view(9, refused(503), overlay)), Step::AnswerServer);
    }
    let give_up = START + CALL_SILENCE;
    let gone = OverlayLeg::Refused(480);
    assert_eq!(decide(&view(60_000, ServerLeg::Trying(START), gone)), Step::Wait(None));
    assert_eq!(decide(&view(9, ServerLeg::Silent, gone)), Step::Wait(Some(give_up)));
    assert_eq!(decide(&view(8000, ServerLeg::Silent, gone)), Step::AnswerOverlay);
    assert_eq!(decide(&view(9, ServerLeg::Failed, gone)), Step::AnswerOverlay);
}

#[test]
fn silence_everywhere_is_answered_after_eight_seconds() {
    for overlay in [OverlayLeg::Barred, OverlayLeg::Missing, OverlayLeg::Looking] {
        let early = decide(&view(7999, ServerLeg::Silent, overlay));
        assert_eq!(early, Step::Wait(Some(START + CALL_SILENCE)));
        let late = decide(&view(8000, ServerLeg::Silent, overlay));
        assert_eq!(late, Step::AnswerStatus(503));
    }
    assert_eq!(decide(&view(9000, ServerLeg::Silent, OPEN)), Step::Wait(None));
}

#[test]
fn without_a_server_the_overlay_decides() {
    let absent = ServerLeg::Absent;
    assert_eq!(decide(&view(0, absent, OverlayLeg::Looking)), Step::Wait(None));
    assert_eq!(decide(&view(0, absent, FOUND)), Step::OpenOverlay);
    assert_eq!(decide(&view(0, absent, OverlayLeg::Missing)), Step::AnswerStatus(404));
    assert_eq!(decide(&view(0, ServerLeg::Failed, OverlayLeg::Missing)), Step::AnswerStatus(503));
    assert_eq!(decide(&view(0, absent, OverlayLeg::Refused(480))), Step::AnswerOverlay);
}

/// What waits for an instant that has come would be asked again for ever.
#[test]
fn nothing_waits_for_the_past_whatever_the_settings() {
    let servers = [
        ServerLeg::Absent,
        ServerLeg::Silent,
        ServerLeg::Trying(START),
        ServerLeg::Ringing,
        refused(404),
        refused(503),
        ServerLeg::Failed,
    ];
    let overlays = [
        OverlayLeg::Barred,
        OverlayLeg::Looking,
        OverlayLeg::Missing,
        FOUND,
        OPEN,
        RINGING,
        OverlayLeg::Refused(486),
        OverlayLeg::Refused(480),
    ];
    for hedge_s in [0, 1, 8, 9, 60] {
        let hedge = Duration::from_secs(hedge_s);
        for after_ms in [0, 499, 500, 4000, 7999, 8000, 8001, 9000, 60_000] {
            for (server, overlay) in servers.iter().flat_map(|s| overlays.map(|o| (*s, o))) {
                let view = View { hedge, hedge_trying: hedge, ..view(after_ms, server, overlay) };
                if let Step::Wait(Some(until)) = decide(&view) {
                    assert!(until > view.now, "{view:?}");
                }
            }
        }
    }
}
