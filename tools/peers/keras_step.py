#!/usr/bin/env python3
"""The training step of onesheet's model in Keras on TensorFlow: one JSON line for tools/compare.

    python keras_step.py --batch 32 --steps 50 --threads 2 [--xla]

Of the forms that Keras offers on a CPU this is the fastest: the step as one graph that is fed the batch. model.fit over a
tf.data pipeline takes as long at best, and XLA is slower in training and in prediction.
"""

import os

import harness

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["KERAS_BACKEND"] = "tensorflow"

parser = harness.parser("The training step in Keras on TensorFlow.")
parser.add_argument("--xla", action="store_true", help="compile the step with XLA")
options = parser.parse_args()

import keras
import numpy as np
import tensorflow as tf
from keras import layers

tf.config.threading.set_intra_op_parallelism_threads(options.threads)
tf.config.threading.set_inter_op_parallelism_threads(options.threads)
keras.utils.set_random_seed(1)


def build():
    model = keras.Sequential([layers.Input((harness.SIDE, harness.SIDE, harness.CHANNELS), dtype="uint8"),
                              layers.Rescaling(1 / 255)])
    for filters in harness.FILTERS:
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.BatchNormalization(momentum=harness.BN_MOMENTUM, epsilon=harness.BN_EPSILON))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(harness.HIDDEN, activation="relu"))
    model.add(layers.Dropout(harness.DROPOUT))
    model.add(layers.Dense(harness.CLASSES))
    return model


rng = np.random.default_rng(1)
images = tf.constant(rng.integers(0, 256, (options.batch, harness.SIDE, harness.SIDE, harness.CHANNELS), dtype=np.uint8))
labels = tf.constant(rng.integers(0, 2, (options.batch, harness.CLASSES)).astype(np.float32))
model = build()
weights = model.trainable_variables
adam = keras.optimizers.Adam(harness.LEARNING_RATE, epsilon=harness.ADAM_EPSILON)
adam.build(weights)
loss_of = keras.losses.BinaryCrossentropy(from_logits=True)


# The batch is an argument of both graphs: of a constant the conversion to floats would be done once for all.
@tf.function(jit_compile=options.xla)
def train(x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    adam.apply(tape.gradient(loss, [w.value for w in weights]), weights)
    return loss


@tf.function(jit_compile=options.xla)
def predict(x):
    return tf.sigmoid(model(x, training=False))


harness.report(options, f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
               lambda: train(images, labels).numpy(), lambda: predict(images).numpy())
