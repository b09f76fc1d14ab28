"""The convolutional codes behind trellis-coded level sets.

A dimension of b bits has 2^(b+1) levels, numbered round 0, 1, 2, 3 into four subsets. A state opens two of them, 0 and
2 or 1 and 3; the lowest bit of a symbol picks one of the two and the next state, the other b - 1 bits the level in it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

# Parity checks (h0, h1) of Ungerboeck's codes for one-dimensional signal sets, by the logarithm of the number of states
# (Ungerboeck, "Channel coding with multilevel/phase signals", IEEE Trans. Inf. Theory 28, 1982, table I).
CHECKS = {
    2: (0o5, 0o2),
    3: (0o13, 0o4),
    4: (0o23, 0o4),
    5: (0o45, 0o10),
    6: (0o103, 0o24),
    7: (0o235, 0o126),
    8: (0o515, 0o362),
}
STATES = tuple(1 << memory for memory in CHECKS)


@dataclass(frozen=True)
class Trellis:
    """A systematic feedback encoder of rate 1/2.

    The next state after bit u in state s is ``(s >> 1) ^ (s & 1) * feedback ^ u * tap``.

    Attributes
    ----------
    states : int
        A power of two, 4 to 256.
    feedback, tap : int
        The two parity checks without their lowest bit. ``feedback`` has the highest bit of a state and ``tap`` has not:
        the highest bit of a state therefore tells the lowest of the one before it.
    """

    states: int
    feedback: int
    tap: int

    @property
    def next_state(self) -> npt.NDArray[np.uint8]:
        """Next state by state and bit, (states, 2) uint8."""
        s, u = np.arange(self.states)[:, None], np.arange(2)[None, :]
        return ((s >> 1) ^ (s & 1) * self.feedback ^ u * self.tap).astype(np.uint8)


def trellis(states: int) -> Trellis:
    """Return Ungerboeck's code with this many states.

    Raises
    ------
    ValueError
        If there is none.
    """
    if states not in STATES:
        raise ValueError(f"states: expected one of {', '.join(map(str, STATES))}, got {states!r}")
    check0, check1 = CHECKS[states.bit_length() - 1]
    return Trellis(states, check0 >> 1, check1 >> 1)


@njit(nogil=True, cache=True)
def walk(
    symbols: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.uint8],
    bits: npt.NDArray[np.uint8],
    levels: npt.NDArray[np.float32],
    next_state: npt.NDArray[np.uint8],
    decoded: npt.NDArray[np.float32],
) -> None:
    """Decode symbols to levels.

    Parameters
    ----------
    symbols : (m, d) uint8
    starts : (m,) uint8
        First state of each row.
    bits : (d,) uint8
        Bits of each dimension; 0 bits leave the state as it is.
    levels : (d, L) float32
    next_state : (states, 2) uint8
        With one state, symbols are levels.
    decoded : (m, d) float32
        Result.
    """
    plain = len(next_state) == 1
    for i in range(symbols.shape[0]):
        state = np.int64(starts[i])
        for j in range(symbols.shape[1]):
            symbol = np.int64(symbols[i, j])
            if plain or bits[j] == 0:
                decoded[i, j] = levels[j, symbol]
            else:
                decoded[i, j] = levels[j, 2 * symbol + (state & 1)]
                state = np.int64(next_state[state, symbol & 1])
