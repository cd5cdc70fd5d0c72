"""Schedules against brute force, a linear programme written down anew, and their defining properties."""

import itertools
import math

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.optimize

from qnewton._scheduling.makespan import Jobs, Machine, Schedule, problem_of, schedule, schedule_step
from qnewton._scheduling.makespan.bound import lower_bound
from qnewton._scheduling.makespan.exact import exact
from qnewton._scheduling.makespan.heuristic import _dealt, heuristic
from qnewton._scheduling.makespan.local_search import improve
from qnewton._scheduling.makespan.problem import finish_of, listed


def makespan_of(seconds, ready, assignment) -> float:
    """By its definition, one job after the other."""
    ends: dict[int, float] = {}
    for j, i in enumerate(assignment):
        ends[i] = ends.get(i, ready[i]) + seconds[j][i]
    return max(ends.values(), default=0.0)


def shortest(seconds, ready) -> float:
    """Over all assignments."""
    jobs, width = np.shape(seconds)
    return min(makespan_of(seconds, ready, a) for a in itertools.product(range(width), repeat=jobs))


def relaxed(seconds, ready, cap) -> float:
    """The linear programme over all pairs that fit into `cap`, dense and without any of our shortcuts."""
    jobs, width = seconds.shape
    cost = np.append(np.zeros(jobs * width), 1.0)
    loads, once = np.zeros((width, jobs * width + 1)), np.zeros((jobs, jobs * width + 1))
    upper = np.ones(jobs * width + 1)
    upper[-1] = np.inf
    for j, i in itertools.product(range(jobs), range(width)):
        fits = ready[i] + seconds[j, i] <= cap * (1 + 1e-9)
        loads[i, j * width + i] = seconds[j, i] if fits else 0
        upper[j * width + i] = 1 if fits else 0
        once[j, j * width + i] = 1
    loads[:, -1] = -1
    found = scipy.optimize.linprog(cost, loads, -ready, once, np.ones(jobs), [(0, high) for high in upper])
    return float(found.fun)


def check(problem: Jobs, found: Schedule) -> None:
    """Everything that is true of any schedule."""
    jobs = len(problem.jobs)
    assert found.assignment.shape == (jobs,)
    assert np.all(np.isfinite(problem.seconds[np.arange(jobs), found.assignment]))
    assert sorted(j for mine in found.order for j in mine) == list(range(jobs))
    for i, mine in enumerate(found.order):
        assert all(found.assignment[j] == i for j in mine)
        ends = problem.ready_s[i] + sum(problem.seconds[j, i] for j in mine) if mine else 0.0
        assert found.finish_s[i] == pytest.approx(ends)
    assert found.makespan_s == pytest.approx(makespan_of(problem.seconds, problem.ready_s, found.assignment))
    assert 0 <= found.lower_bound_s <= found.makespan_s
    if jobs:
        # Nobody is longer at it than one worker alone who can do everything.
        alone = problem.ready_s + problem.seconds.sum(axis=0)
        assert found.makespan_s <= alone.min() * (1 + 1e-9)


# Seconds up to 8 in quarters, with workers that cannot take a job and workers that are not ready at once.
@st.composite
def problems(draw, most_jobs: int = 5, least_workers: int = 1, *, all_can: bool = False):
    jobs, width = draw(st.integers(1, most_jobs)), draw(st.integers(least_workers, 3))
    quarters = st.integers(0, 32).map(lambda k: k / 4)
    entry = quarters if all_can else st.one_of(quarters, quarters, st.just(math.inf))
    seconds = np.asarray(draw(st.lists(st.lists(entry, min_size=width, max_size=width), min_size=jobs, max_size=jobs)))
    hypothesis.assume(np.all(np.any(np.isfinite(seconds), axis=1)))
    ready = np.asarray(draw(st.lists(st.sampled_from([0.0, 0.0, 1.5, 20.0]), min_size=width, max_size=width)))
    return Jobs.of(seconds, ready)


@hypothesis.given(problem=problems())
@hypothesis.example(problem=Jobs.of([[0.0, 0.0]]))
@hypothesis.example(problem=Jobs.of([[1.0, math.inf], [math.inf, 1.0]], [20.0, 0.0]))
@hypothesis.example(problem=Jobs.of([[8.0, 1.0], [8.0, 1.0]], [0.0, 20.0]))
def test_small_ones_are_the_shortest(problem):
    found = schedule(problem, tolerance=0.0)
    check(problem, found)
    best = shortest(problem.seconds, problem.ready_s)
    assert found.makespan_s == pytest.approx(best, abs=1e-9)
    assert found.lower_bound_s <= best * (1 + 1e-9)
    assert lower_bound(problem, best) <= best * (1 + 1e-9)


@hypothesis.given(problem=problems(most_jobs=8), seed=st.integers(0, 99))
def test_the_order_of_jobs_and_workers_does_not_matter(problem, seed):
    generator = np.random.default_rng(seed)
    rows, columns = (generator.permutation(size) for size in problem.seconds.shape)
    other = Jobs.of(problem.seconds[np.ix_(rows, columns)], problem.ready_s[columns])
    one, two = schedule(problem, tolerance=0.0), schedule(other, tolerance=0.0)
    check(problem, one)
    assert one.makespan_s == pytest.approx(two.makespan_s, rel=1e-5, abs=1e-5)


