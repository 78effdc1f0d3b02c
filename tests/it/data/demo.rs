//! The demo set: its layout, its oddities, its repeatability, and that its colours alone give
//! little away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use onesheet::Error;
use onesheet::data::demo::{Summary, draw, draw_patterns};
use onesheet::files::Lock;
use sha2::{Digest, Sha256};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;
use zune_jpeg::{JpegDecoder, zune_core::colorspace::ColorSpace};

/// All files below a folder, by their path relative to the folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(path).unwrap());
        }
    }
    found
}

/// `genres.csv`, read without the library's own reader.
fn genres(files: &BTreeMap<String, Vec<u8>>) -> BTreeMap<u64, Vec<String>> {
    let mut films: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut lines = std::str::from_utf8(&files["genres.csv"]).unwrap().lines();
    assert_eq!(lines.next(), Some("id,genre"));
    for line in lines {
        let (id, genre) = line.split_once(',').unwrap();
        films.entry(id.parse().unwrap()).or_default().push(genre.into());
    }
    films
}

/// The width, height and RGB bytes of a poster; decoding is strict, so that a file that breaks off
/// is an error.
fn decode(jpeg: &[u8]) -> Result<(usize, usize, Vec<u8>), String> {
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().unwrap();
    Ok((width, height, pixels))
}

#[test]
fn the_same_arguments_give_the_same_bytes_on_every_machine() {
    let out = tempfile::tempdir().unwrap();
    draw(out.path(), 40, 7).unwrap();
    let mut hash = Sha256::new();
    for (name, bytes) in files(out.path()) {
        hash.update(name);
        hash.update(bytes);
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "4a665ad8e09d6fb618de81f5ba14b5f900ca774694f818e3e4d0fdd4776d690a");
}

/// Patterns depend on nothing but the arguments, each kind has as many as any other, and two of a kind are
/// two pictures.
#[test]
fn patterns_are_drawn_of_all_kinds_alike() {
    let out = tempfile::tempdir().unwrap();
    assert!(draw_patterns(out.path(), 14, 4, 7).unwrap());
    assert!(!draw_patterns(out.path(), 14, 4, 7).unwrap(), "it is there already");
    let files = files(out.path());
    let mut of_kind: BTreeMap<String, BTreeSet<&[u8]>> = BTreeMap::new();
    let mut hash = Sha256::new();
    for (id, kinds) in genres(&files) {
        let [kind] = &kinds[..] else { panic!("{id} has {kinds:?}") };
        let jpeg = &files[&format!("posters/{id}.jpg")];
        let (width, height, pixels) = decode(jpeg).unwrap();
        assert_eq!((width, height), (160, 160));
        let brightest = pixels.iter().max().unwrap() - pixels.iter().min().unwrap();
        assert!(brightest > 20, "{id} is of one colour");
        hash.update(jpeg);
        of_kind.entry(kind.clone()).or_default().insert(jpeg);
    }
    let counts: Vec<(&str, usize)> = of_kind.iter().map(|(kind, pictures)| (&kind[..], pictures.len())).collect();
    assert_eq!(counts, [("pattern 1", 4), ("pattern 2", 4), ("pattern 3", 3), ("pattern 4", 3)]);
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "2183ab9fb15816a75fdeab416549076c5bb25334b7dc2fd3dfd9a98a8a7d356d");
    let note = String::from_utf8(files["README.txt"].clone()).unwrap();
    assert!(note.starts_with("Patterns") && note.contains("kinds 4\n") && !note.contains("UNFINISHED"), "{note}");

    for (films, kinds) in [(14, 1), (14, 15), (9, 2), (1_000_001, 2)] {
        let refusal = draw_patterns(&out.path().join("other"), films, kinds, 7).unwrap_err();
        assert!(refusal.to_string().contains(&format!("{films} patterns of {kinds} kinds")), "{refusal}");
    }
    let refusal = draw_patterns(out.path(), 14, 5, 7).unwrap_err();
    assert!(refusal.to_string().contains("is not empty"), "{refusal}");
}

