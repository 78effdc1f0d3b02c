use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use onesheet::Error;
use onesheet::files::{write_atomically, write_csv, write_json};

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
