#!/usr/bin/env python3
"""The training step of onesheet's model in PyTorch: one JSON line for tools/compare.

    python torch_step.py --batch 32 --steps 50 --threads 2 [--channels-last] [--compile] [--bf16]
"""

import contextlib
import os

import harness

os.environ["CUDA_VISIBLE_DEVICES"] = ""

parser = harness.parser("The training step in PyTorch.")
parser.add_argument("--channels-last", action="store_true", help="activations in NHWC; default: contiguous, NCHW")
parser.add_argument("--compile", action="store_true", help="torch.compile")
parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16; default: all in f32")
options = parser.parse_args()

import torch
from torch import nn

torch.set_num_threads(options.threads)
torch.manual_seed(1)
layout = torch.channels_last if options.channels_last else torch.contiguous_format


class Net(nn.Module):
    """u8 images [n, channels, side, side] in, logits out."""

    def __init__(self):
        super().__init__()
        stack, channels, side = [], harness.CHANNELS, harness.SIDE
        for filters in harness.FILTERS:
            stack += [nn.Conv2d(channels, filters, 3), nn.ReLU(),
                      nn.BatchNorm2d(filters, eps=harness.BN_EPSILON, momentum=1 - harness.BN_MOMENTUM), nn.MaxPool2d(2)]
            channels, side = filters, (side - 2) // 2
        self.stack = nn.Sequential(*stack, nn.Flatten(), nn.Linear(channels * side * side, harness.HIDDEN), nn.ReLU(),
                                   nn.Dropout(harness.DROPOUT), nn.Linear(harness.HIDDEN, harness.CLASSES))

    def forward(self, images):
        return self.stack(images.float().div_(255))


images = torch.randint(0, 256, (options.batch, harness.CHANNELS, harness.SIDE, harness.SIDE), dtype=torch.uint8)
images = images.contiguous(memory_format=layout)
labels = torch.randint(0, 2, (options.batch, harness.CLASSES)).float()
net = Net().to(memory_format=layout).train()
adam = torch.optim.Adam(net.parameters(), lr=harness.LEARNING_RATE, eps=harness.ADAM_EPSILON, fused=True)
loss_of = nn.BCEWithLogitsLoss()
forward = torch.compile(net) if options.compile else net
autocast = (lambda: torch.autocast("cpu", torch.bfloat16)) if options.bf16 else contextlib.nullcontext


def train():
    adam.zero_grad(set_to_none=True)
    with autocast():
        logits = forward(images)
    loss_of(logits.float(), labels).backward()
    adam.step()


def predict():
    with torch.inference_mode(), autocast():
        torch.sigmoid(forward(images).float())


harness.report(options, f"PyTorch {torch.__version__}", train, predict, before_predict=net.eval)
