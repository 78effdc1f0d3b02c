//! The lists of modules at the head of `mod.rs` files are laws: a module imports only from those
//! above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders whose head lists their modules in the order of their dependencies, with the path
/// that an import of one of them begins with.
const LISTS: [(&str, &str); 5] = [
    ("src/lib.rs", "crate::"),
    ("src/data/mod.rs", "crate::data::"),
    ("src/classifier/mod.rs", "crate::classifier::"),
    ("src/run/mod.rs", "crate::run::"),
    ("src/nn/mod.rs", "crate::nn::"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The modules of a list, in its order: the names in the first column of the table, `a`, `b`.
fn listed(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")).filter(|row| row.contains('`'));
    let cells = rows.map(|row| row.split(" | ").next().unwrap().to_owned());
    let names = cells.flat_map(|cell| cell.split(',').map(str::to_owned).collect::<Vec<_>>());
    names.map(|name| name.trim_matches(|c: char| !c.is_alphanumeric()).to_owned()).collect()
}

/// All Rust files of a module: `name.rs`, or those under `name/`.
fn sources(folder: &Path, name: &str) -> Vec<PathBuf> {
    fn below(folder: &Path, to: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, to),
                false if path.extension().is_some_and(|extension| extension == "rs") => to.push(path),
                false => {}
            }
        }
    }
    let mut files = Vec::new();
    below(&folder.join(name), &mut files);
    files.extend(Some(folder.join(name).with_extension("rs")).filter(|file| file.exists()));
    files
}

#[test]
fn a_module_imports_only_from_those_above_it() {
    for (list, prefix) in LISTS {
        let list = root().join(list);
        let (names, folder) = (listed(&list), list.parent().unwrap());
        assert!(names.len() > 3, "{}: {names:?}", list.display());
        for (at, name) in names.iter().enumerate().filter(|(_, name)| *name != "mod") {
            let files = sources(folder, name);
            assert!(!files.is_empty(), "{}: there is no module {name}", list.display());
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                    // What lies in the folder itself may say `super` for it.
                    let by_super = if file.parent() == Some(folder) { "super::" } else { prefix };
                    let imports = line.split(prefix).skip(1).chain(line.split(by_super).skip(1));
                    let imported = imports.map(|rest| {
                        rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
                    });
                    for other in imported.filter_map(|other| names.iter().position(|name| name == other)) {
                        let other_name = &names[other];
                        assert!(
                            other <= at,
                            "{}: {name} imports from {other_name}, which stands below it",
                            file.display()
                        );
                    }
                }
            }
        }
    }
}
