use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use onesheet::data::cache::{Building, Cache};
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::dhash::DHash;
use onesheet::data::refusal::OnBadImage::{Fail, Skip};
use onesheet::data::refusal::Reason;

use super::{child, is_child, jpeg, letterboxd, posters, write};

const SPEC: ImageSpec = ImageSpec { height: 24, width: 16 };

/// A folder with the posters 1 to 9, of which 4 is a PNG file and 6 is cut off.
fn data() -> tempfile::TempDir {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=9);
    write(data.path(), "posters/4.jpg", b"\x89PNG\r\n\x1A\n");
    write(data.path(), "posters/6.jpg", &jpeg(6, 20, 30)[..400]);
    data
}

fn open(data: &Path, ids: &[u64]) -> Cache {
    Cache::open_or_build(&data.join("cache"), &posters(data), ids, SPEC, Skip, &|_| Ok(())).unwrap()
}

/// Waits until the posters are older than the grain of any clock: from then on the same posters
/// make the same bytes.
fn settle() {
    std::thread::sleep(Duration::from_millis(2100));
}

fn decoded(data: &Path, id: u64) -> Vec<u8> {
    let mut out = vec![0; SPEC.bytes()];
    Decoder::new().decode_poster(&data.join(format!("posters/{id}.jpg")), SPEC, &mut out).unwrap().unwrap();
    out
}

#[test]
fn holds_what_the_decoder_made_and_is_used_again() {
    let data = data();
    let steps = Mutex::new(Vec::new());
    let ids = [1, 2, 4, 6, 9];
    let progress = |building| {
        steps.lock().unwrap().push(building);
        Ok(())
    };
    let (dir, posters) = (data.path().join("cache"), posters(data.path()));
    let cache = Cache::open_or_build(&dir, &posters, &ids, SPEC, Skip, &progress).unwrap();
    let built = cache.built().unwrap();
    assert_eq!((built.why.as_str(), built.decoded, built.refused), ("there was none", 3, 2));
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert!((1..=5).all(|done| steps.contains(&Building::Posters { done, of: 5 })), "{steps:?}");
    for id in [1, 2, 9, 1] {
        let image = decoded(data.path(), id);
        assert_eq!(cache.image(id).unwrap(), image, "film {id}");
        assert_eq!(cache.hash(id), Some(DHash::of(&image, SPEC)), "film {id}");
    }
    assert_eq!([3, 4].map(|id| cache.hash(id)), [None; 2], "no image, no hash");
    let refused: Vec<_> = cache.refused().iter().map(|(id, refusal)| (*id, refusal.reason)).collect();
    assert_eq!(refused, [(4, Reason::Png), (6, Reason::Truncated)]);
    for id in [3, 4] {
        let error = cache.image(id).unwrap_err().to_string();
        assert!(error.contains(&format!("the cache has no image of film {id}; ")), "{error}");
    }

    let again = open(data.path(), &[2, 4, 9]);
    assert!(again.built().is_none(), "a part of what it holds needs no new cache");
    assert_eq!((again.len(), again.refused()), (5, cache.refused()));
    assert_eq!(again.image(9).unwrap(), cache.image(9).unwrap());
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the cache and its ledger: {left:?}");
}

#[test]
fn grows_to_the_union_and_decodes_only_what_is_new() {
    let data = data();
    open(data.path(), &[2, 4, 5]);
    let both = open(data.path(), &[1, 2, 3]);
    let built = both.built().unwrap();
    assert_eq!((built.why.as_str(), built.decoded), ("it had not 2 of the 3 posters", 2));
    assert_eq!((both.len(), both.refused().len()), (5, 1));
    for id in [1, 2, 3, 5] {
        let image = decoded(data.path(), id);
        assert_eq!(both.image(id).unwrap(), image, "film {id}");
        assert_eq!(both.hash(id), Some(DHash::of(&image, SPEC)), "film {id}");
    }
}

