//! Kernels that lack something. This one has it, and is kept from giving it to a program: the
//! program sees what a kernel without that answers.

use nix::libc::{AF_NETLINK, EPROTONOSUPPORT, NETLINK_NETFILTER, SYS_prctl, SYS_socket};
use std::process::Command;

/// Filters system calls (seccomp(2)) for the program that it becomes: prctl's number, then the
/// filter's instructions, each code, jumps and operand, then the program.
const BECOME: &str = r#"
    my ($prctl, $count) = (shift, shift);
    my $filter = join '', map { pack 'S C C L', split /,/, shift @ARGV } 1 .. $count;
    my $program = pack 'S x![P] P', $count, $filter;
    syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!";
    syscall($prctl, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!";
    exec @ARGV or die $!;
"#;

/// A program that gets no netlink of netfilter, as where none of its modules is there.
pub(crate) fn netfilter(program: &str) -> Command {
    // Loads, jumps where equal, and returns of BPF; where `struct seccomp_data` has what.
    let (load, equal, give) = (0x20, 0x15, 0x06);
    let (call, domain, protocol) = (0, 16, 32);
    let (allow, refuse) = (0x7fff_0000_u32, 0x0005_0000 | EPROTONOSUPPORT as u32);
    let filter = [
        (load, 0, 0, call),
        (equal, 0, 5, SYS_socket as u32),
        (load, 0, 0, domain),
        (equal, 0, 3, AF_NETLINK as u32),
        (load, 0, 0, protocol),
        (equal, 0, 1, NETLINK_NETFILTER as u32),
        (give, 0, 0, refuse),
        (give, 0, 0, allow),
    ];
    let mut command = Command::new("perl");
    command.args(["-e", BECOME, &SYS_prctl.to_string(), &filter.len().to_string()]);
    command.args(filter.map(|(code, then, or, operand)| format!("{code},{then},{or},{operand}")));
    command.arg(program);
    command
}
