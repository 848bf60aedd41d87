"""The small score-based game of `tests.score_game`, for the tests of this folder."""

from tests.score_game import data, exact, game, network, target

__all__ = ["data", "exact", "game", "network", "target"]