#[test]
fn a_changed_poster_is_decoded_again() {
    let data = data();
    let before = open(data.path(), &[1, 2, 4]);
    write(data.path(), "posters/1.jpg", jpeg(77, 33, 44));
    write(data.path(), "posters/4.jpg", jpeg(4, 20, 30));
    let after = open(data.path(), &[1, 2, 4]);
    let built = after.built().unwrap();
    assert_eq!((built.why.as_str(), built.decoded), ("2 of its posters have changed and 0 are missing", 2));
    assert_eq!(after.image(1).unwrap(), decoded(data.path(), 1));
    assert!(after.refused().is_empty());
    assert_ne!(before.image(1).unwrap(), after.image(1).unwrap(), "who has the old cache open keeps it");

    // The same bytes with another time count as changed: the content is not compared.
    let file = fs::File::options().write(true).open(data.path().join("posters/2.jpg")).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(1000)).unwrap();
    assert_eq!(open(data.path(), &[1, 2, 4]).built().unwrap().decoded, 1);
}

#[test]
fn a_poster_that_is_gone_is_refused() {
    let data = data();
    fs::remove_file(data.path().join("posters/2.jpg")).unwrap();
    let cache = open(data.path(), &[1, 2]);
    assert_eq!(cache.refused()[0].1.reason, Reason::Unreadable);
    assert!(open(data.path(), &[1, 2]).built().is_none());
}

#[test]
fn damaged_files_are_refused_by_name_and_made_again() {
    let data = data();
    settle();
    open(data.path(), &[1, 2, 4]);
    let path = Cache::path_in(&data.path().join("cache"), SPEC);
    let good = fs::read(&path).unwrap();
    let refusal = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let error = Cache::open(&path, SPEC).err().expect("a damaged cache was opened");
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(
            text.contains("posters-24x16.cache: ") && text.ends_with("; remove it to have it made again"),
            "{text}"
        );
        text
    };
    let patched = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] ^= byte;
        bad
    };
    for (content, text) in [
        (&b""[..], "too short"),
        (&good[..79], "too short"),
        (&good[..90], "truncated"),
        (&good[..good.len() - 1], "truncated"),
        (&[&good[..], b"x"].concat(), "bytes instead of"),
        (&patched(0, 1), "not a cache of posters"),
        (&patched(8, 6), "a cache of version 5, not 3"),
        (&patched(20, 1), "the header of the cache is damaged"),
        (&patched(85, 1), "the header of the cache is damaged"),
        (&patched(63, 0x40), "truncated"),
        (&patched(good.len() - 3, 1), "the list of refused posters is damaged"),
    ] {
        let found = refusal(content);
        assert!(found.contains(text), "{found}\n{text}");
    }
    assert!(Cache::open(&path, ImageSpec { height: 16, width: 24 }).err().is_some(), "other rules");
    let built = open(data.path(), &[1, 2, 4]).built().unwrap().clone();
    assert!(built.why.contains("the list of refused posters is damaged") && built.decoded == 2, "{built:?}");
    assert_eq!(fs::read(&path).unwrap(), good, "the same posters make the same bytes");

    // A record is checked when it is first read; the others can still be read.
    fs::write(&path, patched(4096 + SPEC.bytes() + 100, 4)).unwrap();
    let cache = open(data.path(), &[1, 2, 4]);
    cache.image(1).unwrap();
    for _ in 0..2 {
        let error = cache.image(2).unwrap_err().to_string();
        assert!(error.contains("the record of film 2 is damaged; remove it"), "{error}");
    }
    let grown = open(data.path(), &[1, 2, 3]);
    assert_eq!(grown.built().unwrap().decoded, 2, "a damaged record is not carried over");
    assert_eq!(grown.image(2).unwrap(), decoded(data.path(), 2));
}

