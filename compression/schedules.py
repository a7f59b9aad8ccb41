"""Sparsities of the stages in which a network is pruned step by step."""

from compression.errors import SparsityError


def geometric(final: float, stages: int, initial: float = 0.0) -> list[float]:
    """Each stage keeps the same share of what the one before kept.

    Args:
        final: Sparsity after the last stage.
        stages: Number of stages.
        initial: Sparsity before the first stage.

    Returns:
        The sparsity after each stage, `(stages,)`; the last is exactly `final`.

    Raises:
        SparsityError: Not `0 <= initial <= final < 1`, or no stage.
    """
    _check(final, stages, initial)
    kept = (1 - final) / (1 - initial)
    between = [1 - (1 - initial) * kept ** (stage / stages) for stage in range(1, stages)]
    return [*between, final]


def cubic(final: float, stages: int, initial: float = 0.0) -> list[float]:
    """Much at first, less and less towards the end: `s_f + (s_i - s_f) (1 - t)^3` (Zhu and Gupta).

    Args:
        final: Sparsity `s_f` after the last stage.
        stages: Number of stages; `t` is the share of them that is done.
        initial: Sparsity `s_i` before the first stage.

    Returns:
        The sparsity after each stage, `(stages,)`; the last is exactly `final`.

    Raises:
        SparsityError: Not `0 <= initial <= final < 1`, or no stage.
    """
    _check(final, stages, initial)
    between = [final + (initial - final) * (1 - stage / stages) ** 3 for stage in range(1, stages)]
    return [*between, final]


def _check(final: float, stages: int, initial: float) -> None:
    if not 0 <= initial <= final < 1:
        raise SparsityError(
            f"sparsities must satisfy 0 <= initial <= final < 1, not {initial} and {final}"
        )
    if stages < 1:
        raise SparsityError(f"there must be a stage at least, not {stages}")
