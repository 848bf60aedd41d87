"""What particles leave behind: a cloud of points, from which samples are taken."""

import equinox as eqx
import jax

from mfgen._types import Batch, Key


class Cloud(eqx.Module):
    """Points that are a sample themselves; they have no control and no density.

    Arguments:
        points: `[n, dim]`.
    """

    points: Batch

    @property
    def size(self) -> int:
        """How many there are."""
        return self.points.shape[0]

    def draw(self, n: int, *, key: Key) -> Batch:
        """n different ones of the points, `[n, dim]`.

        Raises:
            ValueError: for more than there are.
        """
        if n > self.size:
            raise ValueError(
                f"`sample` got n = {n} of a run with {self.size} particles, expected at most as "
                "many: ask for fewer, or run again with a larger `count` in [model]."
            )
        return self.points[jax.random.permutation(key, self.size)[:n]]
