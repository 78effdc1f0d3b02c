//! What a user of other programs tries first, and what there is here instead.

const NO_GPU: &str = "onesheet computes on CPUs alone; --threads N limits the cores that it takes";
const THREADS: &str = "name --threads N: as many threads decode posters beside the training";
const STOPPING: &str = "name --patience N, the epochs to wait for a better one; --monitor says by which metric";
const CLIPPING: &str = "name --clip-norm F, the most that the norm of all gradients together may be";
const MONITOR: &str = "name --monitor auto|loss|ap|auc|top1|top3, the metric on val that chooses the epoch";
const SPLIT: &str = "the split is 80/10/10 by a hash of the film's id, the same in every run; --limit-val N validates \
                     on fewer films";
/// The answer to whoever wants to go on with a run.
pub const RESUME: &str = "to go on with a run that did not finish, give the same options and --resume, or `train run \
                      --config OUT/config.toml --resume`; to train a trained model further, --init-from OUT/EXPERIMENT";
const OUTPUT: &str = "name the folder of the results as --out DIR";
const QUIET: &str = "-q (--quiet) shows results, warnings and errors alone";
const CHECKPOINT: &str = "a checkpoint is written after each epoch and every --checkpoint-every N minutes; the model is \
                          in OUT/EXPERIMENT/model.safetensors, and --keep best|last chooses its epoch";
const FLIP: &str = "name --flip true or --flip false";
const THRESHOLD: &str = "each genre has a threshold of its own: --tune-thresholds true when the model is trained";
const DROP: &str = "the learning rate follows --warmup SHARE and --schedule constant|cosine, and falls where --plateau N \
                    epochs bring no better one";
const NAMED_MODEL: &str = "name the folder of the trained experiment without an option, such as `train predict \
                           runs/1/multi-label POSTER`";

