"""Which few of many vectors stand for all of them: representatives of clusters, coverage within a budget, and repeats.

Takes unit vectors with weights and costs, gives places among them. Knows nothing of texts and labels.
"""

import heapq
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]

BLOCK = 1024


def representatives(vectors: Vectors, weights: Floats, n: int, seed: int) -> tuple[list[int], NDArray[np.intp]]:
    """Return at most n places, one a cluster, the heaviest clusters first, and each vector's cluster in that order.

    `vectors` (m, d) are put in n clusters by k-means in which each counts by its weight (m,), and of each cluster the
    one nearest to its centre is taken: Zhdanov (2019), "Diverse mini-batch active learning".
    """
    m = len(vectors)
    if m <= n:
        order = sorted(range(m), key=lambda place: (-weights[place], place))
        ranks = np.empty(m, dtype=np.intp)
        ranks[order] = np.arange(m)
        return order, ranks
    from sklearn.cluster import KMeans

    weights = np.maximum(weights, 1e-9)
    found: Any = KMeans(n, n_init=1, max_iter=20, random_state=seed).fit(vectors, sample_weight=weights)
    distances = ((vectors - found.cluster_centers_[found.labels_]) ** 2).sum(axis=1)
    nearest: dict[int, int] = {}
    for place in np.argsort(distances, kind="stable"):
        nearest.setdefault(int(found.labels_[place]), int(place))
    mass = np.bincount(found.labels_, weights=weights, minlength=n)
    clusters = sorted(nearest, key=lambda cluster: (-mass[cluster], cluster))
    rank = {cluster: place for place, cluster in enumerate(clusters)}
    return [nearest[cluster] for cluster in clusters], np.array([rank[int(each)] for each in found.labels_])


def parts(vectors: Vectors, most: int, seed: int) -> list[NDArray[np.intp]]:
    """Return the places of vectors in parts of near ones, each of at most `most` but for what k-means leaves together;
    what it leaves larger is cut.
    """
    m = len(vectors)
    if m <= most:
        return [np.arange(m)]
    from sklearn.cluster import KMeans

    n = min(m, -(-2 * m // most))
    found: Any = KMeans(n, n_init=1, max_iter=10, random_state=seed).fit(vectors)
    members = [np.flatnonzero(found.labels_ == cluster) for cluster in range(n)]
    return [each[start : start + most] for each in members for start in range(0, len(each), most)]


def covering(vectors: Vectors, weights: Floats, costs: Floats, budget: float, chosen: Sequence[int] = ()) -> list[int]:
    """Return places whose costs (m,) fit in a budget, in the order of what they add, after those already chosen.

    Each adds, for every vector, by how much the nearest chosen one comes nearer (as a cosine), times its own weight
    (m,), for the square root of its cost. Facility location by lazy greedy choice: Lin and Bilmes (2011), Leskovec et
    al. (2007). What is `chosen` is in the budget already. Needs m * m numbers of memory.
    """
    alike = np.maximum(vectors @ vectors.T, 0.0)
    covered = alike[list(chosen)].max(axis=0) if len(chosen) else np.zeros(len(vectors), dtype=np.float32)
    rate = weights / np.sqrt(costs)

    def worth(place: int) -> float:
        return float(np.maximum(alike[place] - covered, 0.0).sum() * rate[place])

    left, taken = budget - float(costs[list(chosen)].sum()), set(chosen)
    heap = [(-worth(place), place) for place in range(len(vectors)) if place not in taken]
    heapq.heapify(heap)
    found: list[int] = []
    while heap:
        _, place = heapq.heappop(heap)
        if costs[place] > left:  # the budget only gets smaller: it never fits again
            continue
        now = worth(place)
        if heap and -now > heap[0][0]:  # what it adds has become less than what another may add
            heapq.heappush(heap, (-now, place))
            continue
        found.append(place)
        left -= float(costs[place])
        np.maximum(covered, alike[place], out=covered)
    return found


def first_of_alike(
    vectors: Vectors, order: Sequence[int], similarity: float, firsts: Collection[int] = ()
) -> NDArray[np.intp]:
    """Return for each vector (m, d) the place of the one it repeats, which is its own where it repeats none.

    In the given order (all m places), each is a repeat of the nearest one before it that is no repeat and has at least
    this cosine with it. `firsts` are no repeats whatever they are near to.
    """
    leader = np.arange(len(vectors), dtype=np.intp)
    kept: list[int] = []
    for start in range(0, len(order), BLOCK):
        block = list(order[start : start + BLOCK])
        before = len(kept)
        known = vectors[block] @ vectors[kept].T if kept else np.zeros((len(block), 0), dtype=np.float32)
        within = vectors[block] @ vectors[block].T
        new: list[int] = []  # rows of the block that are kept
        for row, place in enumerate(block):
            options = [(float(known[row].max()), kept[int(known[row].argmax())])] if before else []
            if new:
                nearest = int(within[row, new].argmax())
                options.append((float(within[row, new[nearest]]), block[new[nearest]]))
            best = max(options, default=(-1.0, place))
            if best[0] >= similarity and place not in firsts:
                leader[place] = best[1]
            else:
                new.append(row)
        kept += [block[row] for row in new]
    return leader
