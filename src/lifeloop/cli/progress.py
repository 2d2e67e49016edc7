"""Shows the stages of a cycle as they go: a line each, and a bar with the time left for the one at work."""

import sys
from types import TracebackType

from lifeloop.lifecycle.runner import Notice


class Screen:
    """Tells people on standard error; `tell` takes the runner's notices. Says nothing when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False, quiet=quiet)
        self._kept = 0
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=None, count="", note="", visible=False)

    def __enter__(self) -> "Screen":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if self._kept:
            self._console.print(f"[dim]{self._kept} stage runs were in the ledger already[/dim]")

    def tell(self, notice: Notice) -> None:
        """Show a notice."""
        from rich.markup import escape

        what = f"{notice.stage:<9}{notice.subject}"
        if notice.kind == "start":
            self._bar.reset(self._task, total=None, description=what, count="", note="", visible=True)
        elif notice.kind == "progress":
            count = f"{notice.done}/{notice.total}" if notice.total else ""
            self._bar.update(
                self._task, completed=notice.done, total=notice.total or None, count=count, note=notice.note
            )
        elif notice.kind == "kept":
            self._kept += 1
        elif notice.kind == "done":
            self._console.print(f"[green]✓[/green] {what:<44}{notice.seconds:7.1f} s")
        else:
            self._console.print(f"[red]✗[/red] {what}  [red]failed[/red]: {escape(notice.note)}")
