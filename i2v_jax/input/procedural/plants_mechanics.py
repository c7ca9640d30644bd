"""How the plants of `plants` move: chains of stiff links with damping, in closed form.

A plant is a tree of links. Every link turns (`angle`) and stretches a little (`log_stretch`) against springs, and
carries a mass. Small deflections q of this chain of pendulums obey

    M q'' + C q' + K q = J^T F,

with J the motion of the pulled point per deflection and F the pull, which begins at time 0 and stays. In the basis of
the chain's own vibrations this falls into independent oscillators whose response to a constant force is known at every
time: nothing is integrated step by step. Angles are then bent around for real, so links keep their length.

Lengths are in frame widths, times in frames, angles in radians from upwards, clockwise; y points down.
"""

import dataclasses
import functools

import numpy as np
import scipy.linalg

_STRETCH_OVER_BEND = 4.0  # how much stiffer a link is along itself
# A far pull is solved in pieces; in frame widths: their length, and how near to a piece's end is near enough.
_STEP, _NEAR, _EXACT = 0.05, 0.005, 1e-7
_ROUNDS = 8
_MOST_DEFLECTION = 2.0  # radians, or the logarithm of a stretch


@dataclasses.dataclass(frozen=True)
class Grip:
    """A point of a plant's material, wherever the plant is."""

    link: int
    share: float  # of the link's length, 0 at its start
    excess: float = 0.0  # beyond the end, frame widths: the round ends of stems
    across: float = 0.0  # to the right of the link's axis, frame widths


