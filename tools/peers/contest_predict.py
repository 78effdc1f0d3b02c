"""Predictions of trained models beside other runtimes: `tools/compare --predict`."""

import statistics

from contest import (BUSY, OURS, OURS_BF16, PEERS, PLAIN, PREDICT, Clock, Failure, build_ours, call, environment, figure,
                     machine, measure, say, virtual_environment)

# OpenVINO takes its hint at its word: for latency all threads work on one batch, for throughput each on a batch of its
# own. The time of a single batch is a latency, so batch 1 is measured with that hint alone.
RUNTIMES = {
    "onnxruntime": ("ONNX Runtime", ["--runtime", "onnxruntime"]),
    "openvino": ("OpenVINO f32, latency hint", ["--runtime", "openvino"]),
    "openvino-throughput": ("OpenVINO f32, throughput hint", ["--runtime", "openvino", "--hint", "throughput"]),
    "openvino-bf16": ("OpenVINO bf16, latency hint", ["--runtime", "openvino", "--precision", "bf16"]),
    "openvino-bf16-throughput": ("OpenVINO bf16, throughput hint",
                                 ["--runtime", "openvino", "--precision", "bf16", "--hint", "throughput"]),
}
BATCHES = [1, 32]


def compare_predict(options):
    """Answers of trained models beside other runtimes on their exports, in turn; prints a table for each model.

    All get the same: bytes in the size of the network, one view. The export is folded, which is the best form for them."""
    bench, python = build_ours("predict"), virtual_environment(options, "onnx")
    options.work.mkdir(parents=True, exist_ok=True)
    for run in options.predict:
        file = options.work / "predict.onnx"
        call(["cargo", "run", "--release", "--locked", "--quiet", "--", "export", str(run.absolute()), "--onnx", str(file),
              "--input", "pixels", "--views", "one", "--fold"])
        ours = [bench, "--run", str(run.absolute()), "--bench"]
        programs = {OURS.name: ours, OURS_BF16.name: [*ours, "--bf16"]}
        for name, (_, arguments) in RUNTIMES.items():
            programs[name] = [python, str(PEERS / "onnx_predict.py"), *arguments, "--model", str(file)]
        rows, versions, others = rounds(options, programs)
        print(f"{run}\n")
        print_table(rows, versions)
        print()
        if others and max(others) > BUSY:
            print(f"- **Not to be quoted:** in {sum(x > BUSY for x in others)} of {len(others)} runs other processes had "
                  f"more than {BUSY} cores (at most {max(others):.2f}).")
        m = machine(options)
        print(f"- {m['cpu']}, {m['threads']} threads, instruction set: {options.isa}; {options.steps} timed calls, medians "
              f"of {options.rounds} rounds, range in brackets; {'; '.join(dict.fromkeys(versions.values()))}\n")


def rounds(options, programs):
    """{(name, batch): {round: images per second}}, {name: version}, and how many cores others had in each run."""
    env, rows, versions, others = environment(options, PLAIN), {}, {}, []
    turns = [(name, batch) for batch in BATCHES for name in programs if batch > 1 or "throughput" not in name]
    for r in range(options.rounds):
        start = r * len(turns) // options.rounds
        for name, batch in turns[start:] + turns[:start]:
            amount = ["--batch", str(batch), "--steps", str(options.steps), "--threads", str(options.threads)]
            clock, label = Clock(), f"round {r + 1}/{options.rounds}, {name}, batch {batch}"
            try:
                line = measure([*programs[name], *amount], env, options.timeout, [PREDICT])
            except Failure as failure:
                say(f"{label}: {failure}")
                continue
            if name in RUNTIMES:
                versions[name] = line["version"]
            rows.setdefault((name, batch), {})[r] = line[PREDICT]
            others.append(clock.read()["others_cores"])
            say(f"{label}: {line[PREDICT]:.1f} img/s (others had {others[-1]:.2f} cores)")
    return rows, versions, others


def print_table(rows, versions):
    """Medians, ranges and ratios; ours are compared round by round."""
    heads = ["batch 1, ms", "img/s", "ours / theirs", "batch 32, img/s", "ours / theirs"]
    print("| | " + " | ".join(heads) + " |\n|---|" + "--:|" * len(heads))
    titles = {ours.name: ours.title for ours in (OURS, OURS_BF16)} | {name: title for name, (title, _) in RUNTIMES.items()}
    for name, title in titles.items():
        line = [title]
        for batch in BATCHES:
            speeds, mine = rows.get((name, batch), {}), rows.get((OURS.name, batch), {})
            ratios = [mine[r] / speed for r, speed in speeds.items() if r in mine]
            latency = [f"{1000 / statistics.median(speeds.values()):.2f}" if speeds else ""] if batch == 1 else []
            spread = (f"{figure(statistics.median(speeds.values()))} "
                      f"({figure(min(speeds.values()))}-{figure(max(speeds.values()))})" if speeds else "")
            ratio = "" if name == OURS.name or not ratios else figure(statistics.median(ratios))
            line += [*latency, spread, ratio]
        print("| " + " | ".join(line) + " |")