#[test]
fn a_larger_set_begins_with_the_smaller_one_and_another_seed_is_another_set() {
    let root = tempfile::tempdir().unwrap();
    let set = |name, films, seed| {
        let out = root.path().join(name);
        draw(&out, films, seed).unwrap();
        files(&out)
    };
    let (small, large, other) = (set("small", 10, 1), set("large", 14, 1), set("other", 10, 2));
    for (name, bytes) in small.iter().filter(|(name, _)| name.starts_with("posters/")) {
        assert_eq!(large.get(name), Some(bytes), "{name}");
        assert_ne!(other.get(name), Some(bytes), "{name}");
    }
    assert_eq!(large.len(), small.len() + 4);
    assert!(large["genres.csv"].starts_with(&small["genres.csv"]));
    assert_ne!(other["genres.csv"], small["genres.csv"]);
}

#[test]
fn every_set_has_the_four_oddities_and_says_that_it_is_synthetic() {
    let out = tempfile::tempdir().unwrap();
    let summary = draw(out.path(), 10, 3).unwrap();
    let files = files(out.path());
    let films = genres(&files);
    let posters: Vec<u64> = files
        .keys()
        .filter_map(|name| name.strip_prefix("posters/")?.strip_suffix(".jpg"))
        .map(|id| id.parse().unwrap())
        .collect();

    assert_eq!(films.keys().filter(|id| !posters.contains(id)).count(), 1, "films without a poster");
    assert_eq!(posters.iter().filter(|id| !films.contains_key(id)).count(), 1, "posters without a film");
    assert_eq!(films.values().filter(|genres| genres.len() == 4).count(), 1, "films with four genres");
    let broken: Vec<_> = posters.iter().filter(|id| decode(&files[&format!("posters/{id}.jpg")]).is_err()).collect();
    assert_eq!(broken.len(), 1, "posters that do not decode: {broken:?}");
    assert!(films.contains_key(broken[0]) && films[broken[0]].len() < 4, "the broken poster's film is an ordinary one");

    let single_genre = films.values().filter(|genres| genres.len() == 1).count();
    let rows = films.values().map(Vec::len).sum();
    assert_eq!(summary, Summary { films: films.len(), single_genre, rows, posters: posters.len(), drawn: true });
    let note = String::from_utf8(files["README.txt"].clone()).unwrap();
    assert!(note.starts_with("Synthetic") && note.contains("films 10\n") && note.contains("seed 3\n"), "{note}");
    assert_eq!(files.len(), posters.len() + 2, "nothing else is left in the folder");
}

#[test]
fn genres_are_uneven_and_mean_colour_is_a_poor_guide_to_them() {
    let out = tempfile::tempdir().unwrap();
    let summary = draw(out.path(), 500, 1).unwrap();
    let files = files(out.path());
    let films = genres(&files);
    let single: Vec<(u64, &str)> =
        films.iter().filter(|(_, genres)| genres.len() == 1).map(|(&id, genres)| (id, genres[0].as_str())).collect();
    assert!((0.55..0.65).contains(&(summary.single_genre as f64 / 500.0)), "{summary:?}");
    assert!(films.values().all(|genres| genres.len() <= 4));

    let mut support: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, genre) in &single {
        *support.entry(genre).or_default() += 1;
    }
    let mut sizes: Vec<usize> = support.values().copied().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(sizes.len(), 10, "{support:?}");
    assert!(sizes[5] * 14 > single.len(), "the six most frequent genres can each be learned: {support:?}");
    assert!(sizes[0] < 2 * sizes[2] && sizes[0] > 2 * sizes[9], "neither one genre for all nor all alike: {support:?}");

    // The guess is by the mean red, green and blue of each poster: the class means come from films
    // with an even id, the hits are counted on the others.
    let mut means: Vec<(u64, &str, [f64; 3])> = Vec::new();
    for &(id, genre) in &single {
        let Some(Ok((width, height, pixels))) = files.get(&format!("posters/{id}.jpg")).map(|jpeg| decode(jpeg)) else {
            continue;
        };
        assert!((182..=230).contains(&width) && (268..=345).contains(&height), "{id}: {width}x{height}");
        let mut mean = [0.0; 3];
        for pixel in pixels.chunks_exact(3) {
            for (sum, &level) in mean.iter_mut().zip(pixel) {
                *sum += f64::from(level) / (width * height) as f64;
            }
        }
        means.push((id, genre, mean));
    }
    let class_means: Vec<(&str, [f64; 3])> = support
        .keys()
        .map(|&class| {
            let of_class: Vec<_> = means.iter().filter(|(id, genre, _)| id % 2 == 0 && *genre == class).collect();
            (class, [0, 1, 2].map(|i| of_class.iter().map(|(.., mean)| mean[i]).sum::<f64>() / of_class.len() as f64))
        })
        .collect();
    let distance = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    let held_out: Vec<_> = means.iter().filter(|(id, ..)| id % 2 == 1).collect();
    let hits = held_out.iter().filter(|(_, genre, mean)| {
        let nearest = class_means.iter().min_by(|a, b| distance(&a.1, mean).total_cmp(&distance(&b.1, mean)));
        nearest.unwrap().0 == *genre
    });
    let accuracy = hits.count() as f64 / held_out.len() as f64;
    // A constant answer is right for about 0.19 of the posters; the network for about 0.5 after
    // three epochs on three times as many films.
    assert!(accuracy < 0.3, "nearest mean colour is right for {accuracy:.3} of {} posters", held_out.len());
}

