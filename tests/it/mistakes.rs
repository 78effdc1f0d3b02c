//! Command lines that make no sense as they are, and the one line that answers each.

use crate::cli::{assert_one_line, posters, run_folder, train};

#[test]
fn mistakes_of_newcomers_are_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let (data, run) = (posters().display().to_string(), run_folder().display().to_string());
    for (line, code, parts) in [
        // What other programs call it.
        ("run --data DATA --continue", 2, &["--resume", "--init-from"][..]),
        ("run --data DATA --gpu 0", 2, &["CPUs", "--threads"]),
        ("run --data DATA --device=cuda:0", 2, &["--device", "CPUs"]),
        ("run --data DATA --workers 4", 2, &["--threads"]),
        ("run --data DATA -j4", 2, &["-j", "--threads"]),
        ("run --data DATA --val-split 0.2", 2, &["80/10/10", "--limit-val"]),
        ("run --data DATA --early-stopping", 2, &["--patience N"]),
        ("run --data DATA --grad-clip 1", 2, &["--clip-norm F"]),
        ("run --data DATA --scheduler cosine", 2, &["--schedule constant|cosine", "--plateau N"]),
        ("run --data DATA --reduce-lr-on-plateau", 2, &["--plateau N", "--plateau-factor F"]),
        ("run --data DATA --metric auc", 2, &["--monitor"]),
        ("run --data DATA --save-dir x", 2, &["--out DIR"]),
        ("run --data DATA -o x", 2, &["--out DIR"]),
        ("run --data DATA --force", 2, &["--overwrite"]),
        ("run --data DATA --silent", 2, &["--quiet"]),
        ("run --data DATA --log-level debug", 2, &["--verbose"]),
        ("run --data DATA -q -v", 2, &["--quiet", "--verbose"]),
        ("run --data DATA --img-size 128", 2, &["--input N"]),
        ("run --data DATA --no-flip", 2, &["--flip true or --flip false"]),
        ("run --data DATA --amp", 2, &["--precision bf16"]),
        ("run --data DATA --pretrained x", 2, &["--init-from"]),
        ("train --data DATA", 2, &["no command train", "`train run`"]),
        ("fit DATA", 2, &["`train run`"]),
        ("eval RUN", 2, &["`train evaluate`"]),
        ("classify x.jpg", 2, &["`train predict`"]),
        ("resume", 2, &["/config.toml --resume`"]),
        ("version", 2, &["--version"]),
        // Numbers as they are written elsewhere.
        ("run --data DATA --lr 0,001", 2, &["--lr 0,001", "write 0.001, with a point"]),
        ("run --data DATA --lr -1", 2, &["-1 is negative"]),
        ("run --data DATA --seed -1", 2, &["-1 is negative"]),
        ("run --data DATA --lr abc", 2, &["--lr abc", "number such as 0.5"]),
        ("run --data DATA --epochs 1e3", 2, &["whole number", "write 1000"]),
        ("run --data DATA --epochs 10k", 2, &["write 10000"]),
        ("run --data DATA --epochs 1_000", 2, &["write 1000"]),
        ("run --data DATA --epochs 0", 2, &["at least 1"]),
        ("run --data DATA --epochs ten", 2, &["whole number", "train run --help"]),
        ("run --data DATA --epochs", 2, &["no value", "--epochs <N>"]),
        ("run --data DATA --dropout 50%", 2, &["write the share as 0.5"]),
        ("run --data DATA --dropout 50", 2, &["below 1"]),
        ("run --data DATA --batch 0", 2, &["from 1 to 4096"]),
        ("run --data DATA --input 512", 2, &["from 1 to 256"]),
        ("run --data DATA --out OUT --progressive 96,160", 2, &["grow up to --input", "160 is not smaller than 128"]),
        ("run --data DATA --out OUT --progressive 16,96", 2, &["--progressive 16 is too small", "--filters"]),
        ("run --data DATA --out OUT --recipe report --progressive 96", 2, &["--pooling average"]),
        ("run --data DATA --progressive 96,,112", 2, &["such as 96,112"]),
        ("run --data DATA --input 160x0", 2, &["from 1 to 256"]),
        ("run --data DATA --input 160:112", 2, &["such as 160x112"]),
        ("run --data DATA --out OUT --input 160x16", 2, &["--input 160x16 is too small", "--input 160x32 or more"]),
        ("run --data DATA --out OUT --magnitude 0.3", 2, &["--magnitude is of --randaugment"]),
        ("run --data DATA --filters 16 32 64", 2, &["--filters 16,32,64"]),
        // Spelling.
        ("run --data DATA --weight_decay 0.1", 2, &["write --weight-decay"]),
        ("run --data DATA -epochs 5", 2, &["one dash", "write --epochs"]),
        ("run --data DATA –epochs 5", 2, &["typographic dash", "write --epochs"]),
        ("run --dat DATA", 2, &["is it --data?"]),
        ("run --data DATA --recipe keras", 2, &["best, long, patterns, report"]),
        ("run --data DATA --optimizer rmsprop", 2, &["adam, adamw, sgd"]),
        ("run --data DATA --flip", 2, &["true, false"]),
        // Folders and files in each other's place.
        ("run", 2, &["--data", "genres.csv"]),
        ("run DATA", 2, &["stands alone", "--data DATA"]),
        ("DATA", 2, &["train run --data DATA"]),
        ("--data DATA", 2, &["the command is missing", "`train run`"]),
        ("run --data DATA/genres.csv", 3, &["it is a file", "--data DATA"]),
        ("run --data DATA/posters", 3, &["no genres.csv", "--data DATA"]),
        ("run --data nowhere", 3, &["nowhere", "no such folder", "genres.csv"]),
        ("doctor DATA", 2, &["--data DATA"]),
        ("doctor --data DATA/genres.csv", 3, &["it is a file", "--data DATA"]),
        ("evaluate RUN --data DATA", 3, &["no model.safetensors", "RUN/multi-label"]),
        ("evaluate RUN/multi-label", 2, &["--data <DIR> is missing"]),
        ("evaluate RUN/multi-label DATA", 2, &["--data DATA"]),
        ("evaluate RUN/multi-label --data DATA --split validation", 2, &["train, val or test"]),
        ("predict RUN/multi-label --data DATA", 2, &["`train run`", "`train evaluate`"]),
        ("predict", 2, &["trained experiment", "multi-label"]),
        ("cache", 2, &["build, verify or info"]),
        ("cache rebuild", 2, &["build, verify or info"]),
        ("cache verify DATA", 2, &["--cache DATA"]),
        ("demo", 2, &["--out DIR"]),
        ("sweep --data DATA --out OUT", 2, &["--vary", "lr=1e-3 3e-3"]),
        ("sweep --data DATA --out OUT --vary lr=0,1", 2, &["lr=0,1", "write 0.1"]),
        // What does not go together.
        ("run --data DATA --out OUT --input 130 --stem 4", 2, &["--stem 4", "--input 130", "sides that 4 divides"]),
        ("run --data DATA --out OUT --input 32 --stem 2", 2, &["--input 32 is too small", "--input 64 or more"]),
        ("run --data DATA --out OUT --stem 2 --progressive 99", 2, &["--stem 2", "--progressive 99"]),
        ("run --data DATA --out OUT --input 16", 2, &["--input 16 is too small", "--filters", "--input 32 or more"]),
        ("run --data DATA --out OUT --filters 4,4,4,4,4,4,4,4,4", 2, &["--filters names 9 blocks", "fewer"]),
        ("run --data DATA --out OUT --recipe report --optimizer adamw", 2, &["--weight-decay"]),
        ("run --data DATA --nesterov", 2, &["--optimizer sgd"]),
        ("run --data DATA --cache c --no-cache", 2, &["leave one of them out"]),
    ] {
        let fill = |text: &str| text.replace("DATA", &data).replace("RUN", &run).replace("OUT", &out);
        let args: Vec<String> = line.split(' ').map(fill).collect();
        let parts: Vec<String> = parts.iter().map(|part| fill(part)).collect();
        let outcome = train(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_one_line(&outcome, code, &parts.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(!outcome.stderr.contains("Usage:"), "{line}: {}", outcome.stderr);
    }
    assert!(!folder.path().join("out").exists(), "nothing was made");
}
