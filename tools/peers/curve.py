"""Learning curves: how a figure grows with the number of training films, by two forms that were both found to hold.

- power: what is missing falls as a + b n^-c (Hestness et al. 2017, arXiv:1712.00409)
- log-linear: the figure rises by the same amount with each doubling of n (Sun et al. 2017, arXiv:1707.02968)

What is missing is 1 - y of a figure y that is at most 1, and the loss itself; neither form goes below 0.
"""

import numpy

FORMS = "power", "log-linear"
# The exponents that are tried. Those that Hestness et al. found are from 0.07 to 0.35.
EXPONENTS = numpy.geomspace(0.01, 2, 150)


class Curve:
    """A form that is fitted by least squares to `missing`, f64 [draws, sizes], at `films`, [sizes]."""

    def __init__(self, form, films, missing):
        self.form = form
        if form == "power":
            self.fit_power(films, missing)
        else:
            x = numpy.log(films)
            self.b = (missing - missing.mean(1, keepdims=True)) @ (x - x.mean()) / ((x - x.mean()) ** 2).sum()
            self.a = missing.mean(1) - self.b * x.mean()

    def fit_power(self, films, missing):
        least = numpy.full(len(missing), numpy.inf)
        self.a, self.b, self.c = numpy.zeros((3, len(missing)))
        for c in EXPONENTS:
            x = films ** -c
            centred = x - x.mean()
            b = numpy.maximum((missing - missing.mean(1, keepdims=True)) @ centred / (centred ** 2).sum(), 0)
            a = missing.mean(1) - b * x.mean()
            # Nothing less than 0 can be missing: of the curves that end there, the best.
            b = numpy.where(a < 0, missing @ x / (x ** 2).sum(), b)
            a = numpy.maximum(a, 0)
            squares = ((missing - a[:, None] - b[:, None] * x) ** 2).sum(1)
            better = squares < least
            least[better], self.a[better], self.b[better], self.c[better] = squares[better], a[better], b[better], c

    def at(self, films):
        """What is missing with so many films, f64 [draws, sizes]."""
        films = numpy.asarray(films, float)
        x = films ** -self.c[:, None] if self.form == "power" else numpy.log(films)
        return numpy.maximum(self.a[:, None] + self.b[:, None] * x, 0)

    def parameters(self):
        """Those of the first draw."""
        return {name: float(getattr(self, name)[0]) for name in ("a", "b", "c") if hasattr(self, name)}


def interval(values):
    """The 95 % interval of draws, [low, high]; the first is the measurement itself."""
    return [float(bound) for bound in numpy.percentile(values[1:], [2.5, 97.5])]


def missing(figure, values):
    """What is missing of a figure, and the figure of what is missing; nothing is less than 0."""
    return numpy.maximum(values if figure == "loss" else 1 - values, 0)


def extrapolate(figure, films, values, targets):
    """Both forms, fitted to a figure, f64 [draws, sizes], that was measured at `films`: for each form its parameters,
    the root of the mean square of its errors, what the other sizes would have said of the largest, and its value and
    interval at each of `targets`."""
    films, found = numpy.asarray(films, float), {}
    for form in FORMS:
        curve = Curve(form, films, missing(figure, values))
        at = missing(figure, curve.at(targets))
        off = missing(figure, curve.at(films))[0] - values[0]
        found[form] = {
            "parameters": curve.parameters(),
            "rms_error": float((off ** 2).mean() ** 0.5),
            "at": [{"value": float(of[0]), "interval": interval(of)} for of in at.T],
        }
        if len(films) > 3:
            fewer = Curve(form, films[:-1], missing(figure, values[:1, :-1]))
            found[form]["largest_from_others"] = float(missing(figure, fewer.at(films[-1:]))[0, 0])
    return found


def both(forms, target):
    """The range of both forms with their intervals at a target, [low, high]."""
    ends = [end for form in FORMS for end in forms[form]["at"][target]["interval"]]
    return [min(ends), max(ends)]
