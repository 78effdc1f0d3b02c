"""How good answers are: figures of onesheet's metrics.json (docs/files.md), also where films count several times."""

import warnings

import numpy

# Films times draws that are worked on at once.
BLOCK = 1 << 21


def of_genre(scores, labels, weights):
    """The area under the ROC curve and the average precision of one genre, f64 [draws] each; NaN where there are none.
    A film counts `weights` [draws, films] times. Equal scores are one step."""
    order = numpy.argsort(-scores, kind="stable")
    scores, labels, weights = scores[order], labels[order], weights[:, order]
    ends = numpy.flatnonzero(numpy.append(scores[1:] != scores[:-1], True))
    hits = numpy.cumsum(weights * labels, axis=1)[:, ends]
    misses = numpy.cumsum(weights * ~labels, axis=1)[:, ends]
    new_hits, new_misses = (numpy.diff(of, prepend=0, axis=1) for of in (hits, misses))
    with numpy.errstate(invalid="ignore", divide="ignore"):
        auc = (new_misses * (hits - new_hits / 2)).sum(1) / (hits[:, -1] * misses[:, -1])
        ap = (new_hits * hits / numpy.maximum(hits + misses, 1)).sum(1) / hits[:, -1]
    return auc, ap


def of_draws(scores, labels, weights):
    """The figures of each draw, f64 [draws]. `scores` and `labels` are [films, genres], a film counts `weights`
    [draws, films] times; the loss is the mean binary cross-entropy, whatever a model was trained with."""
    order = numpy.argsort(-scores, axis=1, kind="stable")
    ranked = numpy.take_along_axis(labels, order, 1)
    known = numpy.where(labels, scores, 1 - scores)
    of_film = {
        "top1_hit": ranked[:, :1].any(1),
        "top3_hit": ranked[:, :3].any(1),
        # A probability of f32 may be 0 or 1.
        "loss": -numpy.log(numpy.maximum(known, 1e-7)).mean(1),
    }
    macro = {"macro_auc": [], "macro_ap": []}
    rows = max(BLOCK // len(scores), 1)
    for begin in range(0, len(weights), rows):
        block = weights[begin:begin + rows]
        of_genres = [of_genre(scores[:, genre], labels[:, genre], block) for genre in range(labels.shape[1])]
        for figure, values in zip(macro, zip(*of_genres)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a draw without any genre has no mean
                macro[figure].append(numpy.nanmean(values, axis=0))
    means = {figure: weights @ values / weights.sum(1) for figure, values in of_film.items()}
    return {figure: numpy.concatenate(values) for figure, values in macro.items()} | means


def measure(scores, labels):
    """The figures of all films."""
    once = numpy.ones((1, len(scores)), int)
    return {figure: float(values[0]) for figure, values in of_draws(scores, labels, once).items()}
