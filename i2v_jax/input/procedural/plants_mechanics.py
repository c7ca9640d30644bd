"""The mechanics of `plants`: damped chains of stiff links, solved in closed form.

A plant is a tree of links. Each link turns (`angle`) and stretches a little (`log_stretch`) against springs, and
carries a mass. Small deflections q of this chain of pendulums obey

    M q'' + C q' + K q = J^T F,

where J is the Jacobian of the pulled point with respect to q, and F a constant force that begins at time 0. In the
basis of the chain's vibration modes the equation splits into independent oscillators, whose response to a constant
force is known in closed form, so there is no numerical integration. The deflections are then applied as true rotations,
so links keep their length.

Lengths are in frame widths, times in frames, angles in radians, clockwise from upward; y points down.
"""

import dataclasses
import functools

import numpy as np
import scipy.linalg

_STRETCH_OVER_BEND = 4.0  # stiffness of a link along its axis over that of its joint
# A long pull is solved in steps. In frame widths: their length, and the tolerances of all steps and of the last one.
_STEP, _NEAR, _EXACT = 0.05, 0.005, 1e-7
_ROUNDS = 8  # Newton iterations per step, at most
_MOST_DEFLECTION = 2.0  # radians, or the logarithm of a stretch


@dataclasses.dataclass(frozen=True)
class Grip:
    """A point of a plant's material, independent of the plant's pose."""

    link: int
    share: float  # of the link's length, 0 at its start
    excess: float = 0.0  # beyond the end, frame widths: the round ends of stems
    across: float = 0.0  # to the right of the link's axis, frame widths


@dataclasses.dataclass(frozen=True)
class Pose:
    """The positions of L links; leading axes (time) are optional."""

    start: np.ndarray  # [..., L, 2]
    axis: np.ndarray  # [..., L, 2], unit vectors
    length: np.ndarray  # [..., L]

    @property
    def normal(self) -> np.ndarray:
        """Returns unit vectors to the right of the axes, [..., L, 2]."""
        return np.stack([-self.axis[..., 1], self.axis[..., 0]], axis=-1)

    def at(self, grip: Grip) -> np.ndarray:
        """Returns the position of a point of the material, [..., 2]."""
        along = grip.share * self.length[..., grip.link] + grip.excess
        axis, normal = self.axis[..., grip.link, :], self.normal[..., grip.link, :]
        return self.start[..., grip.link, :] + along[..., None] * axis + grip.across * normal


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """A plant's mechanics: a tree of L links that starts at `root`."""

    root: np.ndarray  # [2]
    parent: np.ndarray  # int [L], -1 for the root; a link starts where its parent ends, and parents come first
    angle: np.ndarray  # [L], at rest
    length: np.ndarray  # [L], at rest
    mass: np.ndarray  # [L]
    balance: np.ndarray  # [L], position of the mass along its link, as a share of the length
    stiffness: np.ndarray  # [L], of the joint with the parent; only ratios matter
    frequency: float  # of the slowest mode, cycles per frame
    damping: float  # damping ratio of the slowest mode; those of the others are proportional to their frequencies

    @functools.cached_property
    def _path(self) -> np.ndarray:
        """Returns a matrix [L, L], 1 where the second link is on the path from the root to the end of the first."""
        path = np.eye(len(self.parent))
        for link, parent in enumerate(self.parent):
            if parent >= 0:
                path[link] += path[parent]
        return path

    def pose(self, deflection: np.ndarray) -> Pose:
        """Returns the pose for deflections [..., 2 L] (L turns, then L log-stretches)."""
        turn, stretch = np.split(deflection, 2, axis=-1)
        angle = self.angle + turn
        axis = np.stack([np.sin(angle), -np.cos(angle)], axis=-1)
        length = self.length * np.exp(stretch)
        vector = axis * length[..., None]
        return Pose(self.root + self._path @ vector - vector, axis, length)

    def rest(self) -> Pose:
        """Returns the pose at rest."""
        return self.pose(np.zeros(2 * len(self.parent)))

    def motion(self, grip: Grip, pull: np.ndarray, times: np.ndarray) -> Pose:
        """Returns the poses at times [T] under a constant force `pull` [2] that acts on a point from time 0 on."""
        return self.pose(self._responses(times) * (pull @ self._drive(grip)) @ self._modes[1].T)

    def pull_to(self, grip: Grip, displacement: np.ndarray, end: float) -> np.ndarray:
        """Returns the constant force [2] that moves a point by `displacement` [2] until time `end`.

        Newton's method follows the straight line to the target in steps. If the chain cannot reach the target, the
        result is the force for the last step that it reaches.
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
        """Returns the Jacobian of a point's position with respect to the deflections, [2, 2 L]."""
        on_path = self._path[grip.link].copy()
        on_path[grip.link] = grip.share
        along = (on_path * pose.length)[:, None] * pose.axis
        turn = (on_path * pose.length)[:, None] * pose.normal
        turn[grip.link] += grip.excess * pose.normal[grip.link] - grip.across * pose.axis[grip.link]
        return np.concatenate([turn, along]).T

    @functools.cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the vibration modes: angular frequencies [2 L], slowest first, and shapes [2 L, 2 L], in columns."""
        links, pose = len(self.parent), self.rest()
        reach = self._path - np.diag(1.0 - self.balance)  # [L, L], the share of each link below each mass
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
        """Returns the modal forces of a unit force in x and in y, [2, 2 L]."""
        return self._jacobian(self.rest(), grip) @ self._modes[1]

    def _responses(self, times: np.ndarray) -> np.ndarray:
        """Returns the response of each mode to a unit force that acts from time 0 on, [T, 2 L]."""
        speed = self._modes[0]
        damping = self.damping * speed / speed[0]
        root = np.sqrt(damping**2 - 1.0 + 0j) * speed
        fast, slow = -damping * speed - root, -damping * speed + root
        time = np.maximum(np.asarray(times, np.float64), 0.0)[:, None]
        step = 1.0 + (fast * np.exp(slow * time) - slow * np.exp(fast * time)) / (slow - fast)
        return step.real / speed**2
