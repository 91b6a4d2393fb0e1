"""The tables behind the table kinds of noise; stored once in the bundle."""

import numpy as np

CODEBOOK_ROWS = 16384  # 4 MB with 64 columns: stays in the cache while rows are gathered
CODEBOOK_COLUMNS = 64
CODEBOOK_SEED = 20240701
SIGN_COLUMNS = 16


def noise_table(kind: str) -> np.ndarray | None:
    """Returns the [rows, columns] float32 table of a noise kind, None for `gaussian`."""
    return {"codebook": _codebook, "rademacher": _signs, "gaussian": lambda: None}[kind]()


def _codebook() -> np.ndarray:
    """Gaussian rows, whitened so that their mean is 0 and their covariance the identity.

    Then E[z] = 0 and E[z z^T] = I hold over the choice of rows, to float32 rounding, and the SPSA
    estimate E[z z^T grad] is unbiased however small the table is.
    """
    rows = np.random.default_rng(CODEBOOK_SEED).standard_normal((CODEBOOK_ROWS, CODEBOOK_COLUMNS))
    rows -= rows.mean(axis=0)
    cholesky = np.linalg.cholesky(rows.T @ rows / len(rows))
    return np.linalg.solve(cholesky, rows.T).T.astype(np.float32)


def _signs() -> np.ndarray:
    """All patterns of 16 signs: the row number's bits, as -1 and +1."""
    bits = np.arange(1 << SIGN_COLUMNS)[:, None] >> np.arange(SIGN_COLUMNS) & 1
    return (2 * bits - 1).astype(np.float32)
