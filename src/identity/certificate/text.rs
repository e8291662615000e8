//! The file of an adapter's certificates: one a line, in hexadecimal digits of either case. Empty
//! lines, and lines that begin with `#`, say nothing.

use super::{CERTIFICATE_BYTES_MAX, Certificate, CertificateError};
use core::fmt;

/// Why a file of certificates cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it; none: it is not made of pairs of hexadecimal digits.
    pub certificate: Option<CertificateError>,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "certificate file, line {}: ", self.line)?;
        match self.certificate {
            Some(error) => write!(f, "{error}"),
            None => write!(f, "not pairs of hexadecimal digits, {CERTIFICATE_BYTES_MAX} at most"),
        }
    }
}

impl core::error::Error for FileError {}

/// Reads the file.
///
/// # Errors
/// [`FileError`] for the first line that is no certificate.
pub fn parse(text: &str) -> Result<Vec<Certificate>, FileError> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| {
        let error = |certificate| FileError { line: number, certificate };
        let bytes = bytes(line).ok_or_else(|| error(None))?;
        Certificate::parse(&bytes).map_err(|it| error(Some(it)))
    })
    .collect()
}

/// What the file of these certificates holds.
pub fn write(certificates: &[Certificate]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        for byte in certificate.as_bytes() {
            let digits = [byte >> 4, byte & 15].into_iter();
            text.extend(digits.filter_map(|it| char::from_digit(it.into(), 16)));
        }
        text.push('\n');
    }
    text
}

fn bytes(digits: &str) -> Option<heapless::Vec<u8, CERTIFICATE_BYTES_MAX>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    let mut out = heapless::Vec::new();
    for pair in pairs {
        out.push(byte(pair)?).ok()?;
    }
    rest.is_empty().then_some(out)
}
