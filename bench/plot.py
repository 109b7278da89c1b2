"""Draws what a run has measured, and writes it into the documents.

`python -m bench.plot RESULTS.json PICTURE.svg PAGE.md`: the tables go between two marks of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from bench.commands import END, HEARTBEAT, LIFE, TRANSFER, UNPAID
from bench.machine import TPC_B
from bench.results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from rich.table import Table

BEGIN, END_MARK = "<!-- figures -->", "<!-- end of figures -->"
DRAWN = (TPC_B, UNPAID[0].name, "accept_assignment", HEARTBEAT.name, TRANSFER, END.name, LIFE)


def picture(results: Results) -> Figure:
    """How long one client waits by the size of the history, and how much is done by many."""
    sizes, clients = results.sizes(), results.clients()
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    waits, works = figure.subplots(1, 2)
    for what in DRAWN:
        style: dict[str, Any] = {"label": what, "marker": "o"}
        if what == TPC_B:
            style |= {"color": "grey", "linestyle": "--"}
        by_size = ((size, results.rate(size, what, clients[0])) for size in sizes)
        waited = [(size, rate["p50_ms"]) for size, rate in by_size if rate]
        waits.plot(*zip(*waited, strict=True), **style)
        by_clients = ((number, results.rate(sizes[-1], what, number)) for number in clients)
        worked = [(number, rate["per_second"]) for number, rate in by_clients if rate]
        works.plot(*zip(*worked, strict=True), **style)
    _name(waits, sizes, "How long a client waits for it", "sessions in the history", "ms (p50)")
    _name(
        works, clients, f"How much is done at {sizes[-1]:,} sessions", "clients at once", "a second"
    )
    figure.legend(*works.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _name(axes: Axes, places: Sequence[int], title: str, x: str, y: str) -> None:
    axes.set(title=title, xlabel=x, ylabel=y, xscale="log", yscale="log")
    axes.set_xticks(places, [f"{place:,}" for place in places], minor=False)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def draw(results: Results, file: Path) -> None:
    """The same figures give the same file."""
    with mpl.rc_context(
        {
            "svg.hashsalt": "taximeter",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    ):
        picture(results).savefig(file, format="svg", metadata={"Date": None, "Creator": None})


def write(results: Results, page: Path) -> None:
    """Puts the tables where they belong; the rest of the page stays as it is."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END_MARK)
    if not end:
        raise SystemExit(f"{page} has no place for figures, between {BEGIN} and {END_MARK}.")
    tables = "\n\n".join(_markdown(table) for table in results.tables())
    page.write_text(f"{before}{BEGIN}\n\n{results.said()}\n\n{tables}\n\n{END_MARK}{after}")


def _markdown(table: Table) -> str:
    """A table of the screen as one of Markdown."""
    columns = [list(column.cells) for column in table.columns]
    header = [str(column.header) for column in table.columns]
    sides = ["---", *("---:" for _ in header[1:])]
    rows = [header, sides, *zip(*columns, strict=True)]
    lines = ("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
    return f"**{table.title}**\n\n" + "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("page", type=Path)
    arguments = parser.parse_args()
    results = Results.read(arguments.results)
    draw(results, arguments.picture)
    write(results, arguments.page)


if __name__ == "__main__":
    main()
