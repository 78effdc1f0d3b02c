#!/usr/bin/env python3
"""Writes tests/golden/metrics.json: what scikit-learn says about random answers with many ties.

    python3 tools/golden_metrics.py        # needs numpy and scikit-learn

The same scikit-learn gives the same bytes. Only the top-k hits are numpy's own: scikit-learn breaks ties between
classes by the highest index, the project by the lowest.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics as sk

OUT = Path(__file__).resolve().parent.parent / "tests" / "golden" / "metrics.json"


def top_hit(probabilities, labels, k):
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(labels, order, axis=1).any(axis=1).mean())


def mean(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def weighted(score, probabilities, labels, genres):
    return float(score(labels[:, genres], probabilities[:, genres], average="weighted")) if genres else None


def genre_metrics(scores, labels):
    support = int(labels.sum())
    if support == 0:
        return dict(support=0, ap=None, auc=None, precision=None, recall=None, f1=None)
    predicted = scores > 0.5
    return dict(
        support=support,
        ap=float(sk.average_precision_score(labels, scores)),
        auc=float(sk.roc_auc_score(labels, scores)) if support < len(labels) else None,
        precision=float(sk.precision_score(labels, predicted, zero_division=0)),
        recall=float(sk.recall_score(labels, predicted, zero_division=0)),
        f1=float(sk.f1_score(labels, predicted, zero_division=0)),
    )


def expected(head, probabilities, labels):
    predicted = probabilities > 0.5
    per_genre = [genre_metrics(probabilities[:, g], labels[:, g]) for g in range(labels.shape[1])]
    supported = [g for g, m in enumerate(per_genre) if m["support"] > 0]
    divided = [g for g in supported if per_genre[g]["support"] < len(labels)]
    result = dict(
        top1_hit=top_hit(probabilities, labels, 1),
        top3_hit=top_hit(probabilities, labels, 3),
        macro_ap=mean(m["ap"] for m in per_genre),
        macro_auc=mean(m["auc"] for m in per_genre),
        weighted_ap=weighted(sk.average_precision_score, probabilities, labels, supported),
        weighted_auc=weighted(sk.roc_auc_score, probabilities, labels, divided),
        micro_f1=float(sk.f1_score(labels, predicted, average="micro", zero_division=0)),
        macro_f1=float(sk.f1_score(labels, predicted, average="macro", labels=supported, zero_division=0)),
        hamming_accuracy=None,
        subset_accuracy=None,
        categorical_accuracy=None,
        balanced_accuracy=None,
        per_genre=per_genre,
    )
    if head == "sigmoid":
        result["hamming_accuracy"] = float(1 - sk.hamming_loss(labels, predicted))
        result["subset_accuracy"] = float(sk.accuracy_score(labels, predicted))
    else:
        truth, answer = labels.argmax(axis=1), probabilities.argmax(axis=1)
        result["categorical_accuracy"] = float(sk.accuracy_score(truth, answer))
        result["balanced_accuracy"] = float(sk.balanced_accuracy_score(truth, answer))
    result["constant_scores_macro_ap"] = mean(
        sk.average_precision_score(labels[:, g], np.zeros(len(labels))) for g in supported
    )
    result["constant_scores_weighted_ap"] = weighted(
        sk.average_precision_score, np.zeros(labels.shape), labels, supported
    )
    result["all_zeros_hamming_accuracy"] = float(1 - sk.hamming_loss(labels, np.zeros_like(labels)))
    return result


def multi_hot(rng, films, prevalence):
    return (rng.random((films, len(prevalence))) < prevalence).astype(int)


def one_hot(rng, films, prevalence):
    return np.eye(len(prevalence), dtype=int)[rng.choice(len(prevalence), size=films, p=prevalence)]


def sigmoid_scores(rng, labels, steps):
    """Scores that know a little, on a grid of 1/steps (a power of two: exact in f32), or without one."""
    logits = rng.normal(size=labels.shape) + 1.2 * labels - 0.8
    return to_grid(1 / (1 + np.exp(-logits)), steps)


def softmax_scores(rng, labels, steps):
    logits = 1.5 * rng.normal(size=labels.shape) + 1.5 * labels
    exps = np.exp(logits)
    return to_grid(exps / exps.sum(axis=1, keepdims=True), steps)


def to_grid(probabilities, steps):
    if steps is None:
        return probabilities.astype(np.float32).astype(np.float64)
    return np.round(probabilities * steps) / steps


def cases():
    rng = np.random.default_rng(20)
    wide = np.linspace(0.02, 0.35, 19)
    labels = multi_hot(rng, 150, wide)
    yield "multi-label, 19 genres, ties", "sigmoid", sigmoid_scores(rng, labels, 16), labels
    labels = multi_hot(rng, 80, wide[::3])
    yield "multi-label, no ties", "sigmoid", sigmoid_scores(rng, labels, None), labels
    labels = multi_hot(rng, 60, np.array([0.3, 0.0, 0.2, 1.0, 0.1, 0.0]))
    yield "multi-label, two genres without films, one of all films", "sigmoid", sigmoid_scores(rng, labels, 8), labels
    labels = multi_hot(rng, 50, np.array([0.2, 0.3, 0.1, 0.4, 0.1]))
    yield "multi-label, three scores only", "sigmoid", sigmoid_scores(rng, labels, 2), labels
    labels = multi_hot(rng, 40, np.array([0.2, 0.3, 0.1, 0.4]))
    yield "multi-label, a constant answer", "sigmoid", np.tile([0.25, 0.75, 0.5, 0.25], (40, 1)), labels
    labels = multi_hot(rng, 30, np.array([0.2, 0.3, 0.4]))
    yield "multi-label, nothing above one half", "sigmoid", sigmoid_scores(rng, labels, 8) / 2, labels
    labels = multi_hot(rng, 1, np.array([1.0, 0.0, 1.0, 0.0, 0.0]))
    yield "multi-label, one film", "sigmoid", sigmoid_scores(rng, labels, 4), labels
    labels = one_hot(rng, 200, np.array([0.35, 0.25, 0.15, 0.1, 0.1, 0.05]))
    yield "single genre, six genres, ties", "softmax", softmax_scores(rng, labels, 16), labels
    labels = one_hot(rng, 120, wide / wide.sum())
    yield "single genre, 19 genres, no ties", "softmax", softmax_scores(rng, labels, None), labels
    labels = one_hot(rng, 40, np.array([0.5, 0.0, 0.3, 0.0, 0.2]))
    yield "single genre, two genres without films", "softmax", softmax_scores(rng, labels, 4), labels
    labels = one_hot(rng, 20, np.array([0.0, 1.0, 0.0]))
    yield "single genre, all films of one genre", "softmax", softmax_scores(rng, labels, 8), labels
    labels = one_hot(rng, 20, np.array([0.4, 0.6]))
    yield "single genre, two genres", "softmax", softmax_scores(rng, labels, 8), labels


def main():
    # A truth without a class that was predicted is one of the cases.
    warnings.filterwarnings("ignore", category=UserWarning)
    golden = [
        dict(
            name=name,
            head=head,
            probabilities=probabilities.tolist(),
            # The indices of each film's genres.
            labels=[np.flatnonzero(row).tolist() for row in labels],
            expected=expected(head, probabilities, labels),
        )
        for name, head, probabilities, labels in cases()
    ]
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), allow_nan=False) for case in golden)
    OUT.write_text(f"[\n{lines}\n]\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes, {len(golden)} cases")


if __name__ == "__main__":
    main()
