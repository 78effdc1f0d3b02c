"""Decoding beside other libraries: `tools/compare --decode`."""

import json
import statistics
import subprocess

from contest import OURS, PEERS, PLAIN, Clock, Failure, build_ours, environment, say, virtual_environment

DECODERS = ["tf.data", "pillow", "simplejpeg"]


def compare_decode(options):
    """Decoding beside other libraries, in turn; prints a table of medians and ratios."""
    bench, rows, versions = build_ours("decode"), {}, {}
    python = virtual_environment(options, "tf")
    amount = ["--data", str(options.decode), "--posters", str(options.posters), "--threads", str(options.threads)]
    env = environment(options, PLAIN)
    result = options.work / "decode.json"
    result.parent.mkdir(parents=True, exist_ok=True)

    def ours():
        subprocess.run([bench, *amount, "--rounds", "1", "--json", str(result), "--bench"], check=True, env=env,
                       stdout=subprocess.DEVNULL)
        speeds = {(row["name"], row["threads"]): row["posters_per_second"] for row in json.loads(result.read_text())}
        return {"decode": speeds["decode", options.threads],
                "decode and resize": speeds["decode and resize", options.threads],
                "cache build": speeds["cache build", options.threads]}

    def theirs(library):
        command = [python, str(PEERS / "decode_peers.py"), "--library", library, *amount]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        if done.returncode:
            raise Failure((done.stderr.strip() or "no message").splitlines()[-1])
        line = json.loads(done.stdout.splitlines()[-1])
        versions[library] = line["version"]
        return {"decode": line["decode"], "decode and resize": line["decode_and_resize"]}

    for r in range(options.rounds):
        for name, run in [("onesheet", ours), *((name, lambda name=name: theirs(name)) for name in DECODERS)]:
            clock = Clock()
            try:
                figures = run()
            except Failure as failure:
                say(f"{name}: {failure}")
                continue
            for what, speed in figures.items():
                if speed:
                    rows.setdefault((name, what), {})[r] = speed
            told = ", ".join(f"{what} {speed:.0f}" for what, speed in figures.items() if speed)
            say(f"round {r + 1}/{options.rounds}, {name}: {told} (others had {clock.read()['others_cores']:.2f} cores)")
    print("| | posters/s | our cache build / theirs | our decode / theirs |\n|---|---|--:|--:|")
    for (name, what), speeds in rows.items():
        def ratio(mine):
            pairs = [rows[OURS.name, mine][r] / speed for r, speed in speeds.items() if r in rows[OURS.name, mine]]
            return f"{statistics.median(pairs):.2f}" if name != OURS.name and pairs else ""
        build = ratio("cache build") if what == "decode and resize" else ""
        values = speeds.values()
        title = f"{versions.get(name, name)}: {what}"
        print(f"| {title} | {statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f}) | {build} | "
              f"{ratio(what)} |")
    print(f"\n{options.posters} posters, {options.threads} threads, medians of {options.rounds} rounds, range in brackets")
