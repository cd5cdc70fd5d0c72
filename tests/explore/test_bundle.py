"""Every function of the bundle returns what the library does, at random points, and says so where it has no number."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from qnewton._core.gates import GateCost
from qnewton._core.records import Encoding
from qnewton._hardware import load_profile, profile_names
from qnewton._pricing.assumptions import ASSUMPTION_SETS
from qnewton._pricing.bounds import Least, least_charges
from qnewton._pricing.breakeven import Question, bound_orders
from qnewton._pricing.classical import predict
from qnewton._pricing.clock import Clock
from qnewton._pricing.more_rows import more_rows
from qnewton._pricing.paper import charged
from qnewton._pricing.plan import plan
from qnewton._pricing.problem import MatrixNumbers, Problem
from qnewton._pricing.split import split, start
from qnewton._pricing.structure import UNKNOWN, Structure, grid
from qnewton._pricing.table import Row, table
from qnewton._pricing.verdict import verdicts
from qnewton._solvers.quantum.encoding import SquareRoot
from qnewton._solvers.quantum.queries import QUERY_MODELS, block_queries
from qnewton._solvers.quantum.readout import Refined
from qnewton.lab._explore.bundle import LAYOUTS, hosts, profiles
from qnewton.lab._explore.formulas import SYSTEM, readouts_of, rivals_of, root_of

POINTS, TABLES = 1000, 20
RNG = np.random.default_rng(22)


class Expected(NamedTuple):
    """What a function should return at some points."""

    name: str
    points: str
    valid: Any
    results: dict[str, Any]


def log_uniform(low: float, high: float) -> np.ndarray:
    return 10 ** RNG.uniform(low, high, POINTS)


SYSTEMS = {
    "n": np.round(log_uniform(0.3, 9)),
    "kappa": log_uniform(0, 9),
    "epsilon": log_uniform(-12, -0.1),
    "gate_time_s": log_uniform(-18, -3),
}
SYSTEMS["d"] = np.maximum(np.round(SYSTEMS["n"] ** RNG.uniform(0, 1, POINTS)), 1.0)
COUNTS = {
    "condition_number": log_uniform(-0.1, 9),
    "subnormalisation": log_uniform(-0.01, 4),
    "smallest_solution_norm": np.ones(POINTS),
    "precision": log_uniform(-12, 0.1),
}
RUNS = {
    "t_count": log_uniform(0, 32),
    "t_depth": log_uniform(0, 30),
    "qubits": np.round(log_uniform(0, 9)),
    "gate_time_s": log_uniform(-18, -3),
    "failure_probability": log_uniform(-20, 0.02),
}
MATRICES = {
    "n": SYSTEMS["n"],
    "degree": SYSTEMS["d"],
    "max_entry": log_uniform(-2, 0),
    "frobenius_norm": log_uniform(0, 3),
    "spectral_norm": np.ones(POINTS),
    "log_condition_number": np.log(SYSTEMS["kappa"]),
    "precision": log_uniform(-30, 0.1),
}
PROBLEMS = {
    "n": SYSTEMS["n"],
    "degree": SYSTEMS["d"],
    "condition_number": SYSTEMS["kappa"],
    "precision": SYSTEMS["epsilon"],
    **{name: np.ones(POINTS) for name in ("max_entry", "spectral_norm")},
    "frobenius_norm": np.maximum(SYSTEMS["n"] ** RNG.uniform(0, 0.5, POINTS), 1.0),
}
PATTERNS = {
    "bandwidth": np.floor(SYSTEMS["n"] ** RNG.uniform(0, 1, POINTS)) - 1,
    "preconditioned_kappa": SYSTEMS["kappa"] ** RNG.uniform(0, 1.1, POINTS),
    "layer": np.maximum(np.round(SYSTEMS["n"] ** RNG.uniform(0, 1, POINTS)), 1.0),
    "root_rows": np.round(log_uniform(0, 6)),
}
READOUTS = {"n": SYSTEMS["n"], "precision": log_uniform(-12, 0.1), "failure_probability": log_uniform(-9, 0.1)}
ROOTS = {
    "root_rows": np.round(log_uniform(0, 6)),
    "overlap": log_uniform(-2, 0),
    "row_entries": np.round(log_uniform(0, 4)),
    "definite": np.ones(POINTS),
}
PARTS = {"kappa": SYSTEMS["kappa"], "epsilon": SYSTEMS["epsilon"], "place": RNG.uniform(0, 1, POINTS)}
SETTINGS = {
    "systems": SYSTEMS,
    "known": {**SYSTEMS, "solution_norm": SYSTEMS["kappa"] ** RNG.uniform(0, 1, POINTS)},
    "counts": COUNTS,
    "counts, known": {
        **COUNTS,
        "solution_norm": np.maximum(COUNTS["condition_number"], 1) ** RNG.uniform(-0.1, 1.1, POINTS),
    },
    "bounded": {**COUNTS, "n": SYSTEMS["n"], "degree": SYSTEMS["d"]},
    "runs": RUNS,
    "matrices": MATRICES,
    "problems": {**PROBLEMS, **PATTERNS},
    "readouts": READOUTS,
    "roots": {**SYSTEMS, **ROOTS},
    "parts": PARTS,
}


def counts() -> Iterator[Expected]:
    fields = ("queries", "state_preparations", "success_probability", "clamped", "extrapolated")
    for model in QUERY_MODELS.values():
        for points in ("counts", "counts, known"):
            *numbers, precision = COUNTS.values()
            found = model(Encoding(*numbers), precision, SETTINGS[points].get("solution_norm"))
            yield Expected(f"count/{model.name}", points, found.valid, {name: getattr(found, name) for name in fields})


def prices() -> Iterator[Expected]:
    fields = ("seconds", "fixed_seconds", "queries", "repetitions", "copies", "rounds", "t_count", "t_depth", "qubits")
    machine = profiles()[0]
    for points in ("systems", "known", "roots"):
        x = SETTINGS[points]
        factor = root_of(ROOTS) if points == "roots" else None
        norm = x.get("solution_norm")
        problem = Problem(x["n"], x["kappa"], x["epsilon"], x["d"], solution_norm=norm, factor=factor)
        clock = Clock(x["gate_time_s"], machine)
        for group, assumed, _, charge, _, by in charged(problem, [("", clock)], list(ASSUMPTION_SETS.values()), axes=1):
            if by or bool(group.suffix) != (points == "roots"):
                continue
            for place, model in enumerate(group.models):
                also = ("logical_qubits", *([] if group.suffix else ["encoding"]))
                results = {name: getattr(charge, name)[place] for name in (*fields, *also)}
                valid = np.broadcast_to(charge.valid[place], (POINTS,))
                yield Expected(f"price/{assumed.name}/{model.name}{group.suffix}", points, valid, results)


def machines() -> Iterator[Expected]:
    circuit = GateCost(RUNS["t_count"], RUNS["t_depth"], RUNS["qubits"], ())
    for profile in profiles():
        for layout in LAYOUTS:
            clock = Clock(RUNS["gate_time_s"], profile)
            seconds, qubits, conditions, stretched = clock.run(circuit, layout, RUNS["failure_probability"])
            valid = np.logical_and.reduce([one.holds for one in conditions])
            yield Expected(
                f"machine/{profile.name}/{layout.name}",
                "runs",
                valid,
                {"seconds": seconds, "qubits": qubits, "stretched": stretched},
            )


def structure_of(known: str, numbers: Any) -> Structure:
    """What is known of a pattern: a number, or the dimension of a mesh."""
    if known.startswith("mesh"):
        return grid(numbers["n"], int(known[-1]))
    if known == "layer":
        return Structure(layer=(numbers["layer"], numbers["n"] / numbers["layer"]))
    return Structure(**{known: numbers[known]}) if known else Structure()


def classical() -> Iterator[Expected]:
    for host in hosts():
        for rival, known in rivals_of():
            structure = structure_of(known, PATTERNS | PROBLEMS)
            given = Problem(**PROBLEMS, definite=rival.definite is not False, structure=structure)
            found = predict(rival, host, given)
            results = {name: getattr(found, name) for name in ("seconds", "rounds", "beyond_bytes")}
            yield Expected(
                f"classical/{host.name}/{rival.name}{known and '/' + known}", "problems", found.valid, results
            )


def bounds() -> Iterator[Expected]:
    *numbers, precision = COUNTS.values()
    found = block_queries(Encoding(*numbers), precision, SYSTEMS["n"], SYSTEMS["d"])
    yield Expected(f"least/{block_queries.name}", "bounded", found.valid, {"queries": found.queries})
    problem = Problem(SYSTEMS["n"], SYSTEMS["kappa"], SYSTEMS["epsilon"], SYSTEMS["d"])
    clock = Clock(SYSTEMS["gate_time_s"], profiles()[0])
    for assumed in ASSUMPTION_SETS.values():
        for encoding in assumed.encodings:
            one = dataclasses.replace(assumed, encodings=(encoding,))
            for least in least_charges(problem, [("", clock)], [one], axes=1):
                name = "any" if least.any_encoding else encoding.name
                yield Expected(f"bound/{assumed.name}/{name}", "systems", least.charge.valid[0], bounded(least))
        for least in least_charges(
            dataclasses.replace(problem, factor=root_of(ROOTS)), [("", clock)], [assumed], axes=1
        ):
            if least.solver.factor is not None:
                name = "any on the square root" if least.any_encoding else "square root"
                yield Expected(f"bound/{assumed.name}/{name}", "roots", least.charge.valid[0], bounded(least))
    for name, way in (("start", start), ("split", split)):
        yield Expected(f"part/{name}", "parts", np.ones(POINTS, bool), way(*PARTS.values())._asdict())


def bounded(least: Least) -> dict[str, Any]:
    return {field: getattr(least.charge, field)[0] for field in ("queries", "seconds")}


def parts() -> Iterator[Expected]:
    *numbers, precision = MATRICES.values()
    matrix = MatrixNumbers(**dict(zip(SYSTEM, numbers, strict=True)), definite=True)
    for encoding in {one.name: one for assumed in ASSUMPTION_SETS.values() for one in assumed.encodings}.values():
        made, cost = encoding.encode(matrix), encoding.cost(matrix, precision)
        results = {name: getattr(cost, name) for name in ("t_count", "t_depth", "qubits")}
        results |= {name: getattr(made, name) for name in ("condition_number", "subnormalisation")}
        results["entries"] = encoding.entries(matrix)
        yield Expected(f"encoding/{encoding.name}", "matrices", cost.valid, results)
    for readout in {
        one.name: one for assumed in ASSUMPTION_SETS.values() for one in readouts_of(assumed) if one
    }.values():
        found = Refined(readout).copies(*READOUTS.values())
        fields = ("copies", "controlled_applications", "rounds", "products")
        yield Expected(
            f"readout/{readout.name}", "readouts", found.valid, {name: getattr(found, name) for name in fields}
        )


def settings() -> list[dict[str, Any]]:
    """Random settings of a table, some numbers of them not given."""
    found = []
    for place in range(TABLES):
        x = {name: float(values[place]) for name, values in SYSTEMS.items()}
        x["epsilon"] = max(x["epsilon"], 1e-9)
        if place == 0:
            x |= {"n": 3.0, "d": 2.0, "kappa": 1.2}
        if place % 2:
            del x["d"]
        if place % 3 == 0:
            x["solution_norm"] = x["kappa"] ** 0.4
        if place % 5 == 0:
            x["frobenius_norm"], x["spectral_norm"] = 1.3, 1.1
        names = [profile.name for profile in profiles()]
        x |= {"set": list(ASSUMPTION_SETS)[place % len(ASSUMPTION_SETS)], "hardware": names[place % len(names)]}
        x["definite"] = place % 7 != 3
        if place % 4 == 1:
            x |= {name: float(values[place]) for name, values in PATTERNS.items()}
            x["mesh"] = f"mesh {2 + place % 8 // 4}"
            if place % 8 == 1:
                x |= {name: float(ROOTS[name][place]) for name in ("overlap", "row_entries")}
        found.append(x)
    return found


def rows_of(x: dict[str, Any]) -> list[Row]:
    """The rows of the same table by the library."""
    names = ("frobenius_norm", "spectral_norm", "solution_norm", "definite")
    given: Any = {name: x.get(name) for name in names}
    structures = [
        structure_of(name, x) for name in (*PATTERNS, x.get("mesh", "")) if name in x or name.startswith("mesh")
    ]
    known = {name: value for one in structures for name, value in vars(one).items() if value != getattr(UNKNOWN, name)}
    given["structure"] = Structure(**known)
    if "root_rows" in x:
        entries = None if "row_entries" not in x else int(x["row_entries"])
        given["factor"] = SquareRoot(int(x["root_rows"]), overlap=x.get("overlap"), row_entries=entries)
    problem = Problem(x["n"], x["kappa"], x["epsilon"], x.get("d"), **given)
    profile: Any = load_profile(x["hardware"])
    machine = dataclasses.replace(profile.machine, gate_time_s=x["gate_time_s"])
    sets, clocks = [ASSUMPTION_SETS[x["set"]]], [(profile.name, Clock.of(machine))]
    more = more_rows(problem, clocks, sets, hosts(), least_charges(problem, clocks, sets))
    return [*table(problem, [(profile.name, machine)], sets, hosts()), *more]


AXES = ("n", list(10 ** np.linspace(0.5, 9, 40)), "kappa", list(10 ** np.linspace(0, 8, 40)))


@pytest.fixture(scope="module")
def answers(evaluate: Any) -> dict[str, Any]:
    expected = [*counts(), *prices(), *bounds(), *machines(), *classical(), *parts()]
    requests = {
        "points": {
            name: [dict(zip(values, row, strict=True)) for row in np.stack(list(values.values()), 1).tolist()]
            for name, values in SETTINGS.items()
        },
        "functions": [{"name": one.name, "points": one.points, "results": ["valid", *one.results]} for one in expected],
        "tables": settings(),
        "maps": [[{"set": name, "epsilon": 1e-3}, *AXES] for name in ASSUMPTION_SETS],
    }
    numbers, tables = evaluate(requests)
    ends = np.cumsum([POINTS * (1 + len(one.results)) for one in expected])
    found = [part.reshape(POINTS, -1) for part in np.split(numbers, ends[:-1])]
    return {**tables, "pairs": list(zip(expected, found, strict=True))}


def test_every_exported_function_is_compared(answers: dict[str, Any]) -> None:
    assert {one.name for one, _ in answers["pairs"]} == set(answers["names"])
    assert len(profile_names()) == len(profiles()) + len(hosts())


def test_functions_equal_the_library_at_random_points(answers: dict[str, Any]) -> None:
    for one, found in answers["pairs"]:
        assert np.array_equal(found[:, 0] == 1, one.valid), one.name
        for (name, values), got in zip(one.results.items(), found[:, 1:].T, strict=True):
            wanted = np.broadcast_to(values, (POINTS,)).astype(float)
            # Where no formula holds there is no number to compare.
            held = one.valid
            np.testing.assert_allclose(got[held], wanted[held], rtol=1e-12, atol=0, err_msg=f"{one.name}: {name}")


def test_tables_are_those_of_plan(answers: dict[str, Any]) -> None:
    for x, found in zip(settings(), answers["tables"], strict=True):
        rows = rows_of(x)
        offers = {(one["name"], one["hardware"]): one for one in found["offers"]}
        listed = [row for row in rows if row.kind in ("quantum", "classical")]
        assert set(offers) == {(row.solver, row.hardware) for row in listed}
        for row in listed:
            offer = offers[row.solver, row.hardware]
            assert (offer["valid"], offer["why"]) == (row.valid, row.reason), (x, row.solver)
            assert offer["seconds"] == (row.seconds and pytest.approx(row.seconds, rel=1e-12))
            if row.kind == "quantum":
                assert offer["encoding"] == row.encoding
                assert {one["label"]: one["factor"] for one in offer["parts"]} == pytest.approx(row.factors, rel=1e-11)
        shared = min((row for row in rows if row.kind == "shared"), key=lambda row: row.seconds or 0, default=None)
        assert (found["shared"] is None) == (shared is None)
        if shared is not None:
            assert found["shared"]["name"] == shared.solver
            assert found["shared"]["seconds"] == pytest.approx(shared.seconds, rel=1e-9)
        (verdict,) = verdicts(rows)
        assert found["headline"] == verdict.sentence, x
        said = found["excluded"]
        assert verdict.impossible == "" if said is None else verdict.impossible.startswith(said["by"]), x


def test_maps_are_the_verdicts_of_their_points(answers: dict[str, Any]) -> None:
    """Who wins, by how much, and where no algorithm can."""
    _, xs, _, ys = AXES
    chosen = np.union1d([0, 1, len(xs)], RNG.choice(len(xs) * len(ys), 60, replace=False))
    n, kappa = np.round(np.array(xs)[chosen % len(xs)]), np.array(ys)[chosen // len(xs)]
    machine, sets = profiles()[0], list(ASSUMPTION_SETS.values())
    verdict = plan(n, kappa, hardware=[machine, *hosts()], assumptions=sets).verdicts
    reached = []
    for place, assumed in enumerate(sets):
        orders, found = verdict["orders"][place :: len(sets)], answers["maps"][place]
        np.testing.assert_allclose(np.array(found["ratio"], float)[chosen], 10**orders, rtol=1e-9, err_msg=assumed.name)
        sides = [verdict[f"{kind}_solver"][place :: len(sets)] for kind in ("classical", "quantum")]
        held = np.isfinite(orders)
        named = [found["winner"][k]["name"] for k in chosen[held]]
        assert named == np.where(orders <= 0, *sides[::-1])[held].tolist()
        question = Question(Problem(n, kappa), assumed, machine.machine, hosts())
        excluded = bound_orders(question, {"kappa": kappa}) > 0
        assert (np.array(found["unreachable"])[chosen] == excluded).all(), assumed.name
        reached.append(excluded.mean())
    # Of the paper's own costs the least of it, of all costs the most.
    assert 0 < reached[0] <= min(reached[1:]) < max(reached) < 1
