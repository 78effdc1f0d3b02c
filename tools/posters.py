"""What the tools that stand beside onesheet need to see posters as it sees them: the cache of decoded posters, the
resize and the views of a model, and a comparison of their answers with those of `train predict`.

Needs NumPy. The pixels that `seen` gives are onesheet's, value for value."""

import functools
import json
import pathlib
import struct
import subprocess
import zlib

import numpy

SIDE = 256
VERSION, HEADER, ENTRY, PAGE = 3, 80, 120, 4096
VIEWS = {"one": 1, "flip": 2, "crops": 10}


class Cache:
    """The posters in a cache folder, or in a cache file: uint8 [256, 256, 3], RGB, by the id of their film. The layout
    is that of src/data/cache.rs."""

    def __init__(self, path):
        path = pathlib.Path(path)
        path = path / f"posters-{SIDE}x{SIDE}.cache" if path.is_dir() else path
        self.content = numpy.memmap(path, numpy.uint8, "r")
        head = bytes(self.content[:HEADER])
        if len(head) < HEADER or head[:8] != b"ONESHEET" or struct.unpack_from("<I", head, 8) != (VERSION,):
            raise ValueError(f"{path}: not a cache of version {VERSION}")
        (count,) = struct.unpack_from("<Q", head, 56)
        index = bytes(self.content[HEADER:HEADER + ENTRY * count])
        self.records = -(-(HEADER + ENTRY * count) // PAGE) * PAGE
        # For each poster that is shown, its place and the CRC-32 of its record.
        self.at = {}
        for place in range(count):
            film, crc, _, verdict = struct.unpack_from("<Q32xIII", index, ENTRY * place)
            if verdict == 0:
                self.at[film] = place, crc

    def ids(self):
        """The films whose posters decode, in the order of their ids."""
        return list(self.at)

    def __getitem__(self, film):
        (place, crc), size = self.at[film], SIDE * SIDE * 3
        record = self.content[self.records + place * size:][:size]
        if zlib.crc32(record) != crc:
            raise ValueError(f"the record of film {film} is damaged")
        return record.reshape(SIDE, SIDE, 3)


@functools.lru_cache
def weights(size, begin, end, count):
    """The resize of an axis of `size` values, of which those from `begin` to `end` become `count`: whole numbers
    [count, size], and how many of their bits are behind the point. A triangle as wide as two steps, as in Pillow, in 16
    bits."""
    step = (end - begin) / count
    wide = max(step, 1)
    middle = begin + (numpy.arange(count)[:, None] + .5) * step
    triangle = numpy.maximum(1 - abs(numpy.arange(size) - (middle - .5)) / wide, 0)
    triangle /= triangle.sum(1, keepdims=True)
    fits = lambda bits: numpy.floor(triangle.max() * 2 ** bits + .5) < 1 << 15
    bits = next(bits for bits in range(22) if bits == 21 or not fits(bits + 1))
    return numpy.floor(triangle * 2 ** bits + .5), bits


def along_rows(image, begin, end, count):
    """Resizes the second axis of an image [rows, columns, values] in whole numbers, which a float64 holds exactly."""
    if (begin, end - begin) == (round(begin), count):
        return image[:, int(begin):][:, :count]
    kernel, bits = weights(image.shape[1], begin, end, count)
    return numpy.clip((kernel @ image + 2 ** (bits - 1)) // 2 ** bits, 0, 255)


def resized(image, height, width, box=None):
    """The part of an image that a box (left, top, right, bottom) shows, or all of it, as uint8 [height, width, 3]:
    bilinear with antialiasing, first along the columns, then along the rows, each rounded to whole levels, as
    fast_image_resize does it."""
    left, top, right, bottom = box or (0, 0, image.shape[1], image.shape[0])
    columns = along_rows(image.swapaxes(0, 1), top, bottom, height)
    return along_rows(columns.swapaxes(0, 1), left, right, width).astype(numpy.uint8)


def seen(image, size, view=0):
    """What a model with an input of `size`, its height and width, sees of a poster in the view of that number: 0 is all of it, 2, 4, 6 and 8
    are its corners, 7/8 of each side, and the odd numbers are the mirror images of those before them."""
    box = None
    if view >= 2:
        right, bottom = [(0, 0), (1, 0), (0, 1), (1, 1)][view // 2 - 1]
        left, top = right * SIDE / 8, bottom * SIDE / 8
        box = left, top, left + SIDE * 7 / 8, top + SIDE * 7 / 8
    image = resized(image, *size, box)
    return image[:, ::-1] if view % 2 else image


def probabilities(logits_of, images, size, views, head):
    """A model's answers on posters, float32 [n, genres]: the mean of its logits over the views ("one", "flip" or
    "crops"), through its head ("sigmoid" or "softmax"). `logits_of` takes uint8 [n, *size, 3]."""
    shown = ([seen(image, size, view) for image in images] for view in range(VIEWS[views]))
    logits = numpy.mean([logits_of(numpy.stack(view)) for view in shown], 0)
    if head == "sigmoid":
        return 1 / (1 + numpy.exp(-logits))
    powers = numpy.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def told(train, model, files, genres):
    """The answers of `train predict` on poster files, [n, genres]."""
    command = [train, "predict", model, "-0", "-", "--jsonl", "--top", str(len(genres))]
    result = subprocess.run(command, input="\0".join(map(str, files)), stdout=subprocess.PIPE, text=True, check=True)
    answers = [json.loads(line)["predictions"] for line in result.stdout.splitlines()]
    answers = [{one["genre"]: one["probability"] for one in answer} for answer in answers]
    return numpy.array([[answer[genre] for genre in genres] for answer in answers])


def compare(train, model, data, cache, count, genres, answers_of):
    """The answers of `train predict` and those of `answers_of`, which takes uint8 [n, 256, 256, 3], on the first
    `count` posters of a cache, whose files are in `data`/posters. Returns the largest difference of a probability; how much a
    genre's probabilities differ from poster to poster (their standard deviation, the mean over the genres): where that
    is nothing, agreement says nothing; and the number of posters."""
    cache = Cache(cache)
    films = cache.ids()[:count]
    if not films:
        raise ValueError("no poster in the cache")
    theirs = told(train, model, [pathlib.Path(data) / "posters" / f"{film}.jpg" for film in films], genres)
    batches = [films[at:at + 32] for at in range(0, len(films), 32)]
    ours = numpy.concatenate([answers_of([cache[film] for film in batch]) for batch in batches])
    return float(abs(ours - theirs).max()), float(theirs.std(0).mean()), len(films)
