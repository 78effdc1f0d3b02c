use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use onesheet::data::cache::{Building, Cache};
use onesheet::data::decode::{Decoder, ImageSpec};
use onesheet::data::refusal::Reason;

use super::{jpeg, letterboxd, posters, write};

const SPEC: ImageSpec = ImageSpec { height: 24, width: 16 };

/// A folder with the posters 1 to 9, of which 4 is a PNG file and 6 is cut off.
fn data() -> tempfile::TempDir {
    let data = letterboxd("id,genre\n1,Drama\n", 1..=9);
    write(data.path(), "posters/4.jpg", b"\x89PNG\r\n\x1A\n");
    write(data.path(), "posters/6.jpg", &jpeg(6, 20, 30)[..400]);
    data
}

fn open(data: &Path, ids: &[u64]) -> Cache {
    Cache::open_or_build(&data.join("cache"), &posters(data), ids, SPEC, &|_| ()).unwrap()
}

fn decoded(data: &Path, id: u64) -> Vec<u8> {
    let mut out = vec![0; SPEC.bytes()];
    Decoder::new().decode_poster(&data.join(format!("posters/{id}.jpg")), SPEC, &mut out).unwrap();
    out
}

#[test]
fn holds_what_the_decoder_made_and_is_used_again() {
    let data = data();
    let steps = Mutex::new(Vec::new());
    let ids = [1, 2, 4, 6, 9];
    let progress = |building| steps.lock().unwrap().push(building);
    let (dir, posters) = (data.path().join("cache"), posters(data.path()));
    let cache = Cache::open_or_build(&dir, &posters, &ids, SPEC, &progress).unwrap();
    let built = cache.built().unwrap();
    assert_eq!((built.why.as_str(), built.decoded), ("there was none", 5));
    let steps = steps.into_inner().unwrap();
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert!((1..=5).all(|done| steps.contains(&Building::Posters { done, of: 5 })), "{steps:?}");
    for id in [1, 2, 9, 1] {
        assert_eq!(cache.image(id).unwrap(), decoded(data.path(), id), "film {id}");
    }
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
    assert_eq!(left.len(), 3, "the cache, its lock and its ledger: {left:?}");
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
        assert_eq!(both.image(id).unwrap(), decoded(data.path(), id), "film {id}");
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
        (&patched(8, 6), "a cache of version 7, not 1"),
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
    assert!(built.why.contains("the list of refused posters is damaged") && built.decoded == 3, "{built:?}");
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

/// Tests files under the name of a build in progress: one of another plan, or of none, is started
/// over.
#[test]
fn what_another_plan_left_is_started_over() {
    let data = data();
    let finished = fs::read(Cache::path_in(&data.path().join("cache"), open(data.path(), &[1, 2, 4]).spec())).unwrap();
    fs::remove_dir_all(data.path().join("cache")).unwrap();
    fs::create_dir(data.path().join("cache")).unwrap();
    for left in [&b""[..], b"BUILDING", &[7; 100_000], &finished] {
        write(data.path(), "cache/posters-24x16.building", left);
        let cache = open(data.path(), &[1, 2, 3]);
        assert_eq!(cache.image(3).unwrap(), decoded(data.path(), 3));
        fs::remove_file(cache.path()).unwrap();
    }
    // A finished file of the same plan has only to be renamed; what a kill left of a ledger is
    // removed.
    let foreign =
        [".ledger.json.a1b2c3", ".ledger.json.onesheet-a1b2c3d", ".ledger.json.onesheet-a1b2c-", "ledger.json~"];
    for name in [".ledger.json.onesheet-a1b2c3", foreign[0], foreign[1], foreign[2], foreign[3]] {
        write(data.path(), &format!("cache/{name}"), "{");
    }
    write(data.path(), "cache/posters-24x16.building", &finished);
    let cache = open(data.path(), &[1, 2, 4]);
    assert_eq!(cache.built().unwrap().decoded, 0);
    assert_eq!(fs::read(cache.path()).unwrap(), finished);
    assert!(!data.path().join("cache/.ledger.json.onesheet-a1b2c3").exists());
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
    let error = Cache::open_or_build(&dir, &posters, &[1], SPEC, &|_| ()).err().unwrap();
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
    std::thread::scope(|scope| {
        let builder = scope.spawn(|| Cache::open_or_build(&dir, &posters, &[1, 2], SPEC, &|at| tell.send(at).unwrap()));
        assert_eq!(told.recv().unwrap(), Building::Waits);
        lock.unlock().unwrap();
        assert_eq!(builder.join().unwrap().unwrap().len(), 2);
    });
}
