"""The learning curve as a picture: what was measured, both forms beyond it, and how far they may be off. SVG."""

import math

import numpy
from curve import FORMS, Curve, missing
from svg import BLUE, FAINT, INK, LINE, VERMILION, head, paper, text

PANELS = "macro_auc", "macro_ap"
MARGIN, TOP, WIDE, HIGH, GAP, BOTTOM = 64, 96, 380, 280, 84, 64
COLOURS = [BLUE, VERMILION]
DASHES = dict(zip(FORMS, ("", "6 4")))


class Panel:
    """The axes of a figure: films along a logarithm, the figure upwards."""

    def __init__(self, left, films, low, high):
        self.left, self.first, self.last, self.low, self.high = left, films[0], films[-1], low, high

    def x(self, films):
        return self.left + WIDE * math.log(films / self.first) / math.log(self.last / self.first)

    def y(self, value):
        return TOP + HIGH * (self.high - value) / (self.high - self.low)

    def line(self, films, values):
        return " ".join(f"{self.x(n):.1f},{self.y(value):.1f}" for n, value in zip(films, values))


def ticks(low, high):
    """Round values from `low` to `high`, about five."""
    step = 10 ** math.floor(math.log10(high - low))
    step *= min((part for part in (0.1, 0.2, 0.5, 1) if (high - low) / (step * part) <= 6), default=1)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 6) for i in range(first, last + 1)]


def axes(panel, title, marks, counts):
    yield text(panel.left, TOP - 14, title, size=15, weight=700)
    for value in marks:
        y = panel.y(value)
        yield f'<path d="M{panel.left} {y:.1f}h{WIDE}" stroke="{LINE}"/>'
        yield text(panel.left - 8, y + 4, f"{value:.2f}", size=12, fill=FAINT, anchor="end")
    for n in counts:
        yield f'<path d="M{panel.x(n):.1f} {TOP + HIGH}v5" stroke="{INK}"/>'
        yield text(panel.x(n), TOP + HIGH + 20, f"{n:,}", size=11, fill=FAINT, anchor="middle")


def shown_counts(counts):
    """The counts whose labels do not touch."""
    whole, shown = math.log(counts[-1] / counts[0]), []
    for n in reversed(counts):
        if not shown or WIDE * math.log(shown[-1] / n) / whole > 46:
            shown.append(n)
    return shown


def chart(document, values, titles, figures):
    """The lines of the file; `values` has for each model and figure the measurement and its draws, [draws, parts]."""
    films = [part["films"] for part in document["parts"]]
    counts = sorted({*films, *(target["films"] for target in document["extrapolated"])})
    grid = numpy.geomspace(counts[0], counts[-1], 60)
    width, height = MARGIN + 2 * WIDE + GAP + 32, TOP + HIGH + BOTTOM + 24
    largest = max(document["extrapolated"], key=lambda target: target["films"])
    measured = document["parts"][-1]["models"]
    said = "; ".join(f"{titles[model]}: {figures[figure]} {measured[model][figure]['value']:.3f} "
                     "with {:,} films, {:.3f} to {:.3f} with {:,}".format(films[-1], *largest["ranges"][model][figure],
                                                                       largest["films"])
                     for model in values for figure in PANELS)
    title = f"What more films bring: measured on {document['films']} {document['split']} films, and extrapolated"
    yield from head(width, height, title, said)
    yield paper(width, height)
    yield text(24, 34, title, size=18, weight=700)
    yield text(24, 56, "Points: measured, with 95 % intervals. Lines: a power law, and dashed a straight line. "
               "Shaded: what both allow.", size=13, fill=FAINT)
    for place, figure in enumerate(PANELS):
        left = MARGIN + place * (WIDE + GAP)
        yield from panel_of(figure, figures[figure], left, document, values, films, counts, grid)
    yield text(MARGIN, height - 42, "training films", size=12, fill=FAINT)
    for i, model in enumerate(values):
        x = MARGIN + i * 260
        yield f'<circle cx="{x + 6}" cy="{height - 22}" r="5" fill="{COLOURS[i]}"/>'
        yield text(x + 18, height - 18, titles[model], size=13)
    yield "</svg>"


def panel_of(figure, title, left, document, values, films, counts, grid):
    lines, bands = {}, {}
    for model, of in values.items():
        curves = {form: missing(figure, Curve(form, numpy.array(films, float), missing(figure, of[figure])).at(grid))
                  for form in FORMS}
        lines[model] = {form: drawn[0] for form, drawn in curves.items()}
        bounds = [numpy.percentile(drawn[1:], [2.5, 97.5], axis=0) for drawn in curves.values()]
        bands[model] = numpy.min([low for low, _ in bounds], 0), numpy.max([high for _, high in bounds], 0)
    points = {model: [part["models"][model][figure] for part in document["parts"]] for model in values}
    ends = [end for of in points.values() for point in of for end in point["interval"]]
    ends += [end for band in bands.values() for of in band for end in (of.min(), of.max())]
    marks = ticks(min(ends), max(ends))
    panel = Panel(left, counts, marks[0], marks[-1])
    yield from axes(panel, title, marks, shown_counts(counts))
    for colour, (model, (low, high)) in zip(COLOURS, bands.items()):
        around = f"{panel.line(grid, high)} {panel.line(grid[::-1], low[::-1])}"
        yield f'<polygon points="{around}" fill="{colour}" fill-opacity="0.12"/>'
        for form, drawn in lines[model].items():
            yield (f'<polyline points="{panel.line(grid, drawn)}" fill="none" stroke="{colour}" stroke-width="1.6" '
                   f'stroke-dasharray="{DASHES[form]}"/>')
    # Both models have the same films: their marks stand a little apart.
    for i, (model, of) in enumerate(points.items()):
        for n, point in zip(films, of):
            x = panel.x(n) + 4 * i
            low, high = (panel.y(end) for end in point["interval"])
            yield f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{COLOURS[i]}" stroke-width="1.4"/>'
            yield f'<circle cx="{x:.1f}" cy="{panel.y(point["value"]):.1f}" r="4" fill="{COLOURS[i]}"/>'
