//! The picture of a run.

use super::*;
use crate::lab::report::Path as Carrier;
use crate::lab::report::tests::good;

#[test]
fn every_call_is_drawn_inside_the_picture_in_the_colour_of_its_path() {
    let mut summary = good();
    summary.series[0].calls[3].path = Carrier::Unclear;
    let picture = svg(&summary);
    for call in &summary.series[0].calls {
        assert_eq!(picture.matches(&format!(">{}<", call.name)).count(), 2);
    }
    // One in the legend each.
    assert_eq!(picture.matches(BLUE).count(), 1 + 2);
    assert_eq!(picture.matches(ORANGE).count(), 1 + 5);
    assert_eq!(picture.matches(RED).count(), 1 + 1);
    for x in picture.split(" x=\"").skip(1) {
        let x: f64 = x.split('"').next().unwrap().parse().unwrap();
        assert!((0.0..WIDTH).contains(&x));
    }
    assert_eq!(picture.matches(SHADE).count(), 2);
    assert_eq!(picture.matches("<svg").count(), picture.matches("</svg>").count());
}