@dataclasses.dataclass(frozen=True)
class Pose:
    """Where L links are; leading axes (time) are optional."""

    start: np.ndarray  # [..., L, 2]
    axis: np.ndarray  # [..., L, 2], unit vectors
    length: np.ndarray  # [..., L]

    @property
    def normal(self) -> np.ndarray:
        """[..., L, 2], unit vectors to the right of the axes."""
        return np.stack([-self.axis[..., 1], self.axis[..., 0]], axis=-1)

    def at(self, grip: Grip) -> np.ndarray:
        """Where a point of the material is: [..., 2]."""
        along = grip.share * self.length[..., grip.link] + grip.excess
        axis, normal = self.axis[..., grip.link, :], self.normal[..., grip.link, :]
        return self.start[..., grip.link, :] + along[..., None] * axis + grip.across * normal


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """A plant's mechanics: a tree of L links that starts at `root`."""

    root: np.ndarray  # [2]
    parent: np.ndarray  # int [L]; a link starts where its parent ends, -1: at the root; parents come first
    angle: np.ndarray  # [L], at rest
    length: np.ndarray  # [L], at rest
    mass: np.ndarray  # [L]
    balance: np.ndarray  # [L], where along the link its mass sits, a share of the length
    stiffness: np.ndarray  # [L], of the joint with the parent; only ratios matter
    frequency: float  # of the slowest vibration, cycles per frame
    damping: float  # of the slowest vibration, a share of the critical; faster ones are damped in proportion

    @functools.cached_property
    def _path(self) -> np.ndarray:
        """[L, L], 1 where the second link lies between the root and the end of the first."""
        path = np.eye(len(self.parent))
        for link, parent in enumerate(self.parent):
            if parent >= 0:
                path[link] += path[parent]
        return path

    def pose(self, deflection: np.ndarray) -> Pose:
        """The links for deflections [..., 2 L] (L turns, then L log-stretches)."""
        turn, stretch = np.split(deflection, 2, axis=-1)
        angle = self.angle + turn
        axis = np.stack([np.sin(angle), -np.cos(angle)], axis=-1)
        length = self.length * np.exp(stretch)
        vector = axis * length[..., None]
        return Pose(self.root + self._path @ vector - vector, axis, length)

    def rest(self) -> Pose:
        """The links before anything happens."""
        return self.pose(np.zeros(2 * len(self.parent)))

    def motion(self, grip: Grip, pull: np.ndarray, times: np.ndarray) -> Pose:
        """The links at times [T] when a constant `pull` [2] begins to act on a point at time 0."""
        return self.pose(self._responses(times) * (pull @ self._drive(grip)) @ self._modes[1].T)

    def pull_to(self, grip: Grip, displacement: np.ndarray, end: float) -> np.ndarray:
        """The constant pull [2] that has moved a point by `displacement` [2] at time `end`.

        Newton's method, led along the straight line to the target. For a target that the chain does not reach the
        result is the pull for the last piece of that line that it does.
        """
        start = self.rest().at(grip)
        compliance = (self._responses(np.array([end])) * self._drive(grip)) @ self._modes[1].T  # [2, 2 L]
        pull = np.zeros(2)
        pieces = max(1, int(np.ceil(np.hypot(*displacement) / _STEP)))
        for piece in range(1, pieces + 1):
            target, trial = start + displacement * piece / pieces, pull
            for _ in range(_ROUNDS):
                deflection = trial @ compliance
                if np.abs(deflection).max() > _MOST_DEFLECTION:
                    return pull
                pose = self.pose(deflection)
                miss = target - pose.at(grip)
                if np.hypot(*miss) < (_EXACT if piece == pieces else _NEAR):
                    break
                trial = trial + np.linalg.lstsq(self._jacobian(pose, grip) @ compliance.T, miss, rcond=None)[0]
            else:
                return pull
            pull = trial
        return pull

    def _jacobian(self, pose: Pose, grip: Grip) -> np.ndarray:
        """The motion of a point per deflection: [2, 2 L]."""
        on_path = self._path[grip.link].copy()
        on_path[grip.link] = grip.share
        along = (on_path * pose.length)[:, None] * pose.axis
        turn = (on_path * pose.length)[:, None] * pose.normal
        turn[grip.link] += grip.excess * pose.normal[grip.link] - grip.across * pose.axis[grip.link]
        return np.concatenate([turn, along]).T

    @functools.cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        """The vibrations: angular frequencies [2 L], slowest first, and shapes [2 L, 2 L], one per column."""
        links, pose = len(self.parent), self.rest()
        reach = self._path - np.diag(1.0 - self.balance)  # [L, L], how far each mass feels each link
        weighted = (reach * self.length)[..., None]
        jacobian = np.concatenate([weighted * pose.normal, weighted * pose.axis], axis=1)  # [L, 2 L, 2]
        inertia = np.einsum("lac,l,lbc->ab", jacobian, self.mass, jacobian)
        inertia[np.diag_indices(2 * links)] += np.tile(0.05 * self.mass * self.length**2, 2)
        joint = np.eye(links)
        has_parent = self.parent >= 0
        joint[np.flatnonzero(has_parent), self.parent[has_parent]] = -1.0
        springs = np.zeros((2 * links, 2 * links))
        springs[:links, :links] = joint.T @ (self.stiffness[:, None] * joint)
        springs[links:, links:] = np.diag(_STRETCH_OVER_BEND * self.stiffness)
        squares, shapes = scipy.linalg.eigh(springs, inertia, check_finite=False)
        return 2.0 * np.pi * self.frequency * np.sqrt(squares / squares[0]), shapes

    def _drive(self, grip: Grip) -> np.ndarray:
        """What a unit pull in x and in y does to each vibration: [2, 2 L]."""
        return self._jacobian(self.rest(), grip) @ self._modes[1]

    def _responses(self, times: np.ndarray) -> np.ndarray:
        """How far a unit force that acts since time 0 has moved each vibration: [T, 2 L]."""
        speed = self._modes[0]
        damping = self.damping * speed / speed[0]
        root = np.sqrt(damping**2 - 1.0 + 0j) * speed
        fast, slow = -damping * speed - root, -damping * speed + root
        time = np.maximum(np.asarray(times, np.float64), 0.0)[:, None]
        step = 1.0 + (fast * np.exp(slow * time) - slow * np.exp(fast * time)) / (slow - fast)
        return step.real / speed**2
