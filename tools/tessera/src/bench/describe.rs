//! The laboratory's systems, as text of a description: guests at places that the plugin is told.

use std::ops::Range;

/// A guest.
#[derive(Clone, Debug, Default)]
pub struct Guest<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its image, as `guest:rt`.
    pub image: &'a str,
    /// Its initial RAM disk.
    pub initramfs: Option<&'a str>,
    /// Its device tree, if it is not generated.
    pub tree: Option<&'a str>,
    /// The cores of its vCPUs, as `0, 1`.
    pub cores: &'a str,
    /// Its priority.
    pub priority: u8,
    /// Its budget and period.
    pub budget: Option<(&'a str, &'a str)>,
    /// Its command line.
    pub bootargs: &'a str,
    /// Where its RAM is in the board's.
    pub place: Range<u64>,
}

/// A description: a system's name, its cores' policies, its guests.
#[must_use]
pub fn system(name: &str, policies: &[&str], guests: &[Guest<'_>]) -> String {
    let core = |policy: &&str| format!("[[core]]\npolicy = \"{policy}\"\n");
    let cores: String = policies.iter().map(core).collect();
    let guests: String = guests.iter().map(guest).collect();
    format!("name = \"{name}\"\n{cores}{guests}")
}

fn guest(guest: &Guest<'_>) -> String {
    let Guest {
        name,
        image,
        cores,
        priority,
        bootargs,
        place,
        ..
    } = guest;
    let optional = |key: &str, value: Option<&str>| {
        value.map_or_else(String::new, |v| format!("{key} = \"{v}\"\n"))
    };
    let mut text = format!("[guest.{name}]\nimage = \"{image}\"\ncores = [{cores}]\n");
    text += &format!("priority = {priority}\nbootargs = \"{bootargs}\"\n");
    text += &optional("initramfs", guest.initramfs);
    text += &optional("device_tree", guest.tree);
    text += &optional("budget", guest.budget.map(|b| b.0));
    text += &optional("period", guest.budget.map(|b| b.1));
    text += &format!(
        "[[guest.{name}.region]]\naddress = 0x4000_0000\nsize = {}\nphysical = {:#x}\n",
        place.end - place.start,
        place.start
    );
    text
}