/// Damage to every byte up to the records, and to a thousand bytes anywhere in them, is noticed.
#[test]
fn every_flipped_byte_is_noticed() {
    let data = data();
    open(data.path(), &[1, 2, 3, 4, 5, 9]);
    let path = Cache::path_in(&data.path().join("cache"), SPEC);
    let good = fs::read(&path).unwrap();
    let copy = data.path().join("copy");
    let mut bad = good.clone();
    let mut flip = |at: usize, bit: u8| {
        bad[at] ^= 1 << bit;
        fs::write(&copy, &bad).unwrap();
        bad[at] ^= 1 << bit;
        Cache::open(&copy, SPEC).map(|cache| cache.verify(&|_, _| ()))
    };
    let records = 4096;
    for at in 0..records {
        assert!(flip(at, (at % 8) as u8).is_err(), "byte {at} of the header");
    }
    let payload = 6 * SPEC.bytes();
    for k in 0..1000 {
        let at = (k * 7919 + k * k * 31) % payload;
        let damaged = flip(records + at, (k % 8) as u8).unwrap();
        assert_eq!(damaged, [[1, 2, 3, 4, 5, 9][at / SPEC.bytes()]], "byte {at} of the records");
    }
    for at in records + payload..good.len() {
        assert!(flip(at, 3).is_err(), "byte {at}, of the refusals");
    }
    assert!(Cache::open(&path, SPEC).unwrap().verify(&|_, _| ()).is_empty());
}

/// Tests files under the name of a build in progress: one of another plan is started over.
#[test]
fn what_another_plan_left_is_started_over() {
    let data = data();
    settle();
    let finished = fs::read(Cache::path_in(&data.path().join("cache"), open(data.path(), &[1, 2, 4]).spec())).unwrap();
    fs::remove_dir_all(data.path().join("cache")).unwrap();
    fs::create_dir(data.path().join("cache")).unwrap();
    for left in [&b""[..], b"BUI", b"BUILDING", &[&b"BUILDING"[..], &[7; 100_000]].concat(), &finished] {
        write(data.path(), "cache/posters-24x16.building", left);
        let cache = open(data.path(), &[1, 2, 3]);
        assert_eq!(cache.image(3).unwrap(), decoded(data.path(), 3));
        fs::remove_file(cache.path()).unwrap();
    }
    // A finished file of the same plan has only to be renamed; what a kill left of a ledger is
    // removed.
    let foreign = [
        ".posters-24x16.ledger.json.a1b2c3",
        ".posters-24x16.ledger.json.onesheet-a1b2c3d",
        ".posters-24x16.ledger.json.onesheet-a1b2c-",
        "posters-24x16.ledger.json~",
    ];
    for name in [".posters-24x16.ledger.json.onesheet-a1b2c3", foreign[0], foreign[1], foreign[2], foreign[3]] {
        write(data.path(), &format!("cache/{name}"), "{");
    }
    write(data.path(), "cache/posters-24x16.building", &finished);
    let cache = open(data.path(), &[1, 2, 4]);
    assert_eq!(cache.built().unwrap().decoded, 0);
    assert_eq!(fs::read(cache.path()).unwrap(), finished);
    assert!(!data.path().join("cache/.posters-24x16.ledger.json.onesheet-a1b2c3").exists());
    assert!(foreign.iter().all(|name| data.path().join("cache").join(name).exists()), "they belong to others");
}

#[test]
fn memory_is_asked_for_and_given_back() {
    let data = data();
    let cache = open(data.path(), &[1, 2, 3, 5]);
    for _ in 0..2 {
        cache.will_need([1, 2, 3, 77]);
        for id in [1, 2, 3, 5] {
            assert_eq!(cache.image(id).unwrap(), decoded(data.path(), id));
        }
        cache.drop_behind([1, 2, 3, 5, 77]);
    }
}

#[test]
fn two_builders_make_one_cache() {
    let data = data();
    let built: Vec<bool> = std::thread::scope(|scope| {
        let builders: Vec<_> =
            (0..4).map(|_| scope.spawn(|| open(data.path(), &[1, 2, 3, 5]).built().is_some())).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).collect()
    });
    assert_eq!(built.iter().filter(|&&built| built).count(), 1);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_its_name() {
    let data = data();
    write(data.path(), "cache", "a file where the folder should be");
    let (dir, posters) = (data.path().join("cache"), posters(data.path()));
    let error = Cache::open_or_build(&dir, &posters, &[1], SPEC, Skip, &|_| Ok(())).err().unwrap();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains("/cache: cannot make the folder"), "{error}");
}

