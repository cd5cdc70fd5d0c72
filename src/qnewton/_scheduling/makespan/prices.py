"""Prices of the workers' time: the dual of the linear relaxation, by multiplicative weights.

For weights `w >= 0` that sum to 1, every schedule with makespan C has

    C >= sum_i w_i (ready_i + load_i) >= sum_i w_i ready_i + sum_j min_i w_i p_ij,

if every worker that counts is ready by C. The best weights make the right-hand side the value of the linear programme
of Lenstra, Shmoys and Tardos (Mathematical Programming 46, 1990).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Prices:
    """Weights of the workers, the bound that they prove, and the jobs' workers while they were found.

    Attributes:
        weights: `[workers]`, at least 0, their sum 1.
        bound_s: no schedule is shorter.
        shares: `[jobs, workers]`, how often each job found each worker cheapest: nearly the best fractional schedule.
    """

    weights: np.ndarray
    bound_s: float
    shares: np.ndarray


def bound_of(seconds: np.ndarray, ready_s: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> float:
    """Return the bound that given weights prove, with an allowance for rounding.

    Args:
        seconds: `[jobs, kinds]`, infinite where a pair is excluded.
        ready_s: `[kinds]`.
        counts: `[kinds]`, how many workers alike there are.
        weights: `[kinds]`, of all workers of a kind together, at least 0; normalised here.
    """
    weights = weights / weights.sum()
    # A weight of 0 must not make an excluded pair free.
    with np.errstate(invalid="ignore"):
        priced = np.where(np.isinf(seconds), np.inf, seconds * (weights / counts))
    return float(weights @ ready_s + priced.min(axis=1).sum()) * (1 - 1e-12)


def find_prices(seconds: np.ndarray, ready_s: np.ndarray, counts: np.ndarray, rounds: int) -> Prices:
    """Return weights that price the workers' time so that all are busy for about as long.

    Args:
        seconds: `[jobs, kinds]`, infinite where a pair is excluded.
        ready_s: `[kinds]`.
        counts: `[kinds]`, how many workers alike there are.
        rounds: of the weights' adjustment; each costs two passes over `seconds`.

    Returns:
        Weights per kind (of all its workers together), with the best bound seen.
    """
    jobs, width = seconds.shape
    rows = np.arange(jobs)
    # The price of a second on one worker of a kind.
    price = np.ones(width)
    shares = np.zeros(jobs * width)
    best, best_bound = price * counts, -np.inf
    total = counts.sum()
    for turn in range(rounds):
        priced = seconds * price
        chosen = priced.argmin(axis=1)
        cheapest = priced[rows, chosen]
        bound = float((cheapest.sum() + (price * counts) @ ready_s) / (price @ counts))
        if bound > best_bound:
            best, best_bound = price * counts, bound
        # The second half's average: the first half finds the prices.
        if 2 * turn >= rounds:
            shares += np.bincount(rows * width + chosen, minlength=jobs * width)
        loads = np.bincount(chosen, weights=seconds[rows, chosen], minlength=width) / counts + ready_s
        mean = float(loads @ counts) / total
        step = 0.7 / (1 + 8 * turn / rounds) ** 1.5
        price = price * np.exp(step * np.clip(loads / max(mean, 1e-300) - 1, -1, 1))
        price /= price @ counts
    shares = shares.reshape(jobs, width)
    return Prices(best / best.sum(), best_bound, shares / np.maximum(shares.sum(axis=1, keepdims=True), 1))
