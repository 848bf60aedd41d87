"""What may happen to a file between two commands: bits flip, ends go, parts come twice or late.

Everything is drawn from a seed, so that a case that ended badly can be had again.
"""

import random

ODD = [b"", b"\0", b"nan", b"1e999", b'"', b",", b"\n", b"\xff\xfe", b"-", b"[", b"{", b"9" * 400]


def mutated(content: bytes, seed: int, other: bytes = b"") -> bytes:
    """The content with one to three changes."""
    rng = random.Random(seed)
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = rng.choice(CHANGES)(content, rng, other)
    return content


def flip(content, rng, other):
    """Flips a bit."""
    if not content:
        return content
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def flip_early(content, rng, other):
    """Flips a bit near the beginning, where formats say what they are."""
    return flip(content[:128], rng, other) + content[128:]


def cut(content, rng, other):
    """Loses its end."""
    return content[: rng.randrange(len(content) + 1)]


def behead(content, rng, other):
    """Loses its beginning."""
    return content[rng.randrange(len(content) + 1) :]


def double(content, rng, other):
    """Has a part twice."""
    one, two = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    return content[:two] + content[one:two] + content[two:]


def insert(content, rng, other):
    """Has something odd in it."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(ODD) * rng.choice([1, 1, 50]) + content[at:]


def shuffle_lines(content, rng, other):
    """Has its lines in another order."""
    lines = content.splitlines(keepends=True)
    rng.shuffle(lines)
    return b"".join(lines)


def exchange(content, rng, other):
    """Is another file."""
    return other or content


def zero(content, rng, other):
    """Has a block that was never written."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + bytes(len(content[at : at + 512])) + content[at + 512 :]


CHANGES = [flip, flip, flip_early, cut, behead, double, insert, shuffle_lines, exchange, zero]
