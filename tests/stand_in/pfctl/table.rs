//! `pfctl -t NAME -T COMMAND`.

use std::fmt;
use std::net::IpAddr;

use serde_json::json;

use super::{Options, Pf};

/// An address with the bits that count, and whether it is excepted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    address: IpAddr,
    length: u8,
    is_except: bool,
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let (is_except, text) = match text.strip_prefix('!') {
            Some(text) => (true, text.trim_start()),
            None => (false, text),
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let whole = whole(address);
        let length = length.map_or(Some(whole), |length| length.parse().ok())?;
        (length <= whole).then(|| Self {
            address: masked(address, length),
            length,
            is_except,
        })
    }

    fn same_place(&self, other: &Self) -> bool {
        (self.address, self.length) == (other.address, other.length)
    }

    fn covers(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_except { "!" } else { "" };
        write!(to, "{mark}{}", self.address)?;
        if self.length < whole(self.address) {
            write!(to, "/{}", self.length)?;
        }
        Ok(())
    }
}

fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

impl Pf {
    /// `-T`
    pub(super) fn table(&mut self, options: &Options) -> i32 {
        let (Some(name), Some(command)) = (&options.table, options.command.as_deref()) else {
            self.complain("usage: pfctl -t table -T command [address ...]");
            return 1;
        };
        let mut texts = options.operands.clone();
        match options.file.as_deref() {
            Some("-") => texts.extend(self.input.lines().map(str::to_owned)),
            Some(_) => panic!("only standard input is known here"),
            None => {}
        }
        let mut given = Vec::new();
        for text in texts {
            let Some(entry) = Entry::parse(&text) else {
                self.complain(&format!("no IP address found for {text}"));
                if options.file.is_some() {
                    self.complain("pfctl: cannot load -: Undefined error: 0");
                }
                return 255;
            };
            given.push(entry);
        }
        let (is_there, is_secure) = (self.kernel["tables"][name].is_object(), self.is_secure());
        if self.is_freebsd() {
            match command {
                "flush" if !is_there => return self.error("Operation not supported by device"),
                "add" if is_secure => return self.error("Operation not supported by device"),
                "replace" if is_secure => {
                    self.complain("pfctl: Anchor does not exist.");
                    return 255;
                }
                _ => {}
            }
        }
        if !is_there {
            if command == "kill" {
                self.report("0 table deleted.");
                return 0;
            }
            if !matches!(command, "add" | "replace") || is_secure {
                return self.error("Table does not exist");
            }
            self.kernel["tables"][name] = json!({ "flags": "-pa----", "entries": [] });
            self.report("1 table created.");
        }
        match command {
            "add" => self.add(name, &given),
            "delete" => self.delete(name, &given),
            "flush" => {
                let entries = self.entries(name);
                self.set_entries(name, &[]);
                self.report(&format!("{} addresses deleted.", entries.len()));
                0
            }
            "replace" => self.replace(name, given),
            "test" => self.test(name, &given, options.verbose),
            "show" => {
                for entry in self.entries(name) {
                    let blanks = if entry.is_except { "  " } else { "   " };
                    self.print(&format!("{blanks}{entry}"));
                    if options.verbose {
                        self.print("\tCleared:     Mon Nov 23 18:00:00 2026");
                    }
                }
                0
            }
            _ => {
                self.complain(&format!("pfctl: Unknown command {command}"));
                1
            }
        }
    }

    /// An error of the kernel. Messages about the table end in a dot in older versions and FreeBSD's, system errors do not.
    fn error(&mut self, what: &str) -> i32 {
        let has_dot = self.kernel["system"] != "openbsd" && what.starts_with("Table");
        let dot = if has_dot { "." } else { "" };
        self.complain(&format!("pfctl: {what}{dot}"));
        255
    }

    fn entries(&self, name: &str) -> Vec<Entry> {
        let entries = self.kernel["tables"][name]["entries"].as_array().unwrap();
        let texts = entries.iter().map(|entry| entry.as_str().unwrap());
        texts.map(|text| Entry::parse(text).unwrap()).collect()
    }

    fn set_entries(&mut self, name: &str, entries: &[Entry]) {
        let mut entries = entries.to_vec();
        entries.sort_unstable();
        let texts: Vec<String> = entries.iter().map(Entry::to_string).collect();
        self.kernel["tables"][name]["entries"] = json!(texts);
        self.save();
    }

    fn add(&mut self, name: &str, given: &[Entry]) -> i32 {
        let mut entries = self.entries(name);
        let before = entries.len();
        for entry in given {
            if !entries.iter().any(|other| other.same_place(entry)) {
                entries.push(*entry);
            }
        }
        self.set_entries(name, &entries);
        let added = entries.len() - before;
        self.report(&format!("{added}/{} addresses added.", given.len()));
        0
    }

    fn delete(&mut self, name: &str, given: &[Entry]) -> i32 {
        let mut entries = self.entries(name);
        let before = entries.len();
        entries.retain(|entry| !given.contains(entry));
        self.set_entries(name, &entries);
        let deleted = before - entries.len();
        self.report(&format!("{deleted}/{} addresses deleted.", given.len()));
        0
    }

    /// One change, all of it or nothing.
    fn replace(&mut self, name: &str, mut given: Vec<Entry>) -> i32 {
        given.sort_unstable();
        given.dedup();
        let before = self.entries(name);
        let in_place =
            |list: &[Entry], entry: &Entry| list.iter().any(|other| other.same_place(entry));
        let added = given.iter().filter(|entry| !in_place(&before, entry));
        let deleted = before.iter().filter(|entry| !in_place(&given, entry));
        let changed = given
            .iter()
            .filter(|entry| in_place(&before, entry) && !before.contains(entry));
        let counts = [
            (added.count(), "added"),
            (deleted.count(), "deleted"),
            (changed.count(), "changed"),
        ];
        self.set_entries(name, &given);
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            self.report(&format!("{count} addresses {what}."));
        }
        if counts.iter().all(|(count, _)| *count == 0) {
            self.report("no changes.");
        }
        0
    }

    /// The longest prefix wins.
    fn test(&mut self, name: &str, given: &[Entry], verbose: bool) -> i32 {
        if given
            .iter()
            .any(|entry| entry.length < whole(entry.address))
        {
            return self.error("Invalid argument");
        }
        let entries = self.entries(name);
        let matches = |tested: &&Entry| {
            let covering = entries.iter().filter(|entry| entry.covers(tested.address));
            let best = covering.max_by_key(|entry| entry.length);
            best.is_some_and(|entry| !entry.is_except)
        };
        let matching: Vec<&Entry> = given.iter().filter(matches).collect();
        self.report(&format!(
            "{}/{} addresses match.",
            matching.len(),
            given.len()
        ));
        if verbose {
            for entry in &matching {
                self.print(&format!("M  {entry}"));
            }
        }
        if matching.len() == given.len() { 0 } else { 2 }
    }
}
