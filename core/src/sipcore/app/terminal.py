"""What the commands print: errors, tables, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from sipcore.plugins import models

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

WIDEST = 50
"""Characters that a column is filled up to when nobody sees it on a terminal."""


def fail(text: str, status: int = 1) -> NoReturn:
    """Print what went wrong, a line a problem, and end."""
    for line in text.splitlines():
        err.print(f"sipcore: {line}", markup=False)
    sys.exit(status)


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under heads: wrapped to a terminal's width, or a line a row for other programs."""
    if out.is_terminal:
        table = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*map(escape, row))
        out.print(table, soft_wrap=False)
        return
    lines = [[" ".join(cell.split()) for cell in line] for line in (heads, *rows)]
    widths = [min(WIDEST, max(len(line[column]) for line in lines)) for column in range(len(heads))]
    for line in lines:
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        out.print(text.rstrip(), markup=False)


def megabytes(count: int) -> str:
    """A size for people."""
    return f"{count / 1e6:.1f} MB"


def pull_with_bars(names: Sequence[str], console: Console = out) -> list[models.ModelInfo]:
    """Fetch models under progress bars."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: models.PullProgress) -> None:
            task = tasks.get(progress.model)
            if task is None:
                task = tasks[progress.model] = bars.add_task(progress.model)
            text = f"{progress.model}: {progress.what}"
            bars.update(task, completed=progress.done, total=progress.total or None, description=text)

        return models.pull(names, show)
