//! The directories: their names as they are, and as far as they were synced.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::loss::Loss;

/// What a name stands for: a file or a directory, by its number.
pub type Number = u64;
pub const ROOT: Number = 1;

/// All directories, and the changes of names that are not durable yet.
pub struct Names {
    dirs: BTreeMap<Number, Dir>,
    /// In order.
    unsynced: Vec<Change>,
}

#[derive(Default)]
struct Dir {
    now: BTreeMap<OsString, Number>,
    synced: BTreeMap<OsString, Number>,
}

/// Names that change together or not at all.
struct Change(Vec<Step>);

struct Step {
    dir: Number,
    name: OsString,
    /// What the name stands for from then on.
    becomes: Option<Number>,
}

impl Change {
    fn dirs(&self) -> impl Iterator<Item = Number> {
        self.0.iter().map(|step| step.dir)
    }
}

impl Names {
    pub fn new() -> Names {
        Names {
            dirs: BTreeMap::from([(ROOT, Dir::default())]),
            unsynced: Vec::new(),
        }
    }

    pub fn is_dir(&self, number: Number) -> bool {
        self.dirs.contains_key(&number)
    }

    pub fn get(&self, dir: Number, name: &OsStr) -> Option<Number> {
        self.dirs.get(&dir)?.now.get(name).copied()
    }

    /// The names in a directory, in order.
    pub fn list(&self, dir: Number) -> Vec<(OsString, Number)> {
        let now = self.dirs.get(&dir).map(|dir| &dir.now);
        let names = now.into_iter().flatten();
        names
            .map(|(name, number)| (name.clone(), *number))
            .collect()
    }

    pub fn is_empty(&self, dir: Number) -> bool {
        self.dirs.get(&dir).is_none_or(|dir| dir.now.is_empty())
    }

    /// A new directory, which has no name yet.
    pub fn add_dir(&mut self, number: Number) {
        self.dirs.insert(number, Dir::default());
    }

    pub fn set(&mut self, dir: Number, name: &OsStr, becomes: Option<Number>) {
        let name = name.to_owned();
        self.change(Change(vec![Step { dir, name, becomes }]));
    }

    /// Gives what has the one name the other, whatever that stood for.
    pub fn rename(&mut self, from: (Number, &OsStr), to: (Number, &OsStr)) {
        let moved = self.get(from.0, from.1);
        let step = |(dir, name): (Number, &OsStr), becomes| Step {
            dir,
            name: name.to_owned(),
            becomes,
        };
        self.change(Change(vec![step(from, None), step(to, moved)]));
    }

    /// Makes the names in a directory durable, and with a name that was moved here the place that it came from.
    pub fn sync(&mut self, dir: Number) {
        let mut dirs = BTreeSet::from([dir]);
        let mut durable: Vec<bool> = Vec::new();
        for change in self.unsynced.iter().rev() {
            let touched = change.dirs().any(|dir| dirs.contains(&dir));
            if touched {
                dirs.extend(change.dirs());
            }
            durable.push(touched);
        }
        let unsynced = std::mem::take(&mut self.unsynced);
        for (change, durable) in unsynced.into_iter().zip(durable.into_iter().rev()) {
            if durable {
                self.make_durable(change);
            } else {
                self.unsynced.push(change);
            }
        }
    }

    /// Goes back to the names that were synced, and keeps of the changes since those that the loss leaves: of each
    /// directory the first ones.
    pub fn lose(&mut self, loss: &mut Loss) {
        let mut ended: BTreeSet<Number> = BTreeSet::new();
        for change in std::mem::take(&mut self.unsynced) {
            let one_journal = loss.has_one_journal() && !ended.is_empty();
            let reachable = !one_journal && change.dirs().all(|dir| !ended.contains(&dir));
            if loss.keeps_name(reachable) {
                self.make_durable(change);
            } else {
                ended.extend(change.dirs());
            }
        }
        for dir in self.dirs.values_mut() {
            dir.now = dir.synced.clone();
        }
    }

    /// Everything that has a name now, the root included.
    pub fn named(&self) -> BTreeSet<Number> {
        let mut named = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            for (_, number) in self.list(dir) {
                if named.insert(number) && self.is_dir(number) {
                    open.push(number);
                }
            }
        }
        named
    }

    /// Forgets the directories that are not among these.
    pub fn retain(&mut self, named: &BTreeSet<Number>) {
        self.dirs.retain(|number, _| named.contains(number));
    }

    fn change(&mut self, change: Change) {
        for step in &change.0 {
            let dir = self.dirs.entry(step.dir).or_default();
            set(&mut dir.now, step);
        }
        self.unsynced.push(change);
    }

    fn make_durable(&mut self, change: Change) {
        for step in &change.0 {
            let dir = self.dirs.entry(step.dir).or_default();
            set(&mut dir.synced, step);
        }
    }
}

fn set(names: &mut BTreeMap<OsString, Number>, step: &Step) {
    match step.becomes {
        Some(number) => names.insert(step.name.clone(), number),
        None => names.remove(&step.name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn names(names: &Names, dir: Number) -> Vec<String> {
        let list = names.list(dir).into_iter();
        list.map(|(name, _)| name.into_string().expect("text"))
            .collect()
    }

    #[test]
    fn names_that_were_not_synced_go_back_to_what_they_were() {
        let mut all = Names::new();
        all.set(ROOT, name("kept"), Some(2));
        all.set(ROOT, name("moved"), Some(3));
        all.sync(ROOT);
        all.rename((ROOT, name("moved")), (ROOT, name("kept")));
        all.set(ROOT, name("new"), Some(4));
        assert_eq!(names(&all, ROOT), ["kept", "new"]);
        all.lose(&mut Loss::total());
        assert_eq!(names(&all, ROOT), ["kept", "moved"]);
        assert_eq!(all.get(ROOT, name("kept")), Some(2));
        assert_eq!(all.named(), BTreeSet::from([ROOT, 2, 3]));
    }

    #[test]
    fn a_moved_name_is_never_lost_in_between() {
        for seed in 0..200 {
            let mut all = Names::new();
            for dir in [10, 11] {
                all.add_dir(dir);
                all.set(ROOT, name(&dir.to_string()), Some(dir));
            }
            all.set(10, name("file"), Some(2));
            all.sync(ROOT);
            all.sync(10);
            all.rename((10, name("file")), (11, name("file")));
            if seed % 2 == 0 {
                all.sync(11);
            }
            all.lose(&mut Loss::random(seed));
            let places = [10, 11].map(|dir| all.get(dir, name("file")));
            assert_eq!(places.iter().flatten().count(), 1, "seed {seed}");
            assert!(seed % 2 != 0 || places[1].is_some(), "it was synced");
        }
    }

    #[test]
    fn of_each_directory_the_first_changes_survive() {
        let mut partly = 0;
        for seed in 0..200 {
            let mut all = Names::new();
            for number in 10..20 {
                all.set(ROOT, name(&number.to_string()), Some(number));
            }
            all.lose(&mut Loss::random(seed));
            let left = names(&all, ROOT);
            let first: Vec<String> = (10..20).map(|n| n.to_string()).take(left.len()).collect();
            assert_eq!(left, first, "seed {seed}");
            partly += usize::from(!left.is_empty() && left.len() < 10);
        }
        assert!(partly > 20, "{partly}");
    }
}
