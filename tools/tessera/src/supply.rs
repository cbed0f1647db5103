//! Gets the bytes that a description names: built, fetched from Debian, or read from a path.

use crate::debian::Debian;
use crate::description::{self as d, Description};
use crate::failure::Failure;
use crate::image::{self, Image};
use crate::initramfs;
use crate::layout::{self, Parts};
use crate::program::{self, Profile};
use crate::project::Project;
use crate::refusal::Source;
use crate::setup::{self, Permission};
use crate::system::System;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Where bytes come from.
#[derive(Debug)]
pub struct Supply<'a> {
    /// The project.
    pub project: &'a Project,
    /// How guests of this project are built.
    pub profile: Profile,
    /// What may be installed.
    pub permission: Permission,
    /// The folder that paths in the description are relative to.
    pub folder: PathBuf,
}

impl<'a> Supply<'a> {
    /// For the description at `path`.
    #[must_use]
    pub fn new(
        project: &'a Project,
        path: &Path,
        profile: Profile,
        permission: Permission,
    ) -> Self {
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Self {
            project,
            profile,
            permission,
            folder,
        }
    }

    /// Gets everything that a system needs and places it in its guests.
    ///
    /// # Errors
    ///
    /// Something is missing, is not what it should be, or does not fit.
    pub fn fill(
        &self,
        system: &mut System,
        description: &Description,
        source: &Source,
    ) -> Result<(), Failure> {
        for (name, guest) in &description.guest {
            let Some(place) = system.guests.iter_mut().find(|g| &g.name == name.get_ref()) else {
                continue;
            };
            let parts = self.parts(guest, source)?;
            layout::place(place, parts, source)?;
        }
        Ok(())
    }

