"""Error of a score against the exact score of the noised truth.

The law of the noising Y and the law of the process steered by a model s_theta differ, over the
whole path, by the forward path divergence (Girsanov)

    bound = 1/2 ∫ g(s)^2 E_eta(s) |s_theta - grad log eta(s)|^2 ds,

which with the mismatch of the reference bounds KL(truth | model). It is what score matching
minimises; it is not the cost of the game, which is the divergence of the reversed pair. Since
g^2 ds = 2 sigma^2 d log kappa, with kappa the noise ratio,

    bound = ∫ sigma^2 E|s_theta - grad log eta|^2 d log kappa
          = (range of log kappa) x (the same as a mean over uniform log kappa, the score error).

The integrand is the error of the noise prediction sigma s_theta, so neither end is stiff.

Reference: Y. Song, C. Durkan, I. Murray, S. Ermon, "Maximum likelihood training of score-based
diffusion models" (2021), arXiv 2101.09258, theorem 1.
"""

import equinox as eqx

from mfgen._types import Key, Scalar, State, Time
from mfgen.densities import _base as density
from mfgen.densities._base import AbstractNoisable
from mfgen.dynamics._noising import AbstractNoising
from mfgen.games._game import MFG
from mfgen.losses._noised import noising_of
from mfgen.metrics import _door, _stratified
from mfgen.metrics._estimate import Estimate, Profile
from mfgen.models._base import AbstractModel, score

# Points at once: bounds the memory of truths with many components.
_CHUNK = 512


def score_error(
    game: MFG, model: AbstractModel, truth: AbstractNoisable, n: int = 4096, *, key: Key
) -> Estimate:
    """The mean of sigma^2 |s_theta - grad log eta|^2 over uniform log kappa and the noised truth.

    Arguments:
        game: the score-based game.
        model: a model of its costate.
        truth: the data's density, noised exactly.
        n: number of points, even.

    Raises:
        TypeError: the game is not score-based.
        ValueError: n is odd or less than 2.
    """
    return _error("score_error", game, model, truth, n, key)


def girsanov_bound(
    game: MFG, model: AbstractModel, truth: AbstractNoisable, n: int = 4096, *, key: Key
) -> Estimate:
    """1/2 ∫ g^2 E|s_theta - grad log eta|^2 ds over the noising interval, in nats.

    Arguments:
        game: the score-based game.
        model: a model of its costate.
        truth: the data's density, noised exactly.
        n: number of points, even.

    Raises:
        TypeError: the game is not score-based.
        ValueError: n is odd or less than 2.
    """
    error = _error("girsanov_bound", game, model, truth, n, key)
    first, last = _stratified.log_ratio_range(noising_of(game, "girsanov_bound"))
    return Estimate((last - first) * error.value, (last - first) * error.standard_error)


def score_profile(
    game: MFG,
    model: AbstractModel,
    truth: AbstractNoisable,
    times: _door.Numbers,
    n: int = 1024,
    *,
    key: Key,
) -> Profile:
    """sigma^2 E|s_theta - grad log eta|^2 at given game times: the Girsanov bound's integrand.

    Arguments:
        game: the score-based game.
        model: a model of its costate.
        truth: the data's density, noised exactly.
        times: game times, `[m]`.
        n: number of points at each time, at least 2.

    Raises:
        TypeError: the game is not score-based.
        ValueError: times outside the game, or n less than 2.
    """
    noising = noising_of(game, "score_profile")
    if n < 2:
        raise ValueError(f"`score_profile` got n = {n}, expected at least 2: draw more points.")
    checked = _stratified.check_times("score_profile", noising, times)
    square = _Square(noising, model, truth)
    return _stratified.mean_squares(noising, truth, square, checked, n, _CHUNK, key)


class _Square(eqx.Module):
    """sigma^2 |s_theta - grad log eta|^2."""

    noising: AbstractNoising
    model: AbstractModel
    truth: AbstractNoisable

    def __call__(self, t: Time, x: State) -> Scalar:
        s = self.noising.horizon - t
        signal, noise = self.noising.signal(s), self.noising.noise(s)
        gap = noise * (score(self.model, t, x) - density.score(self.truth.noised(signal, noise))(x))
        return gap @ gap


def _error(
    owner: str, game: MFG, model: AbstractModel, truth: AbstractNoisable, n: int, key: Key
) -> Estimate:
    _stratified.check_even(owner, n)
    noising = noising_of(game, owner)
    square = _Square(noising, model, truth)
    return _stratified.mean_square(noising, truth, square, n, _CHUNK, key)