/// Options of other programs, and what there is here instead.
const OPTIONS: &[(&[&str], &str)] = &[
    (&["--continue", "--resume-from", "--restart", "--ckpt", "--checkpoint", "--ckpt-path"], RESUME),
    (&["--gpu", "--gpus", "--cuda", "--device", "--devices", "--no-cuda", "--use-gpu", "--accelerator"], NO_GPU),
    (
        &["--amp", "--fp16", "--bf16", "--half", "--mixed-precision", "--dtype"],
        "name --precision bf16, or --precision auto, which takes bf16 where the machine multiplies it faster",
    ),
    (&["--workers", "--num-workers", "--jobs", "-j", "--cpus", "--cores", "--num-threads", "--n-jobs"], THREADS),
    (&["--early-stopping", "--early-stop", "--stop-early", "--early-stopping-patience"], STOPPING),
    (&["--clip", "--grad-clip", "--clip-grad", "--clipnorm", "--max-grad-norm", "--gradient-clip-val"], CLIPPING),
    (&["--metric", "--watch", "--best-metric", "--eval-metric", "--checkpoint-metric"], MONITOR),
    (&["--reduce-lr-on-plateau", "--lr-patience", "--plateau-patience"], "name --plateau N, and --plateau-factor F"),
    (&["--val-split", "--validation-split", "--test-split", "--split-ratio", "--test-size", "--val-size"], SPLIT),
    (
        &["--kfold", "--k-fold", "--cv", "--cross-validation", "--cross-validate", "--n-splits", "--n-folds"],
        "name --folds N, by which every film but the test films is predicted",
    ),
    (&["--save-dir", "--output", "--output-dir", "--out-dir", "--outdir", "-o", "--project", "--logdir"], OUTPUT),
    (
        &["--force", "-f", "--exist-ok", "--clobber", "--yes", "-y"],
        "--overwrite replaces the results of an earlier run",
    ),
    (&["--silent", "--no-progress", "--progress", "--no-bar"], QUIET),
    (&["--debug", "--trace", "--log-level", "--verbosity"], "-v (--verbose) shows more"),
    (&["--no-color", "--no-colour", "--color", "--colour"], "NO_COLOR=1 in the environment turns colours off"),
    (&["--save-best", "--save-best-only", "--save-model", "--save", "--save-every", "--save-period"], CHECKPOINT),
    (&["--best-checkpoint", "--checkpoint-best", "--restore-best-weights"], "--keep best keeps the best epoch"),
    (&["--no-flip", "--hflip", "--horizontal-flip", "--mirror", "--fliplr"], FLIP),
    (
        &["--augment", "--no-augment", "--augmentation"],
        "name the variations: --flip, --crop, --jitter, --randaugment, --cutout, --mixup, --cutmix",
    ),
    (
        &["--rand-augment", "--auto-augment", "--aa", "--trivial-augment", "--trivialaugment"],
        "name --randaugment N and --magnitude SHARE",
    ),
    (&["--threshold", "--conf", "--confidence", "--cutoff"], THRESHOLD),
    (&["--lr-scheduler", "--scheduler", "--lr-schedule", "--lr-decay", "--cos-lr", "--cosine"], DROP),
    (&["--image-size", "--img-size", "--imgsz", "--size", "--resolution", "--input-size"], "name --input N"),
    (&["--iterations", "--max-steps", "--num-steps"], "name --steps N"),
    (&["--time", "--max-time", "--time-limit", "--max-hours"], "name --hours H"),
    (&["--num-epochs", "--epoch", "--n-epochs", "-e", "--max-epochs"], "name --epochs N"),
    (&["--bs", "-b", "--batchsize", "--batch-sz", "--minibatch"], "name --batch N, the batch size"),
    (&["--random-seed", "--random-state", "--rng", "-s"], "name --seed N"),
    (&["--learningrate", "--alpha", "--eta"], "name --lr F, the learning rate"),
    (&["--optim", "--opt"], "name --optimizer adam|adamw|sgd"),
    (&["--decay", "--wd", "--l2"], "name --weight-decay F"),
    (&["--model", "--arch", "--backbone", "--network", "--weights", "--load"], NAMED_MODEL),
    (&["--pretrained", "--finetune", "--fine-tune", "--transfer-from"], "name --init-from RUN, a trained experiment"),
    (&["--csv-file", "--labels", "--annotations", "--dataset", "--data-dir", "--input-dir", "-d"], "name --data DIR"),
    (&["--images", "--image", "--poster", "--posters", "--file", "--files", "-i"], "name posters without an option"),
    (
        &["--gradcam", "--grad-cam", "--cam", "--heatmap", "--heat-map", "--saliency", "--visualize", "--why"],
        "name --explain DIR, a folder for pictures of what the model looked at",
    ),
    (&["--topk", "--top-k", "-k", "-n"], "name --top N"),
    (&["--format", "--output-format"], "name --json, --jsonl or --csv"),
    (&["--opset", "--opset-version"], "the file takes ONNX's operators of version 17, which every runtime has"),
    (
        &["--class-weights", "--class-weight", "--oversample", "--undersample"],
        "name --balance weights|sampler|undersample",
    ),
];

/// Commands of other programs, and those that do the same here.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["version"], "--version"),
    (&["completion", "complete", "autocomplete", "shell-completion"], "completions"),
    (&["manual", "manpage", "docs"], "man"),
    (&["train", "fit", "start", "learn", "training"], "run"),
    (&["eval", "test", "validate", "val", "score", "measure", "benchmark"], "evaluate"),
    (&["infer", "inference", "classify", "label", "tag", "detect", "prediction"], "predict"),
    (&["check", "inspect", "info", "stats", "analyze", "analyse", "validate-data"], "doctor"),
    (&["tune", "search", "grid", "optimize", "hyperopt", "gridsearch"], "sweep"),
    (&["prepare", "preprocess", "decode", "build"], "cache build"),
    (&["convert", "onnx", "to-onnx", "export-onnx", "freeze"], "export"),
    (&["diff", "versus", "vs", "significance"], "compare"),
    (&["plot", "html", "visualize", "visualise", "show", "summary"], "report"),
    (&["example", "generate", "draw", "synthetic"], "demo"),
];

/// What there is instead of an option of other programs, if it is known as one.
pub fn instead_of_option(name: &str) -> Option<&'static str> {
    look_up(OPTIONS, name)
}

/// The command that does what another program's command of that name does.
pub fn instead_of_command(name: &str) -> Option<&'static str> {
    look_up(COMMANDS, &name.to_lowercase())
}

fn look_up(table: &[(&[&str], &'static str)], name: &str) -> Option<&'static str> {
    table.iter().find(|(names, _)| names.contains(&name)).map(|(_, instead)| *instead)
}
