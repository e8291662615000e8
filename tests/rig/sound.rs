//! Sound: tones to send, and whether a recording holds them.

use std::path::Path;

/// Samples a second, as in G.711.
const RATE: u32 = 8000;
/// A recording is judged in blocks of this many samples: 50 ms.
const BLOCK: usize = 400;

/// Writes `seconds` of a tone as a WAV file of 16 bits and one channel.
pub(crate) fn write_tone(path: &Path, hz: u32, seconds: u32) {
    let samples = RATE * seconds;
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + samples * 2).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    file.extend_from_slice(&16u32.to_le_bytes());
    file.extend_from_slice(&[1, 0, 1, 0]);
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(&[2, 0, 16, 0]);
    file.extend_from_slice(b"data");
    file.extend_from_slice(&(samples * 2).to_le_bytes());
    for sample in 0..samples {
        let turns = f64::from(sample) * f64::from(hz) / f64::from(RATE);
        let value = (turns * core::f64::consts::TAU).sin() * 8000.0;
        file.extend_from_slice(&(value as i16).to_le_bytes());
    }
    std::fs::write(path, file).unwrap();
}

/// How long a recording holds the tone and no more than a tenth of other sound, in
/// milliseconds. A file that is still written to is read as far as it is.
pub(crate) fn tone_ms(path: &Path, hz: u32) -> u64 {
    let file = std::fs::read(path).unwrap_or_default();
    let data = file.windows(4).position(|window| window == b"data").map_or(0, |at| at + 8);
    let bytes = file.get(data..).unwrap_or_default();
    let samples: Vec<f64> =
        bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]).into()).collect();
    let good = samples.chunks_exact(BLOCK).filter(|block| holds(block, hz)).count();
    good as u64 * BLOCK as u64 * 1000 / u64::from(RATE)
}

/// Whether nine tenths of a block's power are at `hz` (the Goertzel algorithm's measure), and
/// there is power at all.
fn holds(block: &[f64], hz: u32) -> bool {
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (at, sample) in block.iter().enumerate() {
        let turn = core::f64::consts::TAU * at as f64 * f64::from(hz) / f64::from(RATE);
        real += sample * turn.cos();
        imaginary += sample * turn.sin();
        power += sample * sample;
    }
    let length = block.len() as f64;
    let tone = 2.0 * (real * real + imaginary * imaginary) / length;
    power / length > 1e6 && tone > 0.9 * power
}

#[test]
fn a_tone_is_known_from_another_and_from_silence() {
    let path = std::env::temp_dir().join(format!("cosip-tone-{}.wav", std::process::id()));
    write_tone(&path, 440, 2);
    assert_eq!((tone_ms(&path, 440), tone_ms(&path, 880)), (2000, 0));
    let mut file = std::fs::read(&path).unwrap();
    file[44..].fill(0);
    std::fs::write(&path, file).unwrap();
    assert_eq!(tone_ms(&path, 440), 0);
    std::fs::remove_file(path).unwrap();
}
