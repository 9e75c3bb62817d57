//! Files and directories that nobody but their owner may read.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    path::Path,
};

/// A new file to write to. It is an error if there is one already.
#[cfg(unix)]
pub fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A new directory.
#[cfg(unix)]
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    DirBuilder::new().mode(0o700).create(path)
}

/// A new file to write to. It is an error if there is one already.
///
/// Windows has no mode: a file has the access list of its directory, and in a person's profile that names them alone.
#[cfg(windows)]
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// A new directory, with the access list of the one that it is in.
#[cfg(windows)]
pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().create(path)
}
