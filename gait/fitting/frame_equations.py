"""Normal equations of many frames' poses: what the pose solver spends its time on.

The world transforms of the joints decide everything about a frame, and they decide it linearly: with the body's rest
points fixed, each marker is a constant combination of them, and so is each *arm*: a joint that turns by a small world
vector d moves a marker by d × arm. So one matrix product gives all markers and all arms of a batch. A second one gives
Sᵢⱼ = Σₘ w·aᵢaⱼᵀ over the markers' arms, and the Gauss–Newton curvature of joints i and j is tr(Sᵢⱼ)·I − Sᵢⱼᵀ (for
[a]ₓᵀ[b]ₓ = (a·b)·I − b·aᵀ): a third of the numbers that the Jacobian has, and of the arithmetic of its square.

Rotations are unit quaternions, component by component, so that the joints' terms are a few operations on vectors.

The gradient is that of the objective (``gait.fitting.residuals``). The curvature leaves out how a joint's own residuals
bend with its rotation; so a step may fall a little short of Gauss and Newton's, and ends at the same place.

Unknowns are in the order x of all joints, y of all, z of all, then the place; of a joint as in ``joint_turning``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gait.body.rotations import PoseFeature
from gait.fitting import turns
from gait.fitting.joint_turning import MOST_STEP_RAD, Pose, feature_and_change, unknowns_in_world
from gait.fitting.marker_motion import Wearer
from gait.fitting.residuals import JointPrior, Leaning
from gait.fitting.weights import FitWeights


@dataclass(frozen=True)
class Observation:
    """Observed markers of T frames, in the wearer's order of markers."""

    markers: Tensor  # (T, M, 3) metres, anything where unseen
    seen: Tensor  # (T, M) bool

    def __getitem__(self, frames: Tensor | slice) -> Observation:
        """Some of the frames."""
        return Observation(self.markers[frames], self.seen[frames])


@dataclass(frozen=True)
class FramePoses:
    """Poses of T frames, as the equations hold them."""

    turn: Tensor  # (4, J, T) unit quaternions x, y, z, w of each joint relative to its parent
    place: Tensor  # (T, 3) metres, from the middle of the frame's markers
    angles: Tensor | None  # (T, J, 2) of hinged joints

    def __getitem__(self, frames: Tensor) -> FramePoses:
        """Those of some frames."""
        angles = None if self.angles is None else self.angles[frames]
        return FramePoses(self.turn[:, :, frames], self.place[frames], angles)

    def with_frames(self, frames: Tensor, other: FramePoses) -> FramePoses:
        """The same, with some frames taken from ``other``, which has just those."""
        angles = None
        if self.angles is not None and other.angles is not None:
            angles = self.angles.index_copy(0, frames, other.angles)
        return FramePoses(
            self.turn.index_copy(2, frames, other.turn), self.place.index_copy(0, frames, other.place), angles
        )


@dataclass(frozen=True)
class Pull:
    """A leaning, as the equations hold it."""

    turn: Tensor  # (4, J, T) conjugate quaternions of the joints leant on
    precision: Tensor  # (J, T) 1/rad²
    place: Tensor  # (T, 3) metres, from the middle of the frame's markers
    place_precision: Tensor  # (T,) 1/m²


@dataclass(frozen=True)
class Frames:
    """What is known of T frames."""

    middle: Tensor  # (T, 3) mean of the frame's markers, metres, in double precision
    markers: Tensor  # (T, 3, M) metres, from the middle; zero where unseen
    certainty: Tensor  # (T, M) 1/m², zero where unseen
    pulls: tuple[Pull, ...]

    def __getitem__(self, rows: Tensor) -> Frames:
        """Some of the frames."""
        return Frames(
            self.middle[rows],
            self.markers[rows],
            self.certainty[rows],
            tuple(
                Pull(p.turn[:, :, rows], p.precision[:, rows], p.place[rows], p.place_precision[rows])
                for p in self.pulls
            ),
        )


