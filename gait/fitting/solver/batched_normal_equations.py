"""Normal equations of many frames' poses: what the pose solver spends its time on.

The world transforms of the joints decide everything about a frame, and they decide it linearly: with the body's rest
points fixed, each marker is a constant combination of them, and so is each *arm*: a joint that turns by a small world
vector d moves a marker by d × arm. So one matrix product gives all markers and all arms of a batch. Each limb's markers
know only of that limb's joints and the trunk's (``limbs``), so a second product of small matrices gives gradient and
curvature.

Rotations are unit quaternions, component by component, so that the joints' terms are a few operations on vectors.

The gradient is that of the objective (``gait.fitting.objective_terms``). The curvature is Gauss and Newton's but for what two
limbs have in common and for how a joint's own residuals bend with its rotation; so a step may fall a little short of
theirs, and ends at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import MOST_STEP_RAD, Pose, feature_and_change, unknowns_in_world
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget
from gait.fitting.reduced_body import joints_below
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import quaternions as turns
from gait.fitting.solver.block_solver import BlockNormalEquations, BlockStep
from gait.fitting.solver.frame_data import Frames, ObservedMarkers, QuaternionPose
from gait.fitting.solver.kinematic_blocks import limbs


@dataclass(frozen=True)
class Linearization:
    """The objective of T frames at some poses, with gradient and curvature."""

    cost: Tensor  # (T,)
    equations: BlockNormalEquations
    parent_world: Tensor  # (J, T, 3, 3) world rotation of each joint's parent

    def __getitem__(self, frames: Tensor) -> Linearization:
        """Those of some frames."""
        return Linearization(self.cost[frames], self.equations[frames], self.parent_world[:, frames])

    def where(self, mine: Tensor, other: Linearization) -> Linearization:
        """These in the frames marked by ``mine`` (T,), the other's elsewhere."""
        if bool(mine.all()):
            return self
        return Linearization(
            torch.where(mine, self.cost, other.cost),
            self.equations.where(mine, other.equations),
            torch.where(mine[:, None, None], self.parent_world, other.parent_world),
        )


