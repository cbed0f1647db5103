//! Writes cpio archives in the newc format: bundles and initramfs.
//!
//! Byte for byte the same for the same content: no times, no owners, inodes in order.

use manifest::cpio::{HEADER_LEN, NEWC, TRAILER, align};

const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// Adds a regular file; returns the offset of its data.
    pub fn file(&mut self, name: &str, mode: u32, data: &[u8]) -> usize {
        self.member(name, REGULAR | mode, (0, 0), data)
    }

    /// Adds a folder.
    pub fn folder(&mut self, name: &str) {
        self.member(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, target: &str) {
        self.member(name, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// Adds a character device.
    pub fn device(&mut self, name: &str, major: u32, minor: u32) {
        self.member(name, CHARACTER | 0o600, (major, minor), &[]);
    }

    /// Ends the archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.header(TRAILER, 0, (0, 0), 0);
        self.bytes
    }

    /// Where the data of the next member would begin.
    #[must_use]
    pub fn next_data(&self, name: &str) -> usize {
        round(self.bytes.len() + HEADER_LEN + name.len() + 1)
    }

    fn member(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) -> usize {
        self.inode += 1;
        self.header(name, mode, device, data.len());
        let at = self.bytes.len();
        self.bytes.extend_from_slice(data);
        self.pad();
        at
    }

    fn header(&mut self, name: &str, mode: u32, (major, minor): (u32, u32), size: usize) {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            self.inode, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0,
        ];
        self.bytes.extend_from_slice(&NEWC);
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(round(self.bytes.len()), 0);
    }
}

fn round(n: usize) -> usize {
    align(n).unwrap_or(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use manifest::cpio::member;

    #[test]
    fn the_kernels_reader_finds_every_member() {
        let mut archive = Archive::default();
        let expected = archive.next_data("a");
        assert_eq!(archive.file("a", 0o644, b"12345"), expected);
        archive.folder("dir");
        archive.link("dir/link", "../a");
        archive.device("dev/console", 5, 1);
        let bytes = archive.finish();
        let mut at = 0;
        let mut names = Vec::new();
        while let Some(m) = member(&bytes, at) {
            names.push(String::from_utf8_lossy(m.name).into_owned());
            at = m.next;
        }
        assert_eq!(names, ["a", "dir", "dir/link", "dev/console", TRAILER]);
        assert_eq!(member(&bytes, 0).unwrap().data, b"12345");
    }
}
