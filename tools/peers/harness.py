"""What the peers' scripts share: the options, the clock, the model's figures and the line that tools/compare reads."""

import argparse
import json
import os
import statistics
import time

SIDE, CHANNELS, FILTERS, HIDDEN, CLASSES = 256, 3, (16, 32, 64), 64, 19
DROPOUT, BN_EPSILON, BN_MOMENTUM = 0.5, 1e-3, 0.99
LEARNING_RATE, ADAM_EPSILON = 1e-3, 1e-7
WARM_UP = 5


def parser(description):
    p = argparse.ArgumentParser(description=description)
    p.add_argument("--batch", type=int, default=32, help="images in a batch; default: %(default)s")
    p.add_argument("--steps", type=int, default=50, help="timed steps; default: %(default)s")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="default: all cores")
    return p


def images_per_second(options, step):
    """The median over the timed steps, after WARM_UP steps that do not count. `step` returns when all is done."""
    rates = []
    for _ in range(WARM_UP + options.steps):
        start = time.perf_counter()
        step()
        rates.append(options.batch / (time.perf_counter() - start))
    return statistics.median(rates[WARM_UP:])


def peak_rss_mb():
    """The most memory that the process has held, in MiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))


def report(options, version, train, predict, before_predict=lambda: None):
    """Measures both steps and prints the line of the contract."""
    train_rate = images_per_second(options, train)
    before_predict()
    predict_rate = images_per_second(options, predict)
    print(json.dumps({
        "train_images_per_second": round(train_rate, 3),
        "predict_images_per_second": round(predict_rate, 3),
        "peak_rss_mb": round(peak_rss_mb(), 1),
        "version": version,
    }))
