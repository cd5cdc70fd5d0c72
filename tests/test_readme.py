"""The README's code runs as it stands."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run_one_after_the_other(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    assert len(capsys.readouterr().out.strip().splitlines()) >= 2, "they print"
    assert float(namespace["info"].relative_residual) < 1e-3
    # Which candidate is fastest on a system this small is for the machine to say.
    np.testing.assert_allclose(namespace["solution"].value, [0.2, 0.6], rtol=1e-5)
    assert float(namespace["objective"](namespace["params"], namespace["batch"])) < 2.0