@dataclass(frozen=True)
class Evaluated:
    """The objective of T frames at some poses, with gradient and curvature."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (T, D), D = 3·J + 3
    curvature: Tensor  # (T, D, D), its lower triangle; anything above
    known: Tensor  # (T, J + 1, 3, 3) each joint's own part of the curvature, and the place's, from the markers alone
    parent_world: Tensor  # (J, T, 3, 3) world rotation of each joint's parent

    def __getitem__(self, frames: Tensor) -> Evaluated:
        """Those of some frames."""
        return Evaluated(
            self.cost[frames],
            self.gradient[frames],
            self.curvature[frames],
            self.known[frames],
            self.parent_world[:, frames],
        )

    def where(self, mine: Tensor, other: Evaluated) -> Evaluated:
        """These in the frames marked by ``mine`` (T,), the other's elsewhere."""
        if bool(mine.all()):
            return self
        return Evaluated(
            torch.where(mine, self.cost, other.cost),
            torch.where(mine[:, None], self.gradient, other.gradient),
            torch.where(mine[:, None, None], self.curvature, other.curvature),
            torch.where(mine[:, None, None, None], self.known, other.known),
            torch.where(mine[:, None, None], self.parent_world, other.parent_world),
        )


class FrameEquations:
    """The equations of one wearer, whose offsets are the same in all frames.

    Args:
        wearer: of the markers.
        prior: of the joints.
        weights: of the terms.
        precision: of everything. Single precision places a marker to a micrometre, for a frame's places are taken from
            the middle of its markers.
    """

    def __init__(
        self, wearer: Wearer, prior: JointPrior, weights: FitWeights, precision: torch.dtype = torch.float32
    ) -> None:
        skin = wearer.skin
        self.precision, self.device = precision, skin.point.device
        self.levels, self.parent = skin.levels, skin.parent_index
        self.num_joints, self.num_markers = skin.num_joints, skin.num_markers
        self.rest = self._held(wearer.joint)  # (J, 3)
        share = torch.zeros_like(skin.moves[:, :, 0])
        share.scatter_add_(1, skin.carriers, skin.carrier_weight)  # (M, J) skinning weights
        below = _below(skin.parents).to(share)
        self.combination = self._held(_combination(share, below, wearer.point, wearer.joint))  # (4·J, M·J + M)
        self.share, self.below = self._held(share), self._held(below)
        self.point_pose = None if skin.point_pose is None else self._held(skin.point_pose)  # (M, 3, J, F)
        self.hinges = None if skin.hinges is None else skin.hinges.to(precision)
        self.sigma_m, self.robust_m = weights.marker_m, weights.marker_robust_m
        self.natural = turns.inverse(self._turns(prior.natural[None]))  # (4, J, 1)
        self.natural_precision = self._held(prior.precision).T[..., None]  # (3, J, 1)
        self.lower, self.upper = (self._held(b).T[..., None] for b in (prior.lower, prior.upper))  # (3, J, 1)
        self.limit_precision = prior.limit_precision
        self.angle_bounds: tuple[Tensor, Tensor] | None = None  # (J, 2) each
        if prior.angle_lower is not None and prior.angle_upper is not None:
            self.angle_bounds = (self._held(prior.angle_lower[:, :2]), self._held(prior.angle_upper[:, :2]))

    def _held(self, values: Tensor) -> Tensor:
        return values.to(dtype=self.precision, device=self.device)

    def _turns(self, rotations: Tensor) -> Tensor:
        """(4, J, T) of rotations (T, J, 3, 3)."""
        return turns.from_matrices(self._held(rotations).transpose(0, 1))

    def frames(self, observation: Observation, leanings: Sequence[Leaning] = ()) -> Frames:
        """Take up what is known of some frames; a leaning's precision is the same about all axes of a joint."""
        seen = observation.seen
        markers = torch.where(seen[..., None], observation.markers, 0.0)
        middle = markers.sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp_min(1)
        centred = torch.where(seen[..., None], markers - middle[:, None], 0.0)
        pulls = tuple(
            Pull(
                turns.inverse(self._turns(leaning.rotations)),
                self._held(leaning.rotation_precision).T.contiguous(),
                self._held(leaning.translation - middle),
                self._held(leaning.translation_precision),
            )
            for leaning in leanings
        )
        return Frames(middle, self._held(centred.mT).contiguous(), self._held(seen) / self.sigma_m**2, pulls)

    def taken_up(self, pose: Pose, frames: Frames) -> FramePoses:
        """Poses of frames as the equations hold them."""
        angles = None if pose.angles is None else self._held(pose.angles)
        return FramePoses(self._turns(pose.rotations), self._held(pose.translation - frames.middle), angles)

    def given_back(self, poses: FramePoses, frames: Frames) -> Pose:
        """The poses as everybody else holds them, in double precision."""
        rotations = turns.to_matrices(turns.normalised(poses.turn.double())).transpose(0, 1)
        angles = None if poses.angles is None else poses.angles.double()
        if self.hinges is not None and angles is not None:
            hinges = self.hinges.to(torch.float64)
            rotations = torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations)
        return Pose(rotations.contiguous(), poses.place.double() + frames.middle, angles)

    def cost(self, poses: FramePoses, frames: Frames) -> Tensor:
        """(T,) the objective alone."""
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        placed = _by_axis(transforms) @ self.combination[:, -self.num_markers :]
        residual = self._residual(placed, bulge, frames)
        joints = self._joint_terms(poses, frames)
        return self._robust(residual, frames)[0] + joints.cost + _place_cost(poses, frames)

    def evaluate(self, poses: FramePoses, frames: Frames) -> Evaluated:
        """The objective with its gradient and curvature."""
        M, J = self.num_markers, self.num_joints
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        combined = _by_axis(transforms) @ self.combination  # (T, 3, M·J + M)
        arms = combined[..., :-M].unflatten(-1, (M, J))
        residual = self._residual(combined[..., -M:], bulge, frames)
        cost, weight = self._robust(residual, frames)
        unknowns = self._unknowns(poses, parent_world)
        if bulge is None and unknowns is None:
            markers = _from_arms(arms, residual, weight)
        else:
            markers = _from_changes(self._changes(arms, bulge, unknowns), residual, weight)
        gradient, curvature, known = markers

        terms = self._joint_terms(poses, frames)
        axes = parent_world if unknowns is None else unknowns.transpose(0, 1).mT @ parent_world  # (J, T, 3, 3)
        turning = gradient[:, : 3 * J].unflatten(-1, (3, J))
        turning += (axes @ terms.gradient.permute(1, 2, 0)[..., None])[..., 0].permute(1, 2, 0)
        blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (3, J)).unflatten(1, (3, J))  # (T, 3, J, 3, J)
        own = blocks.diagonal(dim1=2, dim2=4)  # (T, 3, 3, J)
        own += ((axes * terms.curvature.permute(1, 2, 0)[:, :, None]) @ axes.mT).permute(1, 2, 3, 0)
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles)
            turning[:, :2] += self.limit_precision * beyond.mT
            own.diagonal(dim1=1, dim2=2)[..., :2] += self.limit_precision * (beyond != 0)
        for pull in frames.pulls:
            gradient[:, 3 * J :] += pull.place_precision[:, None] * (poses.place - pull.place)
            curvature.diagonal(dim1=1, dim2=2)[:, 3 * J :] += pull.place_precision[:, None]
        return Evaluated(cost + terms.cost + _place_cost(poses, frames), gradient, curvature, known, parent_world)

    def turned(self, poses: FramePoses, parent_world: Tensor, step: Tensor) -> FramePoses:
        """Turn every joint and shift the body by a step (T, D)."""
        J = self.num_joints
        turn = step[:, : 3 * J].unflatten(-1, (3, J)).permute(2, 0, 1)  # (J, T, 3)
        size = (turn * turn).sum(dim=-1, keepdim=True).sqrt()
        turn = turn * (MOST_STEP_RAD / size.clamp_min(1e-12)).clamp(max=1.0)
        local = (parent_world.mT @ turn[..., None])[..., 0].permute(2, 0, 1)  # (3, J, T)
        turned = turns.normalised(turns.product(turns.from_vectors(local), poses.turn))
        place = poses.place + step[:, 3 * J :]
        if self.hinges is None or poses.angles is None:
            return FramePoses(turned, place, None)
        hinged = self.hinges.hinged
        by = turn.transpose(0, 1)[..., :2]
        angles = poses.angles + torch.where(hinged[:, None], by, torch.zeros_like(by))
        hinge_turn = self._turns(self.hinges.rotations(angles))
        return FramePoses(torch.where(hinged[:, None], hinge_turn, turned), place, angles)

    def _transforms(self, poses: FramePoses) -> tuple[Tensor, Tensor]:
        """World transforms (J, T, 3, 4) of points at rest, and the parents' world rotations (J, T, 3, 3)."""
        local = turns.to_matrices(poses.turn)  # (J, T, 3, 3)
        rest = self.rest[:, None, :, None]
        shift = rest - local @ rest
        shift[0, :, :, 0] += poses.place
        local = torch.cat([local, shift], dim=-1)
        world = torch.empty_like(local)
        world[0] = local[0]
        for level in self.levels:
            above = world[self.parent[level]]
            below = above[..., :3] @ local[level]
            below[..., 3] += above[..., 3]
            world[level] = below
        parent_world = world[self.parent, :, :, :3]
        parent_world[0] = torch.eye(3, dtype=world.dtype, device=world.device)
        return world, parent_world

    def _residual(self, placed: Tensor, bulge: _Bulge | None, frames: Frames) -> Tensor:
        """(T, 3, M) from the observed markers, zero where unseen."""
        if bulge is not None:
            placed = placed + bulge.shift
        return torch.where(frames.certainty[:, None] > 0, placed - frames.markers, 0.0)

    def _robust(self, residual: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Huber's cost (T,) and weight (T, M) in 1/m²."""
        distance = (residual * residual).sum(dim=1).sqrt()
        near = distance.clamp(max=self.robust_m)
        cost = (frames.certainty * near * (distance - 0.5 * near)).sum(dim=1)
        return cost, frames.certainty * (near / distance.clamp_min(1e-12))

    def _joint_terms(self, poses: FramePoses, frames: Frames) -> _JointTerms:
        """Natural pose, range of motion and leanings, in the axes of each joint's parent."""
        away, bend = turns.to_vectors(turns.product(poses.turn, self.natural))
        drawn = self.natural_precision * away
        cost = 0.5 * (drawn * away).sum((0, 1))
        gradient = turns.pulled_back(away, bend, drawn)
        angles, bend = turns.to_vectors(poses.turn)
        beyond = angles - torch.maximum(torch.minimum(angles, self.upper), self.lower)
        drawn = self.limit_precision * beyond
        cost = cost + 0.5 * (drawn * beyond).sum((0, 1))
        gradient = gradient + turns.pulled_back(angles, bend, drawn)
        curvature = self.natural_precision + self.limit_precision * (beyond != 0)
        for pull in frames.pulls:
            away, _ = turns.to_vectors(turns.product(poses.turn, pull.turn))
            drawn = pull.precision * away  # along its own axis, which the factor of turns.pulled_back leaves alone
            cost = cost + 0.5 * (drawn * away).sum((0, 1))
            gradient = gradient + drawn
            curvature = curvature + pull.precision
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles)
            cost = cost + 0.5 * self.limit_precision * (beyond**2).sum((1, 2))
        return _JointTerms(cost, gradient, curvature)

    def _beyond_angle_bounds(self, angles: Tensor) -> Tensor:
        """(T, J, 2) how far hinge angles are beyond a user's bounds."""
        if self.angle_bounds is None:
            return torch.zeros_like(angles)
        return angles - torch.maximum(torch.minimum(angles, self.angle_bounds[1]), self.angle_bounds[0])

    def _unknowns(self, poses: FramePoses, parent_world: Tensor) -> Tensor | None:
        """(T, J, 3, 3) world rotation vector of each unknown (``unknowns_in_world``)."""
        if self.hinges is None:
            return None
        pose = Pose(turns.to_matrices(poses.turn).transpose(0, 1), poses.place, poses.angles)
        return unknowns_in_world(pose, parent_world.transpose(0, 1), self.hinges)

    def _bulge(self, poses: FramePoses, transforms: Tensor, parent_world: Tensor) -> _Bulge | None:
        """What pose-corrective blend shapes add to the markers; None for a body without them."""
        if self.point_pose is None:
            return None
        pose = Pose(turns.to_matrices(poses.turn).transpose(0, 1), poses.place, poses.angles)
        kind = PoseFeature(self.point_pose.shape[-1])
        feature, change = feature_and_change(pose, parent_world.transpose(0, 1), self.hinges, kind)
        point = torch.einsum("mcjq,tjq->tmc", self.point_pose, feature)
        mixed = torch.einsum("mj,jtcd->tmcd", self.share, transforms[..., :3])
        carried = torch.einsum("jtcd,tmd->tcmj", transforms[..., :3], point) * self.share
        return _Bulge((mixed @ point[..., None])[..., 0].mT, carried @ self.below.T, mixed, change)

    def _changes(self, arms: Tensor, bulge: _Bulge | None, unknowns: Tensor | None) -> Tensor:
        """(T, M, 3, 3, J) change of every marker with every joint's unknowns."""
        T, _, M, J = arms.shape
        x, y, z = (arms if bulge is None else arms + bulge.arms).unbind(1)
        changes = arms.new_zeros(T, M, 3, 3, J)
        changes[:, :, 0, 1], changes[:, :, 0, 2] = z, -y
        changes[:, :, 1, 0], changes[:, :, 1, 2] = -z, x
        changes[:, :, 2, 0], changes[:, :, 2, 1] = y, -x
        if unknowns is not None:
            changes = torch.einsum("tmcwj,tjwu->tmcuj", changes, unknowns)
        if bulge is not None and self.point_pose is not None:
            grown = torch.einsum("mcjq,tjqu->tmcuj", self.point_pose, bulge.change)
            changes = changes + (bulge.mixed @ grown.flatten(3)).unflatten(-1, (3, J))
        return changes


