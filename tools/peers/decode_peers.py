#!/usr/bin/env python3
"""Posters a second of other libraries: JPEG files to RGB pixels, and those to 256x256, on as many threads as asked for.

Each library decodes every poster once per pass, from files that the system has in memory; the first pass does not count.
Prints one line of JSON: {"decode": f or null, "decode_and_resize": f, "version": "..."}."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import statistics
import time

SIDE = 256


def passes(options, work):
    """The median over the timed passes of `work`, which handles all files."""
    rates = []
    for _ in range(1 + options.passes):
        start = time.perf_counter()
        count = work()
        rates.append(count / (time.perf_counter() - start))
    return statistics.median(rates[1:])


def tf_data(options, files):
    import tensorflow as tf

    def decode(path):
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)

    def resize(path):
        return tf.cast(tf.image.resize(decode(path), [SIDE, SIDE]), tf.uint8)

    def work():
        data = tf.data.Dataset.from_tensor_slices(files).map(resize, num_parallel_calls=tf.data.AUTOTUNE)
        data = data.batch(32).prefetch(tf.data.AUTOTUNE)
        limits = tf.data.Options()
        limits.threading.private_threadpool_size = options.threads
        return sum(int(batch.shape[0]) for batch in data.with_options(limits))

    return None, passes(options, work), f"TensorFlow {tf.__version__}"


def on_threads(options, files, function):
    """The libraries below let other threads run while they decode."""
    with concurrent.futures.ThreadPoolExecutor(options.threads) as pool:
        return passes(options, lambda: sum(pool.map(function, files, chunksize=16)))


def pillow(options, files):
    import PIL
    from PIL import Image

    def decode(path):
        with Image.open(path) as image:
            image.convert("RGB").load()
        return 1

    def resize(path):
        with Image.open(path) as image:
            image.convert("RGB").resize((SIDE, SIDE), Image.BILINEAR).tobytes()
        return 1

    return on_threads(options, files, decode), on_threads(options, files, resize), f"Pillow {PIL.__version__}"


def simplejpeg(options, files):
    import simplejpeg as library
    from PIL import Image

    def decode(path):
        library.decode_jpeg(pathlib.Path(path).read_bytes(), colorspace="RGB")
        return 1

    def resize(path):
        pixels = library.decode_jpeg(pathlib.Path(path).read_bytes(), colorspace="RGB")
        Image.fromarray(pixels).resize((SIDE, SIDE), Image.BILINEAR).tobytes()
        return 1

    version = f"libjpeg-turbo by simplejpeg {library.__version__}, resized by Pillow"
    return on_threads(options, files, decode), on_threads(options, files, resize), version


LIBRARIES = {"tf.data": tf_data, "pillow": pillow, "simplejpeg": simplejpeg}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--library", choices=LIBRARIES, required=True)
    p.add_argument("--data", type=pathlib.Path, required=True, help="folder with posters/<id>.jpg")
    p.add_argument("--posters", type=int, default=4000)
    p.add_argument("--passes", type=int, default=2)
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = p.parse_args()
    files = sorted((options.data / "posters").glob("*.jpg"), key=lambda path: (len(path.name), path.name))
    # Some are no JPEG files; our own bench counts them, but a library that raises would end here.
    files = [str(path) for path in files if path.open("rb").read(3) == b"\xff\xd8\xff"][: options.posters]
    decode, resize, version = LIBRARIES[options.library](options, files)
    print(json.dumps({"decode": decode, "decode_and_resize": resize, "version": version}))


if __name__ == "__main__":
    main()
