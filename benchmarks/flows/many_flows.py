"""One density, many flows: the example of that name from five seeds, with its figure."""

import contextlib
import io
import runpy
import shutil
import tempfile
from pathlib import Path

from benchmarks.harness.tables import table

_ROOT = Path(__file__).parents[2]
EXAMPLE = _ROOT / "examples" / "02_one_density_many_flows.py"
FIGURE = _ROOT / "docs" / "results" / "flows" / "many_flows.png"


def many_flows(quick: bool) -> str:
    """The table of both games: paths, densities and costs over seeds, and the figure."""
    main = runpy.run_path(str(EXAMPLE))["main"]
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        drawn = str(Path(folder) / "many_flows.png")
        families = main(drawn, seeds=2, steps=50) if quick else main(drawn)
        if not quick:
            FIGURE.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(drawn, FIGURE)
    rows = [
        [
            name.replace("|", "\\|"),
            f"{family.path_variance:.4f}",
            f"{family.density_difference:.3f} nats",
            f"{family.cost.mean():.3f} ± {family.cost.std(ddof=1):.3f}",
        ]
        for name, family in families.items()
    ]
    head = ["game", "variance of paths", "spread of log-densities", "transport cost"]
    distance = said.getvalue().splitlines()[0].replace("W2^2", "W2²").replace("+-", "±")
    distance = f"\n{distance[0].upper()}{distance[1:]}.\n"
    return table(head, rows) + distance + f"\n![paths from five seeds](flows/{FIGURE.name})\n"