@dataclass(frozen=True)
class _Bulge:
    """What pose-corrective blend shapes do to the markers of T frames."""

    shift: Tensor  # (T, 3, M) metres
    arms: Tensor  # (T, 3, M, J) what it adds to the arms
    mixed: Tensor  # (T, M, 3, 3) skinning-weighted world rotation at each marker
    change: Tensor  # (T, J, F, 3) change of each joint's pose feature with its unknowns


@dataclass(frozen=True)
class _JointTerms:
    """The terms of the joints alone, in the axes of each joint's parent."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (3, J, T)
    curvature: Tensor  # (3, J, T) its diagonal


def _place_cost(poses: FramePoses, frames: Frames) -> Tensor:
    """(T,) what leanings add for the place of the body."""
    cost = torch.zeros_like(poses.place[:, 0])
    for pull in frames.pulls:
        cost = cost + 0.5 * pull.place_precision * ((poses.place - pull.place) ** 2).sum(dim=1)
    return cost


def _below(parents: Sequence[int]) -> Tensor:
    """(J, J) 1 where the second joint is the first one or hangs on it."""
    below = torch.zeros(len(parents), len(parents))
    for j in range(len(parents)):
        k = j
        while k >= 0:
            below[k, j] = 1.0
            k = parents[k]
    return below


def _combination(share: Tensor, below: Tensor, point: Tensor, rest: Tensor) -> Tensor:
    """Arms and markers as combinations of the joints' world transforms.

    Joint k takes a point x at rest to R·x + t. A marker is Σₖ wₖ(R·x + t), its arm about joint j the same over the
    joints from j on, less Σₖ wₖ times the place of j, R·rest + t.

    Args:
        share: (M, J) skinning weights.
        below: (J, J) of ``_below``.
        point: (M, 3) markers at rest.
        rest: (J, 3) joints at rest.

    Returns:
        (4·J, M·J + M): of the rows x, y, z and t of each joint, the arms (marker by marker), then the markers.
    """
    M, J = share.shape
    carried = torch.cat([point, torch.ones_like(point[:, :1])], dim=1)  # (M, 4)
    by_joint = share[:, :, None] * carried[:, None]  # (M, J, 4)
    arms = torch.einsum("jk,mkq->kqmj", below, by_joint)
    own = torch.cat([rest, torch.ones_like(rest[:, :1])], dim=1)  # (J, 4)
    arms.diagonal(dim1=0, dim2=3).sub_(torch.einsum("mj,jq->qmj", share @ below.T, own))
    return torch.cat([arms.reshape(4 * J, M * J), by_joint.permute(1, 2, 0).reshape(4 * J, M)], dim=1)


def _by_axis(transforms: Tensor) -> Tensor:
    """(T, 3, 4·J) the rows of world transforms (J, T, 3, 4), joint after joint."""
    return transforms.permute(1, 2, 0, 3).flatten(2)


def _from_arms(arms: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient (T, D), curvature (T, D, D) and ``known`` (T, J + 1, 3, 3) of the markers, by their arms.

    Args:
        arms: (T, 3, M, J).
        residual: (T, 3, M) metres.
        weight: (T, M) 1/m².
    """
    T, _, M, J = arms.shape
    D = 3 * J + 3
    root = weight.sqrt()[..., None]  # (T, M, 1)
    columns = arms.new_empty(T, M, D + 1)  # each marker's arms, its residual and 1, by the root of its weight
    torch.mul(arms.transpose(1, 2), root[..., None], out=columns[..., : 3 * J].unflatten(-1, (3, J)))
    torch.mul(residual.mT, root, out=columns[..., 3 * J : D])
    columns[..., D:] = root
    products = columns.mT @ columns
    S = products[:, : 3 * J, : 3 * J].unflatten(2, (3, J)).unflatten(1, (3, J))  # (T, 3, J, 3, J)

    gradient = arms.new_empty(T, D)
    torques = products[:, : 3 * J, 3 * J : D].unflatten(1, (3, J))  # (T, 3, J, 3) Σ w·arm ⊗ residual
    for axis, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):  # and of arm × residual
        torch.sub(torques[:, a, :, b], torques[:, b, :, a], out=gradient[:, axis * J : (axis + 1) * J])
    gradient[:, 3 * J :] = products[:, 3 * J : D, D]

    curvature = arms.new_empty(T, D, D)
    blocks = curvature[:, : 3 * J, : 3 * J].unflatten(2, (3, J)).unflatten(1, (3, J))
    trace = S[:, 0, :, 0] + S[:, 1, :, 1] + S[:, 2, :, 2]
    for a, b in ((0, 0), (1, 1), (2, 2), (1, 0), (2, 0), (2, 1)):
        if a == b:
            torch.sub(trace, S[:, a, :, a], out=blocks[:, a, :, a])
        else:
            torch.neg(S[:, b, :, a], out=blocks[:, a, :, b])
    place = curvature[:, 3 * J :].zero_()  # (T, 3, D): a shift against a turn is −[Σ w·arm]ₓ
    x, y, z = products[:, D, : 3 * J].unflatten(-1, (3, J)).unbind(1)
    place[:, 1, :J], place[:, 2, :J] = -z, y
    place[:, 0, J : 2 * J], place[:, 2, J : 2 * J] = z, -x
    place[:, 0, 2 * J : 3 * J], place[:, 1, 2 * J : 3 * J] = -y, x
    place.diagonal(dim1=1, dim2=2, offset=3 * J)[:] = products[:, D, D, None]

    known = arms.new_zeros(T, J + 1, 3, 3)
    pairs = S.diagonal(dim1=2, dim2=4).permute(0, 3, 1, 2)  # (T, J, 3, 3)
    torch.neg(pairs, out=known[:, :J])
    traces = torch.cat([pairs.diagonal(dim1=2, dim2=3).sum(dim=-1), products[:, D, D:]], dim=1)
    known.diagonal(dim1=2, dim2=3).add_(traces[..., None])
    return gradient, curvature, known


def _from_changes(changes: Tensor, residual: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same from the markers' changes (T, M, 3, 3, J): for blend shapes and hinges, at three times the cost."""
    T, M, _, _, J = changes.shape
    D = 3 * J + 3
    root = weight.sqrt()[..., None, None]
    columns = changes.new_zeros(T, M, 3, D + 1)
    torch.mul(changes.flatten(3), root, out=columns[..., : 3 * J])
    columns[..., 3 * J : D].diagonal(dim1=2, dim2=3)[:] = root[..., 0]
    torch.mul(residual.mT, root[..., 0], out=columns[..., D])
    columns = columns.flatten(1, 2)
    products = columns.mT @ columns
    curvature = products[:, :D, :D].contiguous()
    own = curvature[:, : 3 * J, : 3 * J].unflatten(2, (3, J)).unflatten(1, (3, J)).diagonal(dim1=2, dim2=4)
    known = torch.cat([own.permute(0, 3, 1, 2), curvature[:, None, 3 * J :, 3 * J :]], dim=1)
    return products[:, :D, D].contiguous(), curvature, known
