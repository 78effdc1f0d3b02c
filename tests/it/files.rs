use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use onesheet::Error;
use onesheet::files::{Claim, Lock, write_atomically, write_csv, write_json};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_created_then_replaced_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result");
    for text in ["first and longer", "second"] {
        write_atomically(&path, |file| file.write_all(text.as_bytes())).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(names(folder.path()), ["result"]);
    }
}

#[test]
fn a_reader_sees_the_old_file_until_the_new_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result");
    fs::write(&path, "old").unwrap();
    write_atomically(&path, |file| {
        file.write_all(&[b'n'; 100_000])?;
        file.flush()?;
        assert_eq!(fs::read_to_string(&path)?, "old");
        assert_eq!(names(folder.path()).len(), 2, "the temporary file belongs in the same folder");
        Ok(())
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap().len(), 100_000);
}

#[test]
fn a_failed_write_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("result");
    fs::write(&path, "old").unwrap();
    let full = write_atomically(&path, |file| {
        file.write_all(&[b'n'; 100_000])?;
        Err(io::Error::from(ErrorKind::StorageFull))
    })
    .unwrap_err();
    assert_eq!(full.exit_code(), 4);
    let text = full.to_string();
    assert!(text.contains("result: cannot write the file") && text.contains("free some space"), "{text}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["result"]);
}

#[test]
fn a_missing_folder_and_a_path_without_a_name_are_errors_with_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_atomically(&folder.path().join("missing/result"), |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("missing/result: cannot write the file"), "{error}");
    assert!(matches!(write_atomically(Path::new("/"), |_| Ok(())), Err(Error::Io { .. })));
}

#[test]
fn the_file_has_the_permissions_of_an_ordinary_one() {
    let folder = tempfile::tempdir().unwrap();
    let (ordinary, ours) = (folder.path().join("ordinary"), folder.path().join("ours"));
    fs::write(&ordinary, "").unwrap();
    write_atomically(&ours, |_| Ok(())).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&ordinary));
}

#[test]
fn json_is_indented_and_ends_with_a_line_feed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    write_json(&path, &std::collections::BTreeMap::from([("films", 3)])).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"films\": 3\n}\n");
}

#[test]
fn csv_quotes_where_needed_and_refuses_ragged_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    write_csv(&path, |csv| {
        csv.write_record(["id", "genre"])?;
        csv.write_record(["1", "Sword, Sandal"])
    })
    .unwrap();
    let text = "id,genre\n1,\"Sword, Sandal\"\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let ragged = write_csv(&path, |csv| {
        csv.write_record(["id", "genre"])?;
        csv.write_record(["1"])
    });
    assert!(matches!(ragged, Err(Error::Io { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_full_disk_keeps_its_kind_through_csv() {
    let folder = tempfile::tempdir().unwrap();
    let full = write_csv(&folder.path().join("a.csv"), |_| Err(io::Error::from(ErrorKind::StorageFull).into()));
    assert!(full.unwrap_err().to_string().contains("free some space"));
}

#[test]
fn a_link_is_replaced_and_what_it_points_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (other, link) = (folder.path().join("other"), folder.path().join("link"));
    fs::write(&other, "somebody's").unwrap();
    symlink(&other, &link).unwrap();
    write_atomically(&link, |file| file.write_all(b"ours")).unwrap();
    assert_eq!(fs::read_to_string(&other).unwrap(), "somebody's");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
}

#[test]
fn a_folder_or_a_device_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (inner, socket) = (folder.path().join("inner"), folder.path().join("socket"));
    fs::create_dir(&inner).unwrap();
    let _listener = UnixListener::bind(&socket).unwrap();
    for path in [&inner, &socket] {
        let error = write_atomically(path, |file| file.write_all(b"ours")).unwrap_err().to_string();
        assert!(error.contains("cannot write the file: what is there is not a regular file"), "{error}");
    }
    assert_eq!(names(folder.path()), ["inner", "socket"]);
}

fn claim(path: &Path) -> Claim {
    Lock::try_claim(path, "makes a test").unwrap()
}

fn held(path: &Path) -> Lock {
    match claim(path) {
        Claim::Held(lock) => lock,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_has_one_holder_who_says_who_it_is_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    for _ in 0..2 {
        let lock = held(&path);
        let Claim::Taken { by } = claim(&path) else { panic!("two hold one lock") };
        let who = format!("onesheet, process {}, since 20", std::process::id());
        assert!(by.starts_with(&who) && by.ends_with(" UTC: makes a test"), "{by}");
        drop(lock);
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[test]
fn the_file_of_a_holder_that_died_is_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    for left in ["", "onesheet, pro", "onesheet, process 1234, since 2026-01-31 23:59:59 UTC: made a test\n"] {
        fs::write(&path, left).unwrap();
        let _lock = held(&path);
        assert!(fs::read_to_string(&path).unwrap().ends_with("UTC: makes a test\n"));
    }
}

#[test]
fn who_waits_gets_the_lock_once_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let lock = held(&path);
    thread::scope(|scope| {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| match Lock::wait(&path, "waits", || Ok(())).unwrap() {
                    Claim::Held(lock) => {
                        // Nobody else may hold it now, whichever file the others have open.
                        assert!(matches!(claim(&path), Claim::Taken { .. }));
                        drop(lock);
                    }
                    other => panic!("{other:?}"),
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(50));
        assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
        drop(lock);
    });
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_is_not_a_file_of_a_lock_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("notes"), "onesheets are posters of one sheet").unwrap();
    symlink(at("notes"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fs::create_dir(at("inner")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (name, what) in [
        ("notes", "is not a file that onesheet made"),
        ("link", "is not a regular file"),
        ("dangling", "is not a regular file"),
        ("inner", "is not a regular file"),
        ("pipe", "is not a regular file"),
    ] {
        for error in [Lock::try_claim(&at(name), "").unwrap_err(), Lock::wait(&at(name), "", || Ok(())).unwrap_err()] {
            assert_eq!(error.exit_code(), 3);
            let error = error.to_string();
            assert!(error.contains(&format!("{name}: {what}; remove it, or name another folder")), "{error}");
        }
    }
    assert_eq!(fs::read_to_string(at("notes")).unwrap(), "onesheets are posters of one sheet");
    assert_eq!(names(folder.path()), ["dangling", "inner", "link", "notes", "pipe"]);
}