#[test]
fn a_finished_set_is_left_alone_and_an_interrupted_one_is_drawn_again() {
    let root = tempfile::tempdir().unwrap();
    let out = root.path().join("made/with/its/parents");
    let first = draw(&out, 10, 1).unwrap();
    let whole = files(&out);

    let poster = out.join("posters/1000001.jpg");
    fs::write(&poster, b"changed by hand").unwrap();
    assert_eq!(draw(&out, 10, 1).unwrap(), Summary { drawn: false, ..first });
    assert_eq!(fs::read(&poster).unwrap(), b"changed by hand");

    // An interrupted call leaves some of the posters and its note with the word UNFINISHED.
    let note = fs::read_to_string(out.join("README.txt")).unwrap();
    let (title, rest) = note.split_once("\n\n").unwrap();
    let unfinished = format!("{title}\nUNFINISHED: drawing was interrupted, or still goes on.\n\n{rest}");
    fs::write(out.join("README.txt"), unfinished).unwrap();
    fs::remove_file(out.join("posters/1000002.jpg")).unwrap();
    fs::remove_file(out.join("genres.csv")).unwrap();
    assert_eq!(draw(&out, 10, 1).unwrap(), first);
    assert!(files(&out) == whole, "the redrawn set differs from the first");
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_not_touched() {
    let root = tempfile::tempdir().unwrap();
    let refused = |out: &Path, films, seed| {
        let before = files(out);
        let error = draw(out, films, seed).unwrap_err();
        assert!(matches!(error, Error::Usage { .. }), "{error}");
        assert!(error.to_string().contains("name another folder"), "{error}");
        assert!(files(out) == before, "the folder was changed");
    };
    let real = root.path().join("real");
    fs::create_dir_all(real.join("posters")).unwrap();
    fs::write(real.join("genres.csv"), "id,genre\n1,Drama\n").unwrap();
    refused(&real, 10, 1);
    fs::write(real.join("README.txt"), [0xff, 0xfe]).unwrap();
    refused(&real, 10, 1);

    let demo = root.path().join("demo");
    draw(&demo, 10, 1).unwrap();
    refused(&demo, 10, 2);
    refused(&demo, 11, 1);

    for films in [0, 9, usize::MAX] {
        let error = draw(&root.path().join("odd"), films, 1).unwrap_err();
        assert!(error.to_string().contains("ask for 10 to 1000000"), "{error}");
        assert!(!root.path().join("odd").exists());
    }

    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(draw(&file, 10, 1).unwrap_err().exit_code(), 4);
}

#[test]
fn a_set_is_drawn_by_one_process_at_a_time() {
    let out = tempfile::tempdir().unwrap();
    let lock = Lock::try_claim(&out.path().join(".onesheet.lock"), "draws 10 films").unwrap();
    let refused = draw(out.path(), 10, 1).unwrap_err();
    assert!(refused.exit_code() == 2 && refused.to_string().contains("is in use: onesheet, process "), "{refused}");
    drop(lock);
    assert!(draw(out.path(), 10, 1).unwrap().drawn);
    assert!(!draw(out.path(), 10, 1).unwrap().drawn);
}
