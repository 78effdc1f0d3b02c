//! Tests of `src/data`, and the small files that they share.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};

use jpeg_encoder::{ColorType, Encoder};
use onesheet::data::layout::PosterFolder;
use onesheet::data::ledger::Ledger;

mod auxiliary;
mod batches;
mod beside;
mod cache;
mod decode;
mod demo;
mod duplicates;
mod films;
mod frames;
mod labels;
mod ledger;
mod resize;
mod retouch;
mod split;
mod transform;
mod twins;

/// A JPEG file of `width` by `height` pixels with a smooth picture that differs for each `seed`.
pub fn jpeg(seed: u64, width: u16, height: u16) -> Vec<u8> {
    encode(&pixels(seed, width, height), width, height, ColorType::Rgb, |_| {})
}

/// The RGB pixels of a smooth picture.
pub fn pixels(seed: u64, width: u16, height: u16) -> Vec<u8> {
    let mut rgb = Vec::new();
    for y in 0..u64::from(height) {
        for x in 0..u64::from(width) {
            let wave = |a: u64, b: u64| (((x * a + y * b + seed * 37) as f64 / 40.0).sin() * 90.0 + 120.0) as u8;
            rgb.extend([wave(1, 2), wave(3, 1), wave(2, 2 + seed % 3)]);
        }
    }
    rgb
}

/// A JPEG file at quality 95, with whatever else `set` asks for.
pub fn encode(
    samples: &[u8],
    width: u16,
    height: u16,
    colours: ColorType,
    set: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, 95);
    set(&mut encoder);
    encoder.encode(samples, width, height, colours).expect("encoding a picture in memory");
    file
}

/// A folder in the Letterboxd layout: `genres.csv` with the text `csv`, and a poster for each of
/// `ids`.
pub fn letterboxd(csv: &str, ids: impl IntoIterator<Item = u64>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "genres.csv", csv);
    fs::create_dir(folder.path().join("posters")).expect("posters/");
    for id in ids {
        write(folder.path(), &format!("posters/{id}.jpg"), jpeg(id, 20, 30));
    }
    folder
}

/// The posters of a folder in that layout, as they are now.
pub fn posters(data: &Path) -> PosterFolder {
    PosterFolder::list(&data.join("posters"), &mut Ledger::default()).expect("listing posters/")
}

/// Writes one file.
pub fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(folder.join(name), content).expect("writing a test's file");
}

/// Runs one test of this binary in a process of its own, which may have few files open; `set` adds
/// to its environment.
pub fn child(test: &str, set: &[(&str, &str)]) -> Output {
    let mut sh = Command::new("sh");
    sh.args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\" --nocapture --test-threads=1"]);
    sh.arg(std::env::current_exe().expect("the path of the tests")).arg(test);
    sh.env("ONESHEET_CHILD", "1").envs(set.iter().copied()).output().expect("a shell")
}

/// Whether this process was started by [`child`].
pub fn is_child() -> bool {
    std::env::var_os("ONESHEET_CHILD").is_some()
}

/// Opens files until the system gives no more.
pub fn use_up_file_handles() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}