/// The rules that a cache is stamped with name the versions that are really compiled in.
#[test]
fn rules_name_the_versions_in_use() {
    let source = include_str!("../../../src/data/cache.rs");
    let lock = include_str!("../../../Cargo.lock");
    for (package, version) in [("zune-jpeg", "0.5.15"), ("fast_image_resize", "6.1.0")] {
        assert!(source.contains(&format!("{package} {version}")), "the rules do not name {package} {version}");
        assert!(lock.contains(&format!("name = \"{package}\"\nversion = \"{version}\"")), "{package} is not {version}");
    }
}

#[test]
fn who_waits_for_another_builder_says_so() {
    let data = data();
    let (dir, posters) = (data.path().join("cache"), posters(data.path()));
    fs::create_dir(&dir).unwrap();
    let lock = fs::File::create(Cache::path_in(&dir, SPEC).with_extension("lock")).unwrap();
    lock.lock().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let tell = |at| {
        tell.send(at).unwrap();
        Ok(())
    };
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| Cache::open_or_build(&dir, &posters, &[1, 2], SPEC, Skip, &tell));
        assert_eq!(told.recv().unwrap(), Building::Waits { by: "another process".into() });
        lock.unlock().unwrap();
        assert_eq!(builder.join().unwrap().unwrap().len(), 2);
    });
}

/// A poster with as many bytes as others made so: what follows the end marker does not count.
fn padded(seed: u64) -> Vec<u8> {
    let mut file = jpeg(seed, 20, 30);
    assert!(file.len() < 2000);
    file.resize(2000, 0);
    file
}

/// Writes a poster of the same length over another and sets the time back, so that only what cannot
/// be set tells of the change.
fn overwrite(path: &Path, content: &[u8]) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), content.len() as u64);
    fs::write(path, content).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
}

