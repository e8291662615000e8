//! What goes into a router's image: settings that name the anchor, and the network's secret.

use super::error::{FolderFault, ServerError};
use super::folder::{Folder, SECRET, SETTINGS};
use super::office::Office;
use super::text::hex;

impl Office {
    /// Writes settings and secret into `out`, for `make image-overlay`.
    ///
    /// # Errors
    /// What the system says; also where `out` is this network's own folder.
    pub fn export(&self, out: &Folder) -> Result<(), ServerError> {
        let (text, _) = self.folder.settings()?;
        let secret = self.folder.read(SECRET)?;
        out.ensure()?;
        if out.path().canonicalize()? == self.folder.path().canonicalize()? {
            return Err(out.fault(SETTINGS, FolderFault::Exists));
        }
        out.write(SETTINGS, &with_anchor(&text, &hex(&self.anchor)))?;
        out.write(SECRET, &secret)
    }
}

/// The settings with this trust anchor, unless they name it already. Of sections with one name
/// later lines add to earlier ones.
fn with_anchor(text: &str, anchor: &str) -> String {
    let line = format!("list trust_anchor '{anchor}'");
    if text.lines().any(|it| it.trim() == line) {
        return text.to_owned();
    }
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}\nconfig identity 'identity'\n\t{line}\n")
}