    fn parts<'d>(&self, guest: &'d d::Guest, source: &Source) -> Result<Parts<'d>, Failure> {
        let image = self.image(guest, source)?;
        let initramfs = match &guest.initramfs {
            None => None,
            Some(name) => Some(self.initramfs(name, source)?),
        };
        let tree = match &guest.device_tree {
            Some(name) if !matches!(name.get_ref().as_str(), "generated" | "none") => {
                Some(self.file(name, "device tree", source)?)
            }
            _ => None,
        };
        let regions = guest
            .region
            .iter()
            .map(|r| self.region(r, source))
            .collect::<Result<_, _>>()?;
        Ok(Parts {
            description: guest,
            image,
            initramfs,
            tree,
            regions,
        })
    }

    fn image(&self, guest: &d::Guest, source: &Source) -> Result<Image, Failure> {
        let name = &guest.image;
        let bytes = match name.get_ref().split_once(':') {
            Some(("guest", package)) => self.built(package, name, source)?,
            Some(("debian", package)) => self.debian(package, name, source)?,
            _ => self.file(name, "image", source)?,
        };
        Image::read(bytes, guest.address.is_some()).map_err(|e| {
            source
                .refuse(
                    name.span(),
                    format!("`{}` is not an image: {e}", name.get_ref()),
                    "this image",
                    e.remedy(),
                )
                .into()
        })
    }

    /// A guest of this project, as a flat image.
    fn built(
        &self,
        package: &str,
        name: &Spanned<String>,
        source: &Source,
    ) -> Result<Vec<u8>, Failure> {
        let folder = self.project.root().join("guests").join(package);
        // `guests` also has what the guests share, which is no program.
        let is_program = |folder: &Path| folder.join("src/main.rs").is_file();
        if package.contains('/') || !is_program(&folder) {
            let guests = std::fs::read_dir(self.project.root().join("guests"));
            let mut known: Vec<String> = guests
                .into_iter()
                .flatten()
                .flatten()
                .filter(|e| is_program(&e.path()))
                .map(|e| format!("guest:{}", e.file_name().to_string_lossy()))
                .collect();
            known.sort();
            return Err(source
                .refuse(
                    name.span(),
                    format!("there is no guest `{package}` in this project"),
                    "no such guest",
                    format!("there are: {}", known.join(", ")),
                )
                .into());
        }
        let route = setup::rust(self.project, self.permission)?;
        let elf = program::build(
            self.project,
            &route,
            &format!("guest-{package}"),
            self.profile,
        )?;
        let bytes = std::fs::read(&elf).map_err(|e| Failure::io(&elf, &e))?;
        let flat = image::flatten(&bytes)
            .map_err(|e| Failure::Build(format!("{}: {e}", elf.display())))?;
        Ok(flat.bytes)
    }

    fn debian(
        &self,
        package: &str,
        name: &Spanned<String>,
        source: &Source,
    ) -> Result<Vec<u8>, Failure> {
        let debian = Debian::new(self.project);
        let (package, file) = match package {
            "linux-cloud" => ("linux-image-cloud-arm64", "boot/vmlinuz-*"),
            "linux-rt" => ("linux-image-rt-arm64", "boot/vmlinuz-*"),
            "u-boot" => ("u-boot-qemu", "usr/lib/u-boot/qemu_arm64/u-boot.bin"),
            _ => {
                return Err(source
                    .refuse(
                        name.span(),
                        format!("`{}` is not an image that the tool knows", name.get_ref()),
                        "unknown",
                        "there are: debian:linux-cloud, debian:linux-rt, debian:u-boot",
                    )
                    .into());
            }
        };
        let root = debian.unpack(package)?;
        let path = find(&root, file).ok_or_else(|| {
            Failure::Internal(format!("{package} has no {file} in {}", root.display()))
        })?;
        std::fs::read(&path).map_err(|e| Failure::io(&path, &e))
    }

    fn initramfs(&self, name: &Spanned<String>, source: &Source) -> Result<Vec<u8>, Failure> {
        let debian = Debian::new(self.project);
        match name.get_ref().as_str() {
            "busybox" => initramfs::busybox(&debian),
            "rt-tests" => initramfs::rt_tests(&debian),
            _ => self.file(name, "initramfs", source),
        }
    }

    fn region(&self, region: &d::Region, source: &Source) -> Result<Option<Vec<u8>>, Failure> {
        let size = region.size.get_ref().0;
        if let Some(fill) = &region.fill {
            let len = usize::try_from(size)
                .ok()
                .filter(|n| *n <= 64 << 20)
                .ok_or_else(|| {
                    source.refuse(
                        fill.span(),
                        "a region of more than 64 MiB cannot be filled",
                        "too much",
                        "its bytes travel in the bundle",
                    )
                })?;
            return Ok(Some(vec![*fill.get_ref(); len]));
        }
        let Some(name) = &region.file else {
            return Ok(None);
        };
        let bytes = self.file(name, "file", source)?;
        if bytes.len() as u64 > size {
            let refusal = source.refuse(
                name.span(),
                format!(
                    "`{}` has {} bytes, its region has {size}",
                    name.get_ref(),
                    bytes.len()
                ),
                "does not fit",
                "make the region larger",
            );
            return Err(refusal.into());
        }
        Ok(Some(bytes))
    }

    fn file(
        &self,
        name: &Spanned<String>,
        what: &str,
        source: &Source,
    ) -> Result<Vec<u8>, Failure> {
        let path = self.folder.join(name.get_ref());
        std::fs::read(&path).map_err(|e| {
            source
                .refuse(
                    name.span(),
                    format!("the {what} `{}` cannot be read: {e}", name.get_ref()),
                    format!("looked for {}", path.display()),
                    "paths are relative to the description; `guest:NAME` and `debian:NAME` are not paths",
                )
                .into()
        })
    }
}

/// Finds a file whose last part may end in `*`.
#[must_use]
pub fn find(root: &Path, pattern: &str) -> Option<PathBuf> {
    let Some(prefix) = pattern.strip_suffix('*') else {
        return Some(root.join(pattern)).filter(|p| p.is_file());
    };
    let (folder, start) = prefix.rsplit_once('/').unwrap_or((".", prefix));
    let mut found: Vec<PathBuf> = std::fs::read_dir(root.join(folder))
        .ok()?
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(start))
        .map(|e| e.path())
        .collect();
    found.sort();
    found.pop()
}
