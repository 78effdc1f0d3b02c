//! Whole inputs to begin with: the files of a small run, and posters of every kind that there is.

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with the files of a run.
pub struct Seeds {
    folder: tempfile::TempDir,
}

/// The image size of the run.
pub const SIDE: usize = 16;
/// The folder, in that of the seeds, of the run's only experiment.
const RUN: &str = "run/multi-label";

impl Seeds {
    /// Trains a small model.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let train = |line: &str| {
            let done = Command::new(env!("CARGO_BIN_EXE_train"))
                .args(line.split_whitespace())
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(done.status.success(), "train {line}: {}", String::from_utf8_lossy(&done.stderr));
        };
        train("demo --out data --films 60");
        train(&format!(
            "run --data data --cache cache --experiment multi-label --recipe report --input {SIDE} --filters 4 \
             --dense 0 --padding same --batch 16 --epochs 2 --threads 1 --out run"
        ));
        super::targets::RUN.set(folder.path().join(RUN)).unwrap();
        Self { folder }
    }

    /// The whole inputs of a target.
    pub fn of(&self, target: &str) -> Vec<Vec<u8>> {
        let all_in = |folder: PathBuf| {
            let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        };
        let files = match target {
            "labels" => vec![self.path("data/genres.csv")],
            "cache" => all_in(self.path("cache")),
            "model" => vec![self.path(RUN).join("model.safetensors")],
            "results" => super::targets::RESULTS.iter().map(|name| self.path(RUN).join(name)).collect(),
            "poster" => all_in(self.path("data/posters")).into_iter().take(3).collect(),
            _ => Vec::new(),
        };
        let mut seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        match target {
            "labels" => seeds.extend(LABELS.map(|text| text.into())),
            "poster" => seeds.extend(posters()),
            "checkpoint" => seeds.extend(with_and_without_checksum(super::targets::checkpoint_bytes())),
            "model" => seeds = seeds.into_iter().flat_map(with_and_without_checksum).collect(),
            // Which file it is stands before it.
            "results" => seeds.iter_mut().enumerate().for_each(|(i, bytes)| bytes.insert(0, i as u8)),
            "kernels" => {
                seeds.extend((0..200u8).map(|i| (0..40u8).map(|j| i.wrapping_mul(31) ^ j.wrapping_mul(i)).collect()))
            }
            _ => {}
        }
        seeds
    }

    fn path(&self, of: &str) -> PathBuf {
        self.folder.path().join(of)
    }

    /// Writes all seeds, a folder a target, and the run that results are shown in.
    pub fn write(&self, to: &Path) {
        for target in super::targets::ALL {
            let folder = to.join(target.name);
            fs::create_dir_all(&folder).unwrap();
            for (i, seed) in self.of(target.name).iter().enumerate() {
                fs::write(folder.join(format!("seed-{i}")), seed).unwrap();
            }
        }
        // The run itself, whose files one of the targets puts one by one in the place of its own.
        fs::create_dir_all(to.join(RUN)).unwrap();
        for name in super::targets::RESULTS {
            fs::copy(self.path(RUN).join(name), to.join(RUN).join(name)).unwrap();
        }
    }
}

/// A model file or a checkpoint, and the same without its checksum, whose content is read whatever it is.
fn with_and_without_checksum(file: Vec<u8>) -> [Vec<u8>; 2] {
    let mut without = file.clone();
    let at = file.windows(8).position(|window| window == b"checksum").expect("it has a checksum");
    without[at] = b'C';
    [file, without]
}

/// What a genre list may look like without being that of the demo.
const LABELS: [&str; 8] = [
    "id,genre\n1,Drama\n1,Comedy\n2,Horror\n",
    "\u{feff}id;genre\r\n1;\"Science Fiction\"\r\n2;\"Dra\"\"ma\"\r\n",
    "genre\tid\nDrama\t7\n",
    "id,genres\n1,\"['Drama', 'War']\"\n2,[]\n",
    "id,genre\n18446744073709551615,Drama\n-1,Drama\n1.0,Drama\n,Drama\n",
    "id,genre\n1,\n1,\"a\nb\"\n1,\u{202e}Drama\n",
    "id,genre\n",
    "",
];

/// JPEG files of every kind that the encoder writes: colours, samplings, progressive or not, with and
/// without restarts, odd sizes.
fn posters() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let colours = [(ColorType::Rgb, 3), (ColorType::Luma, 1), (ColorType::Cmyk, 4), (ColorType::CmykAsYcck, 4)];
    let samplings = [SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_1_2, SamplingFactor::F_2_2];
    for (width, height) in [(40u16, 56u16), (17, 9), (1, 1), (100, 3)] {
        for (colour, channels) in colours {
            let pixels = 0..usize::from(width) * usize::from(height) * channels;
            let pixels: Vec<u8> = pixels.map(|i| (i * 7 % 251) as u8).collect();
            for sampling in samplings {
                for kind in 0..4 {
                    let mut file = Vec::new();
                    let mut encoder = Encoder::new(&mut file, 60);
                    encoder.set_sampling_factor(sampling);
                    encoder.set_progressive(kind & 1 != 0);
                    if kind & 2 != 0 {
                        encoder.set_restart_interval(2);
                    }
                    encoder.encode(&pixels, width, height, colour).unwrap();
                    all.push(file);
                }
            }
        }
    }
    all
}
