"""A report of sections that are measured by themselves and kept, so that one can be made anew."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

Section = tuple[Callable[[bool], str | None], str, str]


def command(
    sections: Mapping[str, Section],
    *,
    description: str,
    head: str,
    report: Path,
    kept: Path,
    around: Callable[[str], AbstractContextManager] = lambda name: nullcontext(),
) -> None:
    """The command line of a report: `--only` some sections, `--quick` to print and keep nothing.

    Arguments:
        sections: by name what measures (given whether quickly), a title and words on it; `None`
            if what it needs is not there, which leaves what is kept.
        description: of the command.
        head: the first lines of the report.
        report, kept: the page, and the folder of its sections.
        around: what a section is measured within.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, printed only")
    parser.add_argument("--only", nargs="*", choices=sections, help="sections to measure anew")
    options = parser.parse_args()
    kept.mkdir(parents=True, exist_ok=True)
    text = head
    for name, (measure, title, words) in sections.items():
        file, found = kept / f"{name}.md", None
        if options.only is None or name in options.only:
            with around(name):
                found = measure(options.quick)
            if found is not None and not options.quick:
                file.write_text(found)
        if found is None:
            found = file.read_text() if file.exists() else "Not measured yet.\n"
        text += "\n".join(
            ["", f"## {title}", "", *([words, ""] if words else []), found.rstrip() + "\n"]
        )
    if options.quick:
        print(text)
    else:
        report.write_text(text)
        print(report)
