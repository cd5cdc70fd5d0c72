"""Q-Newton's policy."""

from typing import ClassVar

from .base import AbstractPolicy, Choice, Offers, Turn, fastest_of, nobody_passed_over


class Fastest(AbstractPolicy):
    """The candidate with the least predicted seconds: Q-Newton's scheduler (arXiv 2405.00252, section 4)."""

    remembers: ClassVar[bool] = False
    takes_fastest: ClassVar[bool] = True

    def choose(self, offers: Offers, turn: Turn) -> Choice:
        return fastest_of(offers, nobody_passed_over(offers))
