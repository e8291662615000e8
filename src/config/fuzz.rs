//! What a fuzzer runs: any bytes must end in settings or in an error that names a line.

use super::{Config, parse};

/// Parses `data` as a settings file and checks what must hold for whatever comes out.
///
/// # Panics
/// Where it does not hold.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.bytes().filter(|b| *b == b'\n').count() as u64 + 1;
    match parse(&text, "fuzz") {
        Ok((config, warnings)) => {
            assert!(config.media.port_min < config.media.port_max);
            assert!((1..=4096).contains(&config.adapter.max_calls));
            assert!(config.providers.iter().all(|p| !p.domain.is_empty()));
            assert!(config.accounts.iter().all(|a| !a.aor.is_empty() && !a.user.is_empty()));
            assert!(warnings.iter().all(|w| (1..=lines).contains(&u64::from(w.line))));
            assert!(Config::restart_needed(&config, &config).is_empty());
            assert_eq!(config.reloaded(&config), config);
        }
        Err(error) => assert!((1..=lines).contains(&u64::from(error.line)), "{error}"),
    }
}
