//! What /proc tells.

use super::*;

#[test]
fn usage_is_read_from_what_the_kernel_writes() {
    let status = "Name:\tcosip\nVmRSS:\t    1936 kB\nRssAnon:\t     884 kB\nThreads:\t1\n";
    let usage = Usage::read("1500000000 20000 77\n", status);
    assert_eq!(usage.cpu, Duration::from_millis(1500));
    assert_eq!((usage.memory_kb, usage.anonymous_kb, usage.threads), (1936, 884, 1));
    assert_eq!(Usage::read("", ""), Usage::default());
}
