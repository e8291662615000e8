//! What the daemon keeps of root's power: CAP_NET_ADMIN alone, asleep but for the calls that need
//! it (capabilities(7)).
//!
//! The same way with and without a jail: the daemon starts as root, gives everything else up
//! before it reads a key or hears a packet, and can never get it back. The capability is for
//! netfilter's netlink calls and for transparent sockets, which [`with_net_admin`] wraps; an error
//! elsewhere in the program meets a process that may do nothing.

use super::folders::Folders;
use nix::unistd::chown;
use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use std::io;
use std::os::unix::fs::MetadataExt;

const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN;

/// Whom the daemon becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ids {
    user: u32,
    group: u32,
}

/// Gives up root for the user `name`, who owns the folders from then on. The process must have one
/// thread.
///
/// # Errors
/// An unknown user, and what the system says. The process may then have lost a part of its power
/// and must end.
pub fn drop_to(name: &str, folders: &Folders) -> io::Result<()> {
    let ids = find(name, folders)?;
    for folder in [&folders.state, &folders.run] {
        chown(folder, Some(ids.user.into()), Some(ids.group.into()))?;
    }
    // A jail ends its process when it ends itself; a change of user would make it forget that.
    let death_signal = parent_process_death_signal()?;
    for capability in (CapabilitySet::all() - KEPT).iter() {
        // The kernel may be older than the list.
        if capability_is_in_bounding_set(capability) == Ok(true) {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    clear_ambient_capability_set()?;
    // Where the parent has locked this, the daemon still serves, as one that cannot intercept.
    let keeps = set_keep_capabilities(true).is_ok();
    become_user(ids)?;
    let permitted = if keeps { KEPT } else { CapabilitySet::empty() };
    set_capabilities(None, asleep(permitted))?;
    set_no_new_privs(true)?;
    set_parent_process_death_signal(death_signal)?;
    if !keeps {
        log::warn!("CAP_NET_ADMIN cannot be kept here: the kernel's tables stay as they are");
    }
    Ok(())
}

/// Runs `work` with CAP_NET_ADMIN in effect, where this process has it; for calls that need it,
/// and for nothing else.
pub fn with_net_admin<T>(work: impl FnOnce() -> T) -> T {
    let before = wake();
    let done = work();
    if let Some(before) = before
        && let Err(error) = set_capabilities(None, before)
    {
        log::warn!("CAP_NET_ADMIN stays in effect: {error}");
    }
    done
}

/// What was in effect before, where CAP_NET_ADMIN had to be woken.
fn wake() -> Option<CapabilitySets> {
    let has = capabilities(None).ok()?;
    // Root without `--user` has it in effect all the time.
    if !has.permitted.contains(KEPT) || has.effective.contains(KEPT) {
        return None;
    }
    let awake = CapabilitySets { effective: has.effective | KEPT, ..has };
    if let Err(error) = set_capabilities(None, awake) {
        log::debug!("CAP_NET_ADMIN does not wake: {error}");
    }
    Some(has)
}

/// Whether [`with_net_admin`] can do what needs it.
pub fn has_net_admin() -> bool {
    capabilities(None).is_ok_and(|has| has.permitted.contains(KEPT))
}

fn asleep(permitted: CapabilitySet) -> CapabilitySets {
    let none = CapabilitySet::empty();
    CapabilitySets { effective: none, permitted, inheritable: none }
}

/// The user of this name. In a jail there is no list of users; there the owner of the state folder
/// is who is meant, for whoever starts the daemon has given it to that user.
fn find(name: &str, folders: &Folders) -> io::Result<Ids> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    if let Some(ids) = listed(&users, name) {
        return Ok(ids);
    }
    let owner = std::fs::metadata(&folders.state)?;
    if owner.uid() == 0 {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no user {name:?}")));
    }
    Ok(Ids { user: owner.uid(), group: owner.gid() })
}

/// The user of this name in a list of users (passwd(5)).
fn listed(users: &str, name: &str) -> Option<Ids> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        fields.next().filter(|known| *known == name)?;
        Some(Ids { user: fields.nth(1)?.parse().ok()?, group: fields.next()?.parse().ok()? })
    })
}

/// The daemon has one thread, so these calls, which are for one, are for the process.
fn become_user(ids: Ids) -> io::Result<()> {
    let user = rustix::thread::Uid::from_raw(ids.user);
    let group = rustix::thread::Gid::from_raw(ids.group);
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_numbers_of_its_own_line() {
        let users = "root:x:0:0:root:/root:/bin/ash\ncosi:x:1:1::/:/bin/false\n\
                     cosip:x:453:454:cosip:/var/run/cosip:/bin/false\nhalf:x:7\nodd:x:a:b::/:\n";
        assert_eq!(listed(users, "cosip"), Some(Ids { user: 453, group: 454 }));
        assert_eq!(listed(users, "root"), Some(Ids { user: 0, group: 0 }));
        for name in ["cos", "half", "odd", "", "x"] {
            assert_eq!(listed(users, name), None, "{name}");
        }
    }
}