class BatchedNormalEquations:
    """The equations of one wearer, whose offsets are the same in all frames.

    Args:
        wearer: of the markers.
        prior: of the joints.
        weights: of the terms.
        precision: of everything. Single precision places a marker to a micrometre, for a frame's places are taken from
            the middle of its markers.
    """

    def __init__(
        self, wearer: SubjectModel, prior: JointPrior, weights: ResidualScales, precision: torch.dtype = torch.float32
    ) -> None:
        skin = wearer.skin
        self.precision, self.device = precision, skin.point.device
        self.levels, self.parent = skin.levels, skin.parent_index
        self.num_joints, self.num_markers = skin.num_joints, skin.num_markers
        self.rest = self._held(wearer.joint)  # (J, 3)
        share = skin.skinning_weights
        below = joints_below(skin.parents).to(share)
        self.limbs = limbs(skin.parents, self._held(share))
        joints, markers = self.limbs.joints, self.limbs.markers  # (G, P) and (G, N), P = L + K
        arms, points = _combination(share, below, wearer.point, wearer.joint)
        arms = _with_nothing(arms, 2)[:, markers[:, :, None], joints[:, None]]  # (4·J, G, N, P)
        self.combination = self._held(torch.cat([arms.flatten(1), points], dim=1))  # (4·J, G·N·P + M)
        self.share, self.below = self._held(share), self._held(below)
        self.point_pose = self.limb_point_pose = None
        self.point_pose_elsewhere = share.new_zeros(0)
        if skin.point_pose is not None:
            self.point_pose = self._held(skin.point_pose)  # (M, 3, J, F)
            spread = _with_nothing(self.point_pose, 2).transpose(1, 2)  # (M, J + 1, 3, F)
            self.limb_point_pose = spread[markers[:, :, None], joints[:, None]]  # (G, N, P, 3, F)
            elsewhere = torch.ones(skin.num_markers, skin.num_joints + 1, dtype=torch.bool, device=self.device)
            there = (self.limbs.trunk_scale > 0).nonzero().unbind(1)
            elsewhere[markers[there][:, None], joints[there[0]]] = False
            self.point_pose_elsewhere = self.point_pose * elsewhere[:, None, :-1, None]  # of limbs not the marker's
        self.hinges = None if skin.hinges is None else skin.hinges.to(precision)
        self.sigma_m, self.robust_m = weights.marker_m, weights.marker_robust_m
        natural = turns.inverse(self._turns(prior.natural[None]))  # (4, J, 1)
        still = torch.zeros_like(natural)
        still[3] = 1
        self.references = torch.stack([still, natural], dim=1)  # (4, 2, J, 1)
        by_axis = self._held(prior.precision).T[..., None]  # (3, J, 1)
        self.reference_precision = torch.stack([torch.full_like(by_axis, prior.limit_precision), by_axis], dim=1)
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

    def frames(self, observation: ObservedMarkers, leanings: Sequence[SoftPoseTarget] = ()) -> Frames:
        """Take up what is known of some frames; a leaning's precision is the same about all axes of a joint."""
        seen = observation.seen
        markers = torch.where(seen[..., None], observation.markers, 0.0)
        middle = markers.sum(dim=1) / seen.sum(dim=1, keepdim=True).clamp_min(1)
        centred = torch.where(seen[..., None], markers - middle[:, None], 0.0)
        T, J, R = len(seen), self.num_joints, 2 + len(leanings)
        references, precision = self.rest.new_empty(4, R, J, T), self.rest.new_empty(3, R, J, T)
        references[:, :2], precision[:, :2] = self.references, self.reference_precision
        for r, leaning in enumerate(leanings):
            references[:, 2 + r] = turns.inverse(self._turns(leaning.rotations))
            precision[:, 2 + r] = self._held(leaning.rotation_precision).T
        places = [self._held(leaning.translation - middle) for leaning in leanings]
        place_precision = [self._held(leaning.translation_precision) for leaning in leanings]
        return Frames(
            middle,
            self._held(centred.mT).contiguous(),
            self._held(seen) / self.sigma_m**2,
            references,
            precision,
            torch.stack(places, dim=1) if places else self.rest.new_zeros(T, 0, 3),
            torch.stack(place_precision, dim=1) if places else self.rest.new_zeros(T, 0),
        )

    def taken_up(self, pose: Pose, frames: Frames) -> QuaternionPose:
        """Poses of frames as the equations hold them."""
        angles = None if pose.angles is None else self._held(pose.angles)
        return QuaternionPose(self._turns(pose.rotations), self._held(pose.translation - frames.middle), angles)

    def given_back(self, poses: QuaternionPose, frames: Frames) -> Pose:
        """The poses as everybody else holds them, in double precision."""
        rotations = turns.to_matrices(turns.normalised(poses.turn.double())).transpose(0, 1)
        angles = None if poses.angles is None else poses.angles.double()
        if self.hinges is not None and angles is not None:
            hinges = self.hinges.to(torch.float64)
            rotations = torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations)
        return Pose(rotations.contiguous(), poses.place.double() + frames.middle, angles)

    def placed(self, pose: Pose) -> tuple[Tensor, Tensor]:
        """Markers (T, M, 3) and joints (T, J, 3) of poses, metres."""
        angles = None if pose.angles is None else self._held(pose.angles)
        poses = QuaternionPose(self._turns(pose.rotations), self._held(pose.translation), angles)
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        markers = _by_axis(transforms) @ self.combination[:, -self.num_markers :]
        joints = (transforms[..., :3] @ self.rest[:, None, :, None])[..., 0] + transforms[..., 3]
        return (markers if bulge is None else markers + bulge.shift).mT, joints.transpose(0, 1)

    def cost(self, poses: QuaternionPose, frames: Frames) -> Tensor:
        """(T,) the objective alone."""
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        placed = _by_axis(transforms) @ self.combination[:, -self.num_markers :]
        residual = self._residual(placed, bulge, frames)
        joints = self._joint_terms(poses, frames)
        return self._robust(residual, frames)[0] + joints.cost + _place_cost(poses, frames)

    def evaluate(self, poses: QuaternionPose, frames: Frames) -> Linearization:
        """The objective with its gradient and curvature."""
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        combined = _by_axis(transforms) @ self.combination  # (T, 3, G·N·P + M)
        residual = self._residual(combined[..., -self.num_markers :], bulge, frames)
        cost, weight = self._robust(residual, frames)
        unknowns = self._unknowns(poses, parent_world)
        equations = self._marker_equations(self._arms(combined), bulge, unknowns, residual, weight)
        terms = self._joint_terms(poses, frames)
        axes = parent_world if unknowns is None else unknowns.transpose(0, 1).mT @ parent_world  # (J, T, 3, 3)
        gradient = (axes @ terms.gradient.permute(1, 2, 0)[..., None])[..., 0]  # (J, T, 3)
        curvature = (axes * terms.curvature.permute(1, 2, 0)[:, :, None]) @ axes.mT  # (J, T, 3, 3)
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles).transpose(0, 1)
            gradient[..., :2] += self.limit_precision * beyond
            curvature.diagonal(dim1=2, dim2=3)[..., :2] += self.limit_precision * (beyond != 0)
        if bulge is not None:
            gradient = gradient + self._growth_elsewhere(bulge, residual * weight[:, None])
        self._add_joint_terms(equations, gradient, curvature)
        if frames.places.shape[1]:
            away = frames.place_precision[..., None] * (poses.place[:, None] - frames.places)
            equations.trunk_gradient[:, -3:] += away.sum(dim=1)
            equations.trunk.diagonal(dim1=1, dim2=2)[:, -3:] += frames.place_precision.sum(dim=1, keepdim=True)
        return Linearization(cost + terms.cost + _place_cost(poses, frames), equations, parent_world)

    def known(self, poses: QuaternionPose, frames: Frames) -> Tensor:
        """(T, J + 1, 3, 3) each joint's own part of the curvature, and the place's, from the markers alone."""
        transforms, parent_world = self._transforms(poses)
        bulge = self._bulge(poses, transforms, parent_world)
        combined = _by_axis(transforms) @ self.combination
        _, weight = self._robust(self._residual(combined[..., -self.num_markers :], bulge, frames), frames)
        unknowns = self._unknowns(poses, parent_world)
        L = self.limbs.limb.shape[1]
        once = (self.limbs.limb_scale * self.limbs.trunk_scale)[..., None].expand(-1, -1, L)
        shared = (self.limbs.trunk_scale**2)[..., None].expand(-1, -1, len(self.limbs.trunk))
        worth = weight[:, self.limbs.markers, None] * torch.cat([once, shared], dim=-1)  # (T, G, N, P)
        own = worth.new_empty(*worth.shape[:2], worth.shape[3], 3, 3)  # (T, G, P, 3, 3)
        if bulge is None and unknowns is None:
            arms = self._arms(combined)
            heavy = arms * worth[:, None]
            for c, d in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
                own[..., c, d] = own[..., d, c] = -(heavy[:, c] * arms[:, d]).sum(dim=2)
            own.diagonal(dim1=3, dim2=4).sub_(own.diagonal(dim1=3, dim2=4).sum(dim=-1, keepdim=True))
        else:
            changes = self._changes(self._arms(combined), bulge, unknowns)  # (T, G, N, 3, 3, P)
            heavy = changes * worth[:, :, :, None, None]
            for u in range(3):
                own[..., u, :] = (heavy[:, :, :, :, [u]] * changes).sum(dim=(2, 3)).mT
        joints = torch.cat([own[:, :, :L].flatten(1, 2), own[:, :, L:].sum(dim=1)], dim=1)[:, self.limbs.place]
        place = torch.diag_embed(weight.sum(dim=1)[:, None].expand(-1, 3))
        return torch.cat([joints, place[:, None]], dim=1)

    def turned(self, poses: QuaternionPose, parent_world: Tensor, step: BlockStep) -> QuaternionPose:
        """Turn every joint and shift the body."""
        by_limb = step.limb.unflatten(-1, (3, -1)).transpose(1, 2).flatten(2)  # (T, 3, G·L)
        by_trunk = step.trunk[:, :-3].unflatten(-1, (3, -1))
        turn = torch.cat([by_limb, by_trunk], dim=-1)[..., self.limbs.place].permute(2, 0, 1)  # (J, T, 3)
        size = (turn * turn).sum(dim=-1, keepdim=True).sqrt()
        turn = turn * (MOST_STEP_RAD / size.clamp_min(1e-12)).clamp(max=1.0)
        local = (parent_world.mT @ turn[..., None])[..., 0].permute(2, 0, 1)  # (3, J, T)
        turned = turns.normalised(turns.product(turns.from_vectors(local), poses.turn))
        place = poses.place + step.trunk[:, -3:]
        if self.hinges is None or poses.angles is None:
            return QuaternionPose(turned, place, None)
        hinged = self.hinges.hinged
        by = turn.transpose(0, 1)[..., :2]
        angles = poses.angles + torch.where(hinged[:, None], by, torch.zeros_like(by))
        hinge_turn = self._turns(self.hinges.rotations(angles))
        return QuaternionPose(torch.where(hinged[:, None], hinge_turn, turned), place, angles)

    def _transforms(self, poses: QuaternionPose) -> tuple[Tensor, Tensor]:
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

    def _joint_terms(self, poses: QuaternionPose, frames: Frames) -> _JointTerms:
        """Natural pose, range of motion and leanings, in the axes of each joint's parent."""
        away, bend = turns.to_vectors(turns.product(poses.turn[:, None], frames.references))  # (3, R, J, T)
        angles = away[:, 0]
        beyond = angles - torch.maximum(torch.minimum(angles, self.upper), self.lower)
        residual = torch.cat([beyond[:, None], away[:, 1:]], dim=1)
        drawn = frames.precision * residual
        cost = 0.5 * (drawn * residual).sum((0, 1, 2))
        gradient = turns.pulled_back(away[:, :2], bend[:2], drawn[:, :2]).sum(dim=1)
        if drawn.shape[1] > 2:  # along its own axis a pull stays as it is
            gradient = gradient + drawn[:, 2:].sum(dim=1)
        curvature = frames.precision[:, 1:].sum(dim=1) + frames.precision[:, 0] * (beyond != 0)
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles)
            cost = cost + 0.5 * self.limit_precision * (beyond**2).sum((1, 2))
        return _JointTerms(cost, gradient, curvature)

    def _beyond_angle_bounds(self, angles: Tensor) -> Tensor:
        """(T, J, 2) how far hinge angles are beyond a user's bounds."""
        if self.angle_bounds is None:
            return torch.zeros_like(angles)
        return angles - torch.maximum(torch.minimum(angles, self.angle_bounds[1]), self.angle_bounds[0])

    def _unknowns(self, poses: QuaternionPose, parent_world: Tensor) -> Tensor | None:
        """(T, J, 3, 3) world rotation vector of each unknown (``unknowns_in_world``)."""
        if self.hinges is None:
            return None
        pose = Pose(turns.to_matrices(poses.turn).transpose(0, 1), poses.place, poses.angles)
        return unknowns_in_world(pose, parent_world.transpose(0, 1), self.hinges)

    def _bulge(self, poses: QuaternionPose, transforms: Tensor, parent_world: Tensor) -> _Bulge | None:
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

    def _growth_elsewhere(self, bulge: _Bulge, force: Tensor) -> Tensor:
        """(J, T, 3) gradient of the blend shapes by which a joint moves markers of limbs that are not its own.

        Some models have them, by chance rather than by anatomy; the curvature goes without.
        """
        pressed = (bulge.mixed.mT @ force.mT[..., None])[..., 0]  # (T, M, 3) in rest axes
        felt = torch.einsum("tmc,mcjf->tjf", pressed, self.point_pose_elsewhere)
        return (bulge.change.mT @ felt[..., None])[..., 0].transpose(0, 1)

    def _arms(self, combined: Tensor) -> Tensor:
        """(T, 3, G, N, P) the arms of each limb's markers about its and the trunk's joints."""
        (G, N), P = self.limbs.markers.shape, self.limbs.joints.shape[1]
        return combined[..., : -self.num_markers].unflatten(-1, (G, N, P))

    def _changes(self, arms: Tensor, bulge: _Bulge | None, unknowns: Tensor | None) -> Tensor:
        """(T, G, N, 3, 3, P) change of every marker with the unknowns of its limb's and the trunk's joints."""
        T, _, G, N, P = arms.shape
        markers, joints = self.limbs.markers, self.limbs.joints
        if bulge is not None:
            arms = arms + _with_nothing(bulge.arms, 3)[:, :, markers[:, :, None], joints[:, None]]
        changes = arms.new_zeros(T, G, N, 3, 3, P)
        _fill_with_turns(changes, arms)
        if unknowns is not None:
            axes = _with_nothing(unknowns, 1)[:, joints]  # (T, G, P, 3, 3)
            changes = torch.einsum("tgncwp,tgpwu->tgncup", changes, axes)
        if bulge is not None and self.limb_point_pose is not None:
            growth = _with_nothing(bulge.change, 1)[:, joints]  # (T, G, P, F, 3)
            grown = torch.einsum("gnpcf,tgpfu->tgncup", self.limb_point_pose, growth)
            changes = changes + (bulge.mixed[:, markers] @ grown.flatten(4)).unflatten(-1, (3, P))
        return changes

    def _marker_equations(
        self, arms: Tensor, bulge: _Bulge | None, unknowns: Tensor | None, residual: Tensor, weight: Tensor
    ) -> BlockNormalEquations:
        """Those of the markers alone, limb by limb.

        Args:
            arms: (T, 3, G, N, P).
            bulge: of a body with blend shapes.
            unknowns: of a constrained tree.
            residual: (T, 3, M) metres.
            weight: (T, M) 1/m².
        """
        T, _, G, N, _ = arms.shape
        L, K = self.limbs.limb.shape[1], len(self.limbs.trunk)
        ends = (3 * L, 3 * L + 3 * K, 3 * L + 3 * K + 3)  # of the limb's unknowns, the trunk's joints', the place's
        root = weight.sqrt()[:, self.limbs.markers]  # (T, G, N)
        in_limb, in_trunk = root * self.limbs.limb_scale, root * self.limbs.trunk_scale
        columns = arms.new_zeros(T, G, N, 3, ends[2] + 1)
        of_limb = columns[..., : ends[0]].unflatten(-1, (3, L))
        of_trunk = columns[..., ends[0] : ends[1]].unflatten(-1, (3, K))
        if bulge is None and unknowns is None:
            _fill_with_turns(of_limb, arms[..., :L] * in_limb[:, None, ..., None])
            _fill_with_turns(of_trunk, arms[..., L:] * in_trunk[:, None, ..., None])
        else:
            changes = self._changes(arms, bulge, unknowns)
            torch.mul(changes[..., :L], in_limb[..., None, None, None], out=of_limb)
            torch.mul(changes[..., L:], in_trunk[..., None, None, None], out=of_trunk)
        columns[..., ends[1] : ends[2]].diagonal(dim1=3, dim2=4)[:] = in_trunk[..., None]
        columns[..., ends[2]] = residual[:, :, self.limbs.markers].permute(0, 2, 3, 1) * in_trunk[..., None]
        columns = columns.flatten(2, 3)
        products = columns.mT @ columns  # (T, G, 3·L + 3·K + 4, the same)
        trunk = products[:, :, ends[0] :, ends[0] :].sum(dim=1)
        return BlockNormalEquations(
            limb=products[:, :, : ends[0], : ends[0]],
            across=products[:, :, : ends[0], ends[0] : ends[2]],
            trunk=trunk[:, :-1, :-1],
            limb_gradient=products[:, :, : ends[0], ends[2]],
            trunk_gradient=trunk[:, :-1, -1],
        )

    def _add_joint_terms(self, equations: BlockNormalEquations, gradient: Tensor, curvature: Tensor) -> None:
        """Add what the joints' own terms give, (J, T, 3) and (J, T, 3, 3)."""
        (G, L), K = self.limbs.limb.shape, len(self.limbs.trunk)
        limb = _with_nothing(gradient, 0)[self.limbs.limb.flatten()].unflatten(0, (G, L))  # (G, L, T, 3)
        equations.limb_gradient.unflatten(-1, (3, L)).add_(limb.permute(2, 0, 3, 1))
        equations.trunk_gradient[:, :-3].unflatten(-1, (3, K)).add_(gradient[self.limbs.trunk].permute(1, 2, 0))
        limb = _with_nothing(curvature, 0)[self.limbs.limb.flatten()].unflatten(0, (G, L))  # (G, L, T, 3, 3)
        blocks = equations.limb.unflatten(3, (3, L)).unflatten(2, (3, L))  # (T, G, 3, L, 3, L)
        blocks.diagonal(dim1=3, dim2=5).add_(limb.permute(2, 0, 3, 4, 1))
        blocks = equations.trunk[:, :-3, :-3].unflatten(2, (3, K)).unflatten(1, (3, K))
        blocks.diagonal(dim1=2, dim2=4).add_(curvature[self.limbs.trunk].permute(1, 2, 3, 0))


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