#[test]
fn an_edit_of_equal_length_and_time_is_noticed() {
    let data = data();
    let path = data.path().join("posters/1.jpg");
    fs::write(&path, padded(1)).unwrap();
    open(data.path(), &[1, 2]);
    overwrite(&path, &padded(2));
    let after = open(data.path(), &[1, 2]);
    assert_eq!(after.built().unwrap().why, "1 of its posters have changed and 0 are missing");
    assert_eq!(after.image(1).unwrap(), decoded(data.path(), 1));

    // Another file with the same bytes is the same poster, and so is one with other permissions.
    fs::rename(&path, data.path().join("other")).unwrap();
    fs::copy(data.path().join("other"), &path).unwrap();
    let time = fs::metadata(data.path().join("other")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    fs::set_permissions(data.path().join("posters/2.jpg"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(open(data.path(), &[1, 2]).built().is_none());
}

/// Tests an edit that changes nothing of a stamp, by giving the cache the stamp of the edited file:
/// only of a poster that was young then the content is compared.
#[test]
fn an_edit_within_the_grain_of_the_clock_is_noticed() {
    let data = data();
    let path = data.path().join("posters/1.jpg");
    fs::write(&path, padded(1)).unwrap();
    let cache = open(data.path(), &[1]).path().to_owned();
    overwrite(&path, &padded(2));
    let now = fs::metadata(&path).unwrap();
    let mut bytes = fs::read(&cache).unwrap();
    let mut set = |racy: u8| {
        let changed = now.ctime() * 1_000_000_000 + now.ctime_nsec();
        assert_eq!(bytes[80 + 52], 1, "the poster was young");
        bytes[80 + 24..80 + 32].copy_from_slice(&changed.to_le_bytes());
        bytes[80 + 52] = racy;
        let crc = crc32fast::hash(&bytes[16..80 + 120]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&cache, &bytes).unwrap();
        bytes[80 + 52] = 1;
    };
    set(0);
    assert!(open(data.path(), &[1]).built().is_none());
    set(1);
    assert_eq!(open(data.path(), &[1]).built().unwrap().decoded, 1);
}

#[test]
fn two_folders_that_share_a_cache_get_their_own_posters() {
    let folders = [data(), data()];
    let shared = tempfile::tempdir().unwrap();
    for (folder, seed) in folders.iter().zip(50..) {
        let path = folder.path().join("posters/1.jpg");
        fs::write(&path, padded(seed)).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    fs::remove_file(folders[1].path().join("posters/2.jpg")).unwrap();
    for turn in 0..4 {
        let data = folders[turn % 2].path();
        let cache = Cache::open_or_build(shared.path(), &posters(data), &[1, 9], SPEC, Skip, &|_| Ok(())).unwrap();
        assert_eq!(cache.image(1).unwrap(), decoded(data, 1), "turn {turn}");
        assert_eq!(cache.image(9).unwrap(), decoded(data, 9), "turn {turn}");
    }
}

#[test]
fn what_the_system_refuses_is_tried_again() {
    let data = data();
    let poster = data.path().join("posters/2.jpg");
    fs::remove_file(&poster).unwrap();
    symlink(&poster, &poster).unwrap();
    for built in [true, false] {
        let cache = open(data.path(), &[1, 2]);
        assert_eq!(cache.built().is_some(), built);
        assert_eq!((cache.refused()[0].0, cache.refused()[0].1.reason), (2, Reason::Unreadable));
    }
    // A cache that is made again for another reason does not make a fact of it either.
    assert_eq!(open(data.path(), &[1, 2, 3]).built().unwrap().decoded, 1);
    fs::remove_file(&poster).unwrap();
    write(data.path(), "posters/2.jpg", jpeg(2, 20, 30));
    let cache = open(data.path(), &[1, 2, 3]);
    let built = cache.built().unwrap();
    assert_eq!((built.why.as_str(), built.decoded), ("1 of its posters that could not be read can be now", 1));
    assert_eq!(cache.image(2).unwrap(), decoded(data.path(), 2));
    assert!(cache.refused().is_empty());
}

#[test]
fn a_poster_that_cannot_be_read_any_more_keeps_its_image() {
    let data = data();
    let image = decoded(data.path(), 2);
    open(data.path(), &[1, 2]);
    let poster = data.path().join("posters/2.jpg");
    fs::remove_file(&poster).unwrap();
    symlink(&poster, &poster).unwrap();
    for ids in [&[1, 2][..], &[1, 2, 3]] {
        let cache = open(data.path(), ids);
        assert_eq!(cache.image(2).unwrap(), image);
        assert!(cache.refused().is_empty());
    }
}

#[test]
fn the_first_refused_poster_ends_a_build_that_must_not_have_any() {
    let data = data();
    let (dir, posters) = (data.path().join("cache"), posters(data.path()));
    let build = |ids: &[u64]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let of = AtomicUsize::new(0);
        let count = |_| {
            of.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        let built = pool.install(|| Cache::open_or_build(&dir, &posters, ids, SPEC, Fail, &count));
        (built.map(|cache| cache.built().map(|built| built.decoded)).map_err(|e| e.to_string()), of.into_inner())
    };
    let (error, done) = build(&[1, 2, 3, 4, 5, 7, 8, 9]);
    assert!(error.unwrap_err().contains("posters/4.jpg: PNG file, not JPEG; save the poster as JPEG, or let bad"));
    assert_eq!(done, 3, "nothing is decoded behind the first one");
    // What was decoded before is not lost once the poster is another.
    write(data.path(), "posters/4.jpg", jpeg(4, 20, 30));
    assert_eq!(build(&[1, 2, 3, 4, 5, 7, 8, 9]).0, Ok(Some(5)));
    // What a finished cache knows is told before anything is decoded.
    Cache::open_or_build(&dir, &posters, &[1, 6], SPEC, Skip, &|_| Ok(())).unwrap();
    for ids in [&[1, 6][..], &[1, 6, 9]] {
        let (error, done) = build(ids);
        assert!(error.unwrap_err().contains("posters/6.jpg: "));
        assert_eq!(done, 0);
    }
    assert_eq!(build(&[1, 2, 9]).0, Ok(None), "the refused posters of other runs are not this one's");
    let path = Cache::path_in(&dir, SPEC);
    fs::rename(&path, path.with_extension("building")).unwrap();
    assert!(build(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).0.unwrap_err().contains("posters/6.jpg: "), "one that was not renamed");
}

#[test]
fn files_of_others_in_the_folder_of_the_cache_stay() {
    let refused = |name: &str, make: &dyn Fn(&Path)| {
        let data = data();
        let dir = data.path().join("cache");
        fs::create_dir(&dir).unwrap();
        make(&dir.join(name));
        let error = Cache::open_or_build(&dir, &posters(data.path()), &[1], SPEC, Skip, &|_| Ok(())).err().unwrap();
        let text = error.to_string();
        assert!(text.contains(&format!("/cache/{name}: ")), "{text}");
        (data, text)
    };
    for name in ["posters-24x16.cache", "posters-24x16.building", "posters-24x16.lock", "posters-24x16.ledger.json"] {
        for content in ["somebody's notes", "{\"posters\": 1}"] {
            let (data, text) = refused(name, &|path| fs::write(path, content).unwrap());
            assert!(text.ends_with("; remove it, or name another folder"), "{text}");
            assert_eq!(fs::read_to_string(data.path().join("cache").join(name)).unwrap(), content);
        }
    }
    for name in ["posters-24x16.building", "posters-24x16.lock"] {
        let (data, text) = refused(name, &|path| {
            fs::write(path.with_file_name("target"), "").unwrap();
            symlink(path.with_file_name("target"), path).unwrap();
        });
        assert!(text.contains("is not a regular file"), "{text}");
        assert_eq!(fs::read(data.path().join("cache/target")).unwrap(), b"");
    }
    let pipe = |path: &Path| rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0);
    for name in ["posters-24x16.cache", "posters-24x16.building", "posters-24x16.ledger.json"] {
        let (_data, text) = refused(name, &|path| pipe(path).unwrap());
        assert!(text.contains("not a regular file"), "{text}");
    }
}

#[test]
fn a_cache_that_is_not_mapped_is_read() {
    let data = data();
    let mapped = open(data.path(), &[1, 2, 4]);
    let read = Cache::open_unmapped(mapped.path(), SPEC).unwrap();
    read.will_need([1, 2, 4]);
    assert_eq!((read.image(1).unwrap(), read.image(2).unwrap()), (mapped.image(1).unwrap(), mapped.image(2).unwrap()));
    assert_eq!((read.refused(), read.file_bytes()), (mapped.refused(), mapped.file_bytes()));
    assert!(read.verify(&|_, _| ()).is_empty());
    read.drop_behind([1, 2, 4]);

    let mut bytes = fs::read(read.path()).unwrap();
    bytes[4096 + SPEC.bytes() + 7] ^= 1;
    fs::write(read.path(), &bytes).unwrap();
    assert!(read.image(2).unwrap_err().to_string().contains("the record of film 2 is damaged"), "checked each time");
    bytes.truncate(4096 + SPEC.bytes() + 7);
    fs::write(read.path(), &bytes).unwrap();
    read.image(1).unwrap();
    assert!(read.image(2).unwrap_err().to_string().contains("cannot read the cache"));
    assert_eq!(read.verify(&|_, _| ()), [2, 4]);
}

#[test]
fn a_mapped_cache_that_is_shortened_ends_the_process_with_a_line() {
    if !is_child() {
        let output = child("data::cache::a_mapped_cache_that_is_shortened_ends_the_process_with_a_line", &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{told}");
        assert!(told.contains("error: the cache of posters cannot be read any more"), "{told}");
        return;
    }
    let data = data();
    let cache = open(data.path(), &[1, 2]);
    fs::File::options().write(true).open(cache.path()).unwrap().set_len(4096).unwrap();
    let _ = cache.image(1);
    panic!("the page is gone");
}

/// Tests that the handler leaves alone what is no fault of a map: Rust's own handler sets the
/// default the first time, and the second signal ends the process.
#[test]
fn another_bus_error_does_what_it_did_before() {
    if !is_child() {
        let output = child("data::cache::another_bus_error_does_what_it_did_before", &[]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGBUS), "{told}");
        assert!(!told.contains("the cache of posters"), "{told}");
        return;
    }
    let data = data();
    let _cache = open(data.path(), &[1, 2]);
    let kill = format!("kill -BUS {0}; sleep 0.2; kill -BUS {0}", std::process::id());
    Command::new("sh").args(["-c", &kill]).status().unwrap();
    std::thread::sleep(Duration::from_secs(5));
}