@hypothesis.given(problem=problems(most_jobs=8), seed=st.integers(0, 99))
def test_another_worker_never_hurts(problem, seed):
    column = np.random.default_rng(seed).integers(0, 32, (len(problem.jobs), 1)) / 4
    more = Jobs.of(np.hstack([problem.seconds, column]), np.append(problem.ready_s, seed % 3))
    fewer, richer = schedule(problem, tolerance=0.0), schedule(more, tolerance=0.0)
    assert richer.makespan_s <= fewer.makespan_s + 1e-5


def random_problem(kind: str, jobs: int, width: int, seed: int) -> Jobs:
    generator = np.random.default_rng(seed)
    if kind == "uniform":
        return Jobs.of(generator.uniform(1, 100, (jobs, width)))
    if kind == "log-uniform":
        return Jobs.of(10 ** generator.uniform(0, 3, (jobs, width)))
    size = 10 ** generator.uniform(-1, 2, (jobs, 1))
    seconds = np.repeat(size, width, axis=1)
    quick = generator.random((jobs, 1)) < 0.3
    seconds[:, -2:] = np.where(quick, size * 0.02, np.inf) + 0.5
    return Jobs.of(seconds, np.append(np.zeros(width - 2), [5.0, 5.0]))


KINDS = pytest.mark.parametrize("kind", ["uniform", "log-uniform", "two QPUs"])


@KINDS
def test_the_bound_is_the_linear_programme(kind):
    problem = random_problem(kind, 40, 5, seed=3)
    cap = finish_of(problem, heuristic(problem)).max()
    assert lower_bound(problem, cap) == pytest.approx(relaxed(problem.seconds, problem.ready_s, cap), rel=1e-5)


def test_the_bound_leaves_out_pairs_that_alone_are_too_long():
    problem = random_problem("log-uniform", 8, 3, seed=25)
    cap = finish_of(problem, heuristic(problem)).max()
    expected = relaxed(problem.seconds, problem.ready_s, cap)
    # Both were lower otherwise: the programme over all pairs, and the longest of the shortest seconds.
    assert expected > 1.1 * max(relaxed(problem.seconds, problem.ready_s, 1e9), problem.seconds.min(axis=1).max())
    assert lower_bound(problem, cap) == pytest.approx(expected, rel=1e-5)


def test_of_many_jobs_the_bound_is_proven_without_a_programme_of_integers():
    found = schedule(random_problem("uniform", 80, 5, seed=3), exact_up_to=0)
    check(found.problem, found)
    assert 0 < found.gap <= 0.05


def test_the_longest_job_is_dealt_first_to_the_wanted_worker_that_ends_it_soonest():
    """Job 2 takes 2 s at best and goes first; job 0 may only go where it takes 4; job 1 ends sooner beside it."""
    problem = Jobs.of([[4.0, 1.0], [3.0, 1.0], [2.0, 9.0]])
    wanted = np.array([[True, False], [True, True], [True, True]])
    assert _dealt(problem, wanted).tolist() == [0, 1, 0]
    assert _dealt(problem, np.ones((3, 2), bool)).tolist() == [1, 1, 0]
    # A worker that is ready late takes what still ends sooner there.
    assert _dealt(Jobs.of([[4.0, 1.0]], [0.0, 3.5]), np.ones((1, 2), bool)).tolist() == [0]


@KINDS
def test_the_unit_of_time_does_not_matter(kind):
    problem = random_problem(kind, 40, 5, seed=3)
    # By a power of two, which changes no digit: a step's blocks take far less than a second.
    small = Jobs.of(problem.seconds * 2.0**-20, problem.ready_s * 2.0**-20)
    np.testing.assert_array_equal(heuristic(small), heuristic(problem))


def test_five_names_are_listed_and_no_more():
    names = "abcdef"
    assert listed(names, range(5)) == "'a', 'b', 'c', 'd', 'e'"
    assert listed(names, range(6)) == "'a', 'b', 'c', 'd', 'e' and 1 more"


def test_the_programme_waits_for_a_worker_that_is_not_ready():
    # One job each is the shortest, 6 s. Had the second worker no wait it would take both.
    solved = exact(Jobs.of([[4.0, 1.0], [4.0, 1.0]], [0.0, 5.0]), 8.0, 0.0, 10.0)
    assert solved.assignment is not None
    assert sorted(solved.assignment.tolist()) == [0, 1]
    assert solved.bound_s == pytest.approx(6.0, rel=1e-5)


@KINDS
def test_thirty_blocks_are_within_a_twentieth_of_the_optimum(kind):
    problem = random_problem(kind, 30, 4, seed=1)
    found = schedule(problem)
    check(problem, found)
    assert found.gap <= 0.05