def _place_cost(poses: QuaternionPose, frames: Frames) -> Tensor:
    """(T,) what leanings add for the place of the body."""
    away = poses.place[:, None] - frames.places
    return 0.5 * (frames.place_precision * (away * away).sum(dim=-1)).sum(dim=1)


def _combination(share: Tensor, below: Tensor, point: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
    """Arms and markers as combinations of the joints' world transforms.

    Joint k takes a point x at rest to R·x + t. A marker is Σₖ wₖ(R·x + t), its arm about joint j the same over the
    joints from j on, less Σₖ wₖ times the place of j, R·rest + t.

    Args:
        share: (M, J) skinning weights.
        below: (J, J) 1 where the second joint is the first one or hangs on it.
        point: (M, 3) markers at rest.
        rest: (J, 3) joints at rest.

    Returns:
        Of the rows x, y, z and t of each joint the arms (4·J, M, J) and the markers (4·J, M).
    """
    M, J = share.shape
    carried = torch.cat([point, torch.ones_like(point[:, :1])], dim=1)  # (M, 4)
    by_joint = share[:, :, None] * carried[:, None]  # (M, J, 4)
    arms = torch.einsum("jk,mkq->kqmj", below, by_joint)
    own = torch.cat([rest, torch.ones_like(rest[:, :1])], dim=1)  # (J, 4)
    arms.diagonal(dim1=0, dim2=3).sub_(torch.einsum("mj,jq->qmj", share @ below.T, own))
    return arms.reshape(4 * J, M, J), by_joint.permute(1, 2, 0).reshape(4 * J, M)


def _by_axis(transforms: Tensor) -> Tensor:
    """(T, 3, 4·J) the rows of world transforms (J, T, 3, 4), joint after joint."""
    return transforms.permute(1, 2, 0, 3).flatten(2)


def _fill_with_turns(changes: Tensor, arms: Tensor) -> None:
    """Write −[arm]ₓ, how a point moves with a turn about its arm's foot: (…, 3, 3, P) of arms (T, 3, …, P)."""
    x, y, z = arms.unbind(1)
    changes[..., 0, 1, :], changes[..., 1, 2, :], changes[..., 2, 0, :] = z, x, y
    for row, column, arm in ((0, 2, y), (1, 0, z), (2, 1, x)):
        torch.neg(arm, out=changes[..., row, column, :])


def _with_nothing(values: Tensor, dim: int) -> Tensor:
    """The values with zeros after the last one along a dimension, for joints that there are not."""
    return torch.cat([values, torch.zeros_like(values.narrow(dim, 0, 1))], dim=dim)
