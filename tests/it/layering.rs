//! The lists of modules at the head of `mod.rs` files are laws: a module imports only from those
//! above it.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders whose head lists their modules in the order of their dependencies, with the path
/// that an import of one of them begins with.
const LISTS: [(&str, &str); 7] = [
    ("src/lib.rs", "crate::"),
    ("src/data/mod.rs", "crate::data::"),
    ("src/classifier/mod.rs", "crate::classifier::"),
    ("src/export/mod.rs", "crate::export::"),
    ("src/page/mod.rs", "crate::page::"),
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

/// The names that follow a path in the code of a file: `a` of `crate::a::X`, `a` and `b` of
/// `crate::{a, b::X}`.
fn names_after<'a>(code: &'a str, path: &str) -> Vec<&'a str> {
    let first_name = |text: &'a str| {
        let text = text.trim_start();
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default()
    };
    let after = code.match_indices(path).map(|(at, _)| &code[at + path.len()..]);
    let names = after.flat_map(|rest| match rest.strip_prefix('{') {
        None => vec![first_name(rest)],
        Some(group) => {
            let (mut depth, mut names) = (0, vec![first_name(group)]);
            for (at, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(first_name(&group[at + 1..])),
                    _ => {}
                }
            }
            names
        }
    });
    names.collect()
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
                let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
                let code = code.join("\n");
                let mut imported = names_after(&code, prefix);
                // What lies in the folder itself may say `super` for it.
                if file.parent() == Some(folder) {
                    imported.extend(names_after(&code, "super::"));
                }
                for other in imported.iter().filter_map(|other| names.iter().position(|name| name == other)) {
                    let below = &names[other];
                    assert!(other <= at, "{}: {name} imports from {below}, which stands below it", file.display());
                }
            }
        }
    }
}

#[test]
fn every_module_is_in_its_list() {
    for (list, _) in LISTS {
        let list = root().join(list);
        let (text, names) = (fs::read_to_string(&list).unwrap(), listed(&list));
        // Beside the road of the data stands the demo, which draws posters of its own.
        let modules = text.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
        for module in modules.filter(|module| *module != "demo") {
            assert!(names.iter().any(|name| name == module), "{}: {module} is not listed", list.display());
        }
    }
}