@KINDS
def test_twenty_blocks_per_machine_are_within_a_twentieth_of_the_bound(kind):
    problem = random_problem(kind, 400, 20, seed=2)
    found = schedule(problem)
    check(problem, found)
    assert found.gap <= 0.05
    # The same on every call: nothing hangs on the clock.
    np.testing.assert_array_equal(found.assignment, schedule(problem).assignment)


def test_local_search_moves_exchanges_and_passes_on():
    # By hand: one move; one exchange; and a chain over three workers that neither of them can do.
    moves = np.asarray([[4.0, 4.0], [4.0, 4.0]]), [0, 0], 4.0
    exchange = np.asarray([[9.0, 2.0], [2.0, 9.0]]), [0, 1], 2.0
    chain = np.asarray([[6.0, 3.0, 99.0], [99.0, 6.0, 3.0], [99.0, 99.0, 2.0]]), [0, 1, 2], 5.0
    for seconds, start, expected in (moves, exchange, chain):
        start = np.asarray(start)
        assignment, left = improve(seconds, np.zeros(seconds.shape[1]), start, 1e6)
        assert makespan_of(seconds, np.zeros(9), assignment) == expected
        assert 0 < left < 1e6
    stuck, left = improve(moves[0], np.zeros(2), np.asarray([0, 0]), 0.0)
    assert stuck.tolist() == [0, 0]


def test_no_jobs_take_no_time():
    found = schedule(Jobs.of(np.zeros((0, 3))))
    assert (found.makespan_s, found.gap, found.order) == (0.0, 0.0, ((), (), ()))


BAD = {
    "no worker": (lambda: Jobs.of(np.zeros((2, 0))), "no worker for 2 jobs"),
    "not a table": (lambda: Jobs.of(np.zeros(3)), r"shape \(3,\)"),
    "names": (lambda: Jobs.of(np.zeros((2, 1)), jobs=["a"]), r"1 names of jobs"),
    "one name twice": (lambda: Jobs.of(np.zeros((1, 2)), workers=["a", "a"]), "two workers have one name"),
    "nobody can": (
        lambda: Jobs.of([[1.0, 2.0], [math.inf, math.nan]], jobs=["easy", "hard"]),
        "no worker can take 'hard': on each of worker 0, worker 1",
    ),
    "negative": (lambda: Jobs.of([[1.0], [-2.0]], jobs=["a", "b"]), r"'b' takes -2\.0 s on 'worker 0'"),
    "ready never": (lambda: Jobs.of([[1.0]], math.inf), "ready_s is .*finite"),
    "tolerance": (lambda: schedule(Jobs.of([[1.0]]), tolerance=-0.1), r"tolerance is -0\.1"),
    "time limit": (lambda: schedule(Jobs.of([[1.0]]), time_limit_s=0), "time_limit_s is 0"),
    "no solvers": (lambda: Machine("cpu", ()), "'cpu' runs no solvers"),
    "count": (lambda: Machine("cpu", ("LU",), count=-1), "count of -1"),
    "slowness": (lambda: Machine("cpu", ("LU",), slowness=0), "slowness of 0"),
    "queue": (lambda: Machine("cpu", ("LU",), queue_s=math.nan), "queue_s of nan"),
    "no machine": (lambda: schedule_step(np.ones((2, 1)), ["LU"], []), "nobody|no worker"),
    "none of a machine": (lambda: problem_of(np.ones((2, 1)), ["LU"], [Machine("cpu", ("LU",), 0)]), "no worker"),
    "unknown candidate": (
        lambda: schedule_step(np.ones((2, 1)), ["Cholesky"], [Machine("cpu", ("Cholesk",))]),
        "machine 'cpu': unknown candidate 'Cholesk': did you mean 'Cholesky'",
    ),
    "columns": (lambda: problem_of(np.ones((2, 2)), ["LU"], [Machine("cpu", ("LU",))]), "1 candidates"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_says_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_machines_run_the_fastest_of_their_candidates():
    names = ["Cholesky", "LU", "QLSA"]
    predicted = np.asarray([[2.0, 3.0, 0.5], [math.inf, 3.0, math.nan], [math.nan, math.inf, math.inf]])
    machines = [Machine("cpu", ("Cholesky", "LU"), count=2, slowness=2.0), Machine("qpu", ("QLSA",), 1, 1.0, 4.0, 0.25)]
    problem, runs = problem_of(predicted[:2], names, machines, blocks=["a", "b"])
    assert problem.workers == ("cpu 0", "cpu 1", "qpu")
    np.testing.assert_array_equal(problem.seconds, [[4.0, 4.0, 0.75], [6.0, 6.0, math.inf]])
    np.testing.assert_array_equal(problem.ready_s, [0.0, 0.0, 4.0])
    np.testing.assert_array_equal(runs, [[0, 0, 2], [1, 1, 0]])
    found = schedule_step(predicted, names, machines, blocks=["a", "b", "c"])
    # The queue makes the quantum machine slower than a free classical one.
    assert found.candidates.tolist() == [0, 1, -1]
    assert found.blocks.tolist() == [0, 1, -1]
    assert found.schedule.makespan_s == 6.0
    assert "nobody can take 'c'" in found.schedule.notes[-1]
