"""What accuracy alone does not tell."""

import numpy as np
from numpy.typing import NDArray


def macro_f1(gold: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """The mean over classes of 2 TP / (2 TP + FP + FN) (van Rijsbergen 1979).

    Both have shape (sentences,). A class that is neither there nor predicted is left out.
    """
    scores = []
    for one in range(classes):
        both = np.sum((gold == one) & (predicted == one))
        either = np.sum(gold == one) + np.sum(predicted == one)
        if either:
            scores.append(2 * both / either)
    return float(np.mean(scores)) if scores else 0.0
