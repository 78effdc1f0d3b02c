#!/usr/bin/env python3
"""The report's recipe in Keras on the films of a run of onesheet: one JSON line, to lay beside its history.csv and metrics.json.

    python keras_recipe.py --data DIR --run OUT --experiment multi-label [--epochs 10] [--seed 1]

Trains on OUT/frames/EXPERIMENT/train.csv, validates on val.csv after each epoch, measures on test.csv after the last one. Needs
TensorFlow and NumPy.
"""

import argparse
import csv
import json
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

parser = argparse.ArgumentParser(description="The report's recipe in Keras on the films of a run of onesheet.")
parser.add_argument("--data", required=True, help="folder with posters/<id>.jpg")
parser.add_argument("--run", required=True, help="folder of a run of `train run`")
parser.add_argument("--experiment", default="multi-label", choices=["multi-label", "single-genre", "top-6"])
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

import harness
import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH = 32
multi_label = options.experiment == "multi-label"
keras.utils.set_random_seed(options.seed)


def frame(side):
    with open(os.path.join(options.run, "frames", options.experiment, f"{side}.csv"), newline="") as file:
        return [(row["filename"], row["genres"].split("|")) for row in csv.DictReader(file)]


sides = {side: frame(side) for side in ("train", "val", "test")}
with open(os.path.join(options.run, options.experiment, "metrics.json")) as file:
    genres = json.load(file)["genres"]


def labels(films):
    return np.array([[float(genre in of_film) for genre in genres] for _, of_film in films], "f4")


def decode(path, label):
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    return tf.image.resize(image, [harness.SIDE, harness.SIDE]) / 255, label


def dataset(films, shuffle=False):
    paths = [os.path.join(options.data, "posters", name) for name, _ in films]
    data = tf.data.Dataset.from_tensor_slices((paths, labels(films)))
    if shuffle:
        data = data.shuffle(len(films), seed=options.seed)
    return data.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def build():
    model = keras.Sequential([layers.Input((harness.SIDE, harness.SIDE, harness.CHANNELS))])
    for filters in harness.FILTERS:
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(harness.HIDDEN, activation="relu"))
    model.add(layers.Dropout(harness.DROPOUT))
    model.add(layers.Dense(len(genres), activation="sigmoid" if multi_label else "softmax"))
    return model


def average_precision(scores, truth):
    """The mean precision at the films that have the genre; equal scores count as one step."""
    values = np.unique(scores)[::-1]
    found = np.array([truth[scores >= value].sum() for value in values])
    precision = found / np.array([(scores >= value).sum() for value in values])
    return float((np.diff(found, prepend=0) * precision).sum() / truth.sum())


def area_under_roc(scores, truth):
    """The share of pairs of a film with the genre and one without that are in order; a tie counts half."""
    with_genre, without = scores[truth > 0][:, None], scores[truth == 0][None, :]
    return float(((with_genre > without) + 0.5 * (with_genre == without)).mean())


model = build()
model.compile("adam", "binary_crossentropy" if multi_label else "categorical_crossentropy")
history = model.fit(dataset(sides["train"], shuffle=True), validation_data=dataset(sides["val"]), epochs=options.epochs, verbose=2)

truth, scores = labels(sides["test"]), model.predict(dataset(sides["test"]), verbose=0)
order = np.argsort(-scores, axis=1, kind="stable")
hit = {k: float(np.take_along_axis(truth, order[:, :k], 1).any(1).mean()) for k in (1, 3)}
both = [genre for genre in range(len(genres)) if 0 < truth[:, genre].sum() < len(truth)]
present = [genre for genre in range(len(genres)) if truth[:, genre].any()]
print(json.dumps({
    "framework": f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
    "experiment": options.experiment,
    "seed": options.seed,
    "train_loss": [round(loss, 4) for loss in history.history["loss"]],
    "val_loss": [round(loss, 4) for loss in history.history["val_loss"]],
    "top1_hit": hit[1],
    "top3_hit": hit[3],
    "macro_ap": float(np.mean([average_precision(scores[:, genre], truth[:, genre]) for genre in present])),
    "macro_auc": float(np.mean([area_under_roc(scores[:, genre], truth[:, genre]) for genre in both])),
}))
