"""The README's code runs as it stands."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run_one_after_the_other(capsys) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 2
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
    plan_line, solution_line = capsys.readouterr().out.strip().splitlines()[-2:]
    residual = float(plan_line.split()[-1])
    assert residual < 1e-3
    assert solution_line.startswith("[0.2")
    assert float(namespace["objective"](namespace["params"], namespace["batch"])) < 2.0
