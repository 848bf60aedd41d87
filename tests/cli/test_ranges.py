"""A run tells of rows far outside the training range, and so does its report."""

import jax
import numpy as np

from mfgen.zoo._named_data import Data
from mfgen.zoo._samples import prepare


def test_a_run_warns_and_ends(tmp_path, ask, tiny):
    values = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 10.0, 0.1] + [0.0, 500.0, 3.0]
    header = {"delimiter": ",", "header": "a,b,c", "comments": ""}
    np.savetxt(tmp_path / "table.csv", values, **header)
    file = str(tmp_path / "table.csv")
    data = Data(name="table", path=file, validation=0.1, test=0.2)
    whole = prepare(data, key=jax.random.key(0))
    held_out = whole.original(whole.test)[:1]
    values[np.argmin(np.abs(values - held_out).sum(axis=1)), 1] = -9999.0
    np.savetxt(tmp_path / "table.csv", values, **header)
    path = tmp_path / "spec.toml"
    tiny(path, steps=2, metrics='["log_likelihood"]')
    text = path.read_text(encoding="utf-8")
    old = 'name = "gaussians8"\nsamples = 200\n'
    assert old in text
    new = 'name = "table"\npath = "table.csv"\nvalidation = 0.1\ntest = 0.2\n'
    path.write_text(text.replace(old, new), encoding="utf-8")
    code, out, err = ask("run", path, "--out", tmp_path / "run")
    assert code == 0, err
    said = " ".join(out.split())
    assert "warning: `data` has 1 of 40 test rows more than 20 training deviations" in said
    assert "column 'b': -9999 is" in said
    code, out, err = ask("report", tmp_path / "run")
    assert code == 0, err
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "column &#39;b&#39;: -9999 is" in page
