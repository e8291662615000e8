//! What a reload changes at once, and what waits for the next start.

use super::types::{Config, Provider};

/// The options that wait for the next start: name and field. A test holds the list to the table.
macro_rules! held {
    ($use:ident) => {
        $use! {
            "adapter.public_address" adapter public_address,
            "adapter.sip_port" adapter sip_port,
            "adapter.wan_sip_port" adapter wan_sip_port,
            "adapter.max_phones" adapter max_phones,
            "adapter.max_calls" adapter max_calls,
            "overlay.port" overlay port,
            "overlay.name" overlay name,
            "overlay.secret_file" overlay secret_file,
            "overlay.table_kb" overlay table_kb,
            "overlay.store_entries" overlay store_entries,
            "identity.key" identity key,
            "identity.certificate" identity certificate,
            "media.path" media path,
            "media.port_min" media port_min,
            "media.port_max" media port_max,
        }
    };
}

impl Config {
    /// The options, as `section.option`, in which `new` differs from `old` and which need a
    /// restart. Providers are compared in the order of the file: one more or one less is a
    /// changed `provider.domain`.
    pub fn restart_needed(old: &Self, new: &Self) -> Vec<&'static str> {
        let mut names = Vec::new();
        macro_rules! compare {
            ($($name:literal $section:ident $field:ident,)*) => {
                $(if old.$section.$field != new.$section.$field {
                    names.push($name);
                })*
            };
        }
        held!(compare);
        if !old.same_domains(new) {
            names.push("provider.domain");
        } else {
            let differ = |differs: fn(&Provider, &Provider) -> bool| {
                old.providers.iter().zip(&new.providers).any(|(a, b)| differs(a, b))
            };
            if differ(|a, b| a.server != b.server) {
                names.push("provider.server");
            }
            if differ(|a, b| a.fallback_server != b.fallback_server) {
                names.push("provider.fallback_server");
            }
        }
        names
    }

    /// What is in force after a reload: `new`, but with the running values of everything that
    /// needs a restart.
    #[must_use]
    pub fn reloaded(&self, new: &Self) -> Self {
        let mut merged = new.clone();
        macro_rules! keep {
            ($($name:literal $section:ident $field:ident,)*) => {
                $(merged.$section.$field.clone_from(&self.$section.$field);)*
            };
        }
        held!(keep);
        if self.same_domains(new) {
            for (running, merged) in self.providers.iter().zip(&mut merged.providers) {
                merged.server.clone_from(&running.server);
                merged.fallback_server.clone_from(&running.fallback_server);
            }
        } else {
            merged.providers.clone_from(&self.providers);
            // Who leaves the overlay, by the option or with the section, does so at once.
            for running in &mut merged.providers {
                let mut sections = new.providers.iter();
                running.overlay = sections.any(|p| p.domain == running.domain && p.overlay);
            }
        }
        merged
    }

    fn same_domains(&self, other: &Self) -> bool {
        self.providers.len() == other.providers.len()
            && self.providers.iter().zip(&other.providers).all(|(a, b)| a.domain == b.domain)
    }
}
