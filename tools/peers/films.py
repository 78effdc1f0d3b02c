"""The films of a run of onesheet, as its frames name them."""

import csv

import numpy


def read_side(run, experiment, side, genres):
    """The films of a side as [(name of the poster, names of the genres)]."""
    with open(run / "frames" / experiment / f"{side}.csv", newline="", encoding="utf-8") as file:
        # The first name has a ' in front where a spreadsheet would take it for a formula.
        return [(row["filename"], [name if name in genres else name.removeprefix("'")
                                   for name in row["genres"].split("|")]) for row in csv.DictReader(file)]


def truth(films, genres):
    """Which film has which genre, bool [films, genres]."""
    return numpy.array([[genre in of_film for genre in genres] for _, of_film in films])
