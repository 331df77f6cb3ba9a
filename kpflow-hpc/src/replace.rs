//! Which files the program may replace: its own of the same sort, never anything else, whoever runs
//! it.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A sort of files that the program writes, and how it knows one of its own again.
pub struct Own {
    /// What it is, with its article: `a result file of kpflow`.
    pub what: &'static str,
    /// What would be right instead.
    pub instead: &'static str,
    /// Whether a regular file is one.
    pub is: fn(&Path) -> Result<bool>,
    /// Whether a link to one may stay in its place: what is replaced is what it leads to.
    pub links: bool,
}

/// Fails unless a new file may take this place: nothing is there, or a file of the same sort that
/// the program wrote.
///
/// **Errors**: a directory, a device, a link (unless it leads to one, and may), any other file.
pub fn replaceable(path: &Path, own: &Own) -> Result<()> {
    let Ok(there) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let followed = std::fs::metadata(path);
    if followed.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
        return Err(Error::input(path, format!("is a directory; name a file, to be {}", own.what)));
    }
    let Own { what, instead, .. } = own;
    if there.is_symlink() && !own.links {
        return Err(Error::input(path, format!("is a link, which is not replaced; {instead}, or remove it")));
    }
    if there.is_symlink() && followed.is_err() {
        return Err(Error::input(path, format!("is a link to nothing; {instead}, or remove it")));
    }
    // A device or a pipe is not even opened: reading one may never end.
    if !followed.is_ok_and(|m| m.is_file()) {
        return Err(Error::input(path, format!("is a device or a pipe, not a file; {instead}")));
    }
    match (own.is)(path)? {
        true => Ok(()),
        false => Err(Error::input(path, format!("is there and is not {what}; {instead}, or remove it"))),
    }
}

/// Whether a file's first kilobytes hold these words.
pub fn begins_with(path: &Path, words: &[u8]) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|f| f.take(4096).read_to_end(&mut start));
    read.is_ok() && start.windows(words.len()).any(|w| w == words)
}

/// Any regular file: what a user has said may be replaced.
pub const ANY: Own =
    Own { what: "a file of kpflow", instead: "choose another directory", is: |_| Ok(true), links: false };

/// Writes a file as a whole: whoever reads it finds the old one or the new one.
///
/// **Errors**: it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut copy = path.to_path_buf().into_os_string();
    copy.push(".tmp");
    let copy = PathBuf::from(copy);
    let write = || -> std::io::Result<()> {
        // What a killed run left goes; a link by this name is not followed.
        let _ = std::fs::remove_file(&copy);
        let mut file = File::options().write(true).create_new(true).open(&copy)?;
        file.write_all(bytes)?;
        drop(file);
        settle(&copy, path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&copy);
        let message = format!("cannot be written: {e}; its directory must exist, be writable and have room");
        Error { file: Some(path.into()), ..Error::run(message) }
    })
}

/// Moves a file that is whole to its place, once all of it is on disk.
pub fn settle(copy: &Path, path: &Path) -> std::io::Result<()> {
    File::open(copy)?.sync_all()?;
    std::fs::rename(copy, path)?;
    // The new name outlives a power cut once its directory is on disk; not every file system can be
    // asked for that.
    let directory = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(directory).and_then(|d| d.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Own =
        Own { what: "a page", instead: "choose another", is: |p| Ok(begins_with(p, b"MARK")), links: false };

    #[test]
    fn nothing_but_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let refused = |name: &str, own: &Own| replaceable(&at(name), own).unwrap_err().to_string();
        replaceable(&at("new"), &PAGE).unwrap();
        std::fs::write(at("mine"), "xx MARK").unwrap();
        std::fs::write(at("other"), "xx").unwrap();
        std::fs::write(at("empty"), "").unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        for (link, to) in
            [("link", "mine"), ("dangling", "nowhere"), ("to_directory", "directory"), ("full", "/dev/full")]
        {
            std::os::unix::fs::symlink(to, at(link)).unwrap();
        }
        replaceable(&at("mine"), &PAGE).unwrap();
        for other in ["other", "empty"] {
            assert!(refused(other, &PAGE).contains("is not a page"), "{other}");
        }
        for directory in ["directory", "to_directory"] {
            assert!(refused(directory, &PAGE).contains("is a directory"), "{directory}");
        }
        for link in ["link", "dangling", "full"] {
            assert!(refused(link, &PAGE).contains("is a link"), "{link}");
        }
        let links = Own { links: true, ..PAGE };
        replaceable(&at("link"), &links).unwrap();
        assert!(refused("dangling", &links).contains("link to nothing"));
        assert!(refused("full", &links).contains("device"));
        for device in ["/dev/null", "/dev/full", "/dev/stdin"] {
            let found = replaceable(Path::new(device), &PAGE).unwrap_err().to_string();
            assert!(found.contains("device") || found.contains("link"), "{device}: {found}");
        }
    }

    #[test]
    fn a_link_beside_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("precious"), "kept").unwrap();
        std::os::unix::fs::symlink("precious", at("page.tmp")).unwrap();
        replace(&at("page"), b"new").unwrap();
        assert_eq!(std::fs::read(at("page")).unwrap(), b"new");
        assert_eq!(std::fs::read(at("precious")).unwrap(), b"kept");
    }
}
