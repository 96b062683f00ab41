"""Normal equations for the poses of many frames at once; the solver spends most of its time here.

Markers and lever arms are linear in the world transforms of the joints, because the rest positions of the body are
fixed. The lever arm of a marker about a joint determines how the joint moves the marker: rotating the joint by a small
vector d in world axes moves the marker by d × lever arm. So one matrix product gives all markers and all lever arms of
a batch. The markers of a limb depend only on the joints of that limb and of the trunk (``kinematic_blocks``), so a
second product of small matrices gives gradient and curvature.

Rotations are unit quaternions, stored component by component, so that the joint terms are a few vector operations.

The gradient is exactly that of the objective (``gait.fitting.objective_terms``). The curvature is that of Gauss and
Newton, except that the cross blocks between limbs are approximated, and that the residual of a joint is taken as linear
in its rotation. Steps may therefore be a little shorter than Gauss–Newton steps; the minimum is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import MAX_STEP_RAD, Pose, parameter_axes_world, pose_feature_and_jacobian
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget, marker_scales
from gait.fitting.per_frame import PerFrame
from gait.fitting.reduced_body import descendant_matrix
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import quaternions
from gait.fitting.solver.block_solver import BlockGradient, BlockNormalEquations, BlockStep
from gait.fitting.solver.frame_data import FrameData, ObservedMarkers, QuaternionPose
from gait.fitting.solver.kinematic_blocks import split_kinematic_tree


@dataclass(frozen=True)
class Linearization(PerFrame):
    """Objective of T frames at given poses, with its gradient and curvature."""

    frame_axis: ClassVar = {"parent_world": 1}

    cost: Tensor  # (T,)
    equations: BlockNormalEquations
    parent_world: Tensor  # (J, T, 3, 3) world rotation of each joint's parent
    # (T, J + 1, 3, 3) curvature that the markers give each joint, and last the translation, if it was wanted
    marker_curvature: Tensor | None


@dataclass(frozen=True)
class CostAndGradient(PerFrame):
    """Objective of T frames at given poses, with its gradient."""

    frame_axis: ClassVar = {"parent_world": 1}

    cost: Tensor  # (T,)
    gradient: BlockGradient
    parent_world: Tensor  # (J, T, 3, 3) world rotation of each joint's parent


class BatchedNormalEquations:
    """Objective of one subject with its derivatives, for any number of frames.

    The marker offsets are the same in all frames. Single precision is exact to a micrometre, because the positions of
    each frame are relative to the centroid of its markers.
    """

    def __init__(
        self, subject: SubjectModel, prior: JointPrior, scales: ResidualScales, dtype: torch.dtype = torch.float32
    ) -> None:
        reduced_body = subject.reduced_body
        self.dtype, self.device = dtype, reduced_body.marker_template.device
        self.levels, self.parent = reduced_body.levels, reduced_body.parent_index
        self.num_joints, self.num_markers = reduced_body.num_joints, reduced_body.num_markers
        self.rest_joints = self._cast(subject.rest_joints)  # (J, 3)
        skin_weights = reduced_body.skinning_weights
        descendants = descendant_matrix(reduced_body.parents).to(skin_weights)
        self.blocks = split_kinematic_tree(reduced_body.parents, self._cast(skin_weights))
        joints, markers = self.blocks.joints, self.blocks.markers  # (G, P) and (G, N), P = L + K
        lever_arm_map, marker_map = _linear_map(skin_weights, descendants, subject.rest_markers, subject.rest_joints)
        lever_arm_map = _pad_zero(lever_arm_map, 2)[:, markers[:, :, None], joints[:, None]]  # (4·J, G, N, P)
        self.linear_map = self._cast(torch.cat([lever_arm_map.flatten(1), marker_map], dim=1))  # (4·J, G·N·P + M)
        self.point_map = torch.cat([self.linear_map[:, -self.num_markers :], self._joint_map()], dim=1)  # (4·J, M + J)
        # sums of columns x, y, z and t, and of t alone, over a joint and its descendants
        below = descendants.T.to(self.linear_map)
        self.column_sum = below.repeat_interleave(4, dim=0)  # (4·J, J)
        self.shift_sum = self.column_sum * (torch.arange(4 * self.num_joints, device=self.device) % 4 == 3)[:, None]
        self.skin_weights, self.descendants = self._cast(skin_weights), self._cast(descendants)
        self.marker_posedirs = self.limb_posedirs = None
        self.cross_limb_posedirs = skin_weights.new_zeros(0)
        if reduced_body.marker_posedirs is not None:
            self.marker_posedirs = self._cast(reduced_body.marker_posedirs)  # (M, 3, J, F)
            padded = _pad_zero(self.marker_posedirs, 2).transpose(1, 2)  # (M, J + 1, 3, F)
            self.limb_posedirs = padded[markers[:, :, None], joints[:, None]]  # (G, N, P, 3, F)
            other_limb = torch.ones(self.num_markers, self.num_joints + 1, dtype=torch.bool, device=self.device)
            used = (self.blocks.trunk_scale > 0).nonzero().unbind(1)
            other_limb[markers[used][:, None], joints[used[0]]] = False
            self.cross_limb_posedirs = self.marker_posedirs * other_limb[:, None, :-1, None]
        self.hinges = None if reduced_body.hinges is None else reduced_body.hinges.to(dtype)
        self.sigma_m, self.robust_m = (
            self._cast(scale) if isinstance(scale, Tensor) else scale for scale in marker_scales(reduced_body, scales)
        )
        mean = quaternions.inverse(self._quaternions_from(prior.mean[None]))  # (4, J, 1)
        identity = torch.zeros_like(mean)
        identity[3] = 1
        self.reference_rotations = torch.stack([identity, mean], dim=1)  # (4, 2, J, 1)
        by_axis = self._cast(prior.precision).T[..., None]  # (3, J, 1)
        self.reference_precision = torch.stack([torch.full_like(by_axis, prior.limit_precision), by_axis], dim=1)
        self.lower, self.upper = (self._cast(b).T[..., None] for b in (prior.lower, prior.upper))  # (3, J, 1)
        self.limit_precision = prior.limit_precision
        self.angle_bounds: tuple[Tensor, Tensor] | None = None  # (J, 2) each
        if prior.angle_lower is not None and prior.angle_upper is not None:
            self.angle_bounds = (self._cast(prior.angle_lower[:, :2]), self._cast(prior.angle_upper[:, :2]))

    def _cast(self, values: Tensor) -> Tensor:
        return values.to(dtype=self.dtype, device=self.device)

    def _joint_map(self) -> Tensor:
        """Return the linear map (4·J, J) from the world transforms of the joints to their positions."""
        homogeneous = torch.cat([self.rest_joints, torch.ones_like(self.rest_joints[:, :1])], dim=1)  # (J, 4)
        return torch.diag_embed(homogeneous.T).permute(1, 0, 2).flatten(0, 1)

    def _quaternions_from(self, rotations: Tensor) -> Tensor:
        """Return quaternions (4, J, T) of rotation matrices (T, J, 3, 3)."""
        return quaternions.from_matrices(self._cast(rotations).transpose(0, 1))

    def frame_data(self, observation: ObservedMarkers, targets: Sequence[SoftPoseTarget] = ()) -> FrameData:
        """Prepare observed markers and soft pose targets for the solver."""
        visible = observation.visible
        markers = torch.where(visible[..., None], observation.markers, 0.0)
        centroid = markers.sum(dim=1) / visible.sum(dim=1, keepdim=True).clamp_min(1)
        centred = torch.where(visible[..., None], markers - centroid[:, None], 0.0)
        T, J, R = len(visible), self.num_joints, 2 + len(targets)
        references, precision = self.rest_joints.new_empty(4, R, J, T), self.rest_joints.new_empty(3, R, J, T)
        references[:, :2], precision[:, :2] = self.reference_rotations, self.reference_precision
        for r, target in enumerate(targets):
            references[:, 2 + r] = quaternions.inverse(self._quaternions_from(target.rotations))
            precision[:, 2 + r] = self._cast(target.rotation_precision).T
        translations = [self._cast(target.translation - centroid) for target in targets]
        translation_precision = [self._cast(target.translation_precision) for target in targets]
        return FrameData(
            centroid,
            self._cast(centred.mT).contiguous(),
            self._cast(visible) / self.sigma_m**2,
            references,
            precision,
            torch.stack(translations, dim=1) if translations else self.rest_joints.new_zeros(T, 0, 3),
            torch.stack(translation_precision, dim=1) if translations else self.rest_joints.new_zeros(T, 0),
        )

    def to_internal(self, pose: Pose, data: FrameData) -> QuaternionPose:
        """Convert poses to quaternions, relative to the centroid of the markers."""
        angles = None if pose.angles is None else self._cast(pose.angles)
        translation = self._cast(pose.translation - data.centroid)
        return QuaternionPose(self._quaternions_from(pose.rotations), translation, angles)

    def to_matrix_pose(self, poses: QuaternionPose, data: FrameData) -> Pose:
        """Convert poses of the solver to rotation matrices in double precision."""
        rotations = quaternions.to_matrices(quaternions.normalize(poses.rotations.double())).transpose(0, 1)
        angles = None if poses.angles is None else poses.angles.double()
        if self.hinges is not None and angles is not None:
            hinges = self.hinges.to(torch.float64)
            rotations = torch.where(hinges.hinged[:, None, None], hinges.rotations(angles), rotations)
        return Pose(rotations.contiguous(), poses.translation.double() + data.centroid, angles)

    def markers_and_joints(self, pose: Pose) -> tuple[Tensor, Tensor]:
        """Return the virtual markers (T, M, 3) and the joints (T, J, 3) at given poses, metres."""
        angles = None if pose.angles is None else self._cast(pose.angles)
        poses = QuaternionPose(self._quaternions_from(pose.rotations), self._cast(pose.translation), angles)
        transforms, _, blendshapes = self._transforms(poses)
        markers = _flatten_by_axis(transforms) @ self.linear_map[:, -self.num_markers :]
        joints = (transforms[..., :3] @ self.rest_joints[:, None, :, None])[..., 0] + transforms[..., 3]
        return (markers if blendshapes is None else markers + blendshapes.shift).mT, joints.transpose(0, 1)

    def cost(self, poses: QuaternionPose, data: FrameData) -> Tensor:
        """Return the objective (T,) without derivatives."""
        transforms, _, blendshapes = self._transforms(poses)
        virtual = _flatten_by_axis(transforms) @ self.linear_map[:, -self.num_markers :]
        residual = self._residual(virtual, blendshapes, data)
        joints = self._joint_terms(poses, data)
        return self._robust(residual, data)[0] + joints.cost + _translation_cost(poses, data)

    def linearize(self, poses: QuaternionPose, data: FrameData, *, marker_curvature: bool = False) -> Linearization:
        """Return the objective with its gradient and curvature, and if wanted with the ``marker_curvature``."""
        transforms, parent_world, blendshapes = self._transforms(poses)
        combined = _flatten_by_axis(transforms) @ self.linear_map  # (T, 3, G·N·P + M)
        residual = self._residual(combined[..., -self.num_markers :], blendshapes, data)
        cost, weight = self._robust(residual, data)
        parameter_axes = self._parameter_axes(poses, parent_world)
        lever_arms = self._lever_arms(combined)
        equations = self._marker_equations(lever_arms, blendshapes, parameter_axes, residual, weight)
        own = self._curvature_of_joints(lever_arms, blendshapes, parameter_axes, weight) if marker_curvature else None
        terms = self._joint_terms(poses, data)
        axes = parent_world if parameter_axes is None else parameter_axes.transpose(0, 1).mT @ parent_world
        gradient = (axes @ terms.gradient.permute(1, 2, 0)[..., None])[..., 0]  # (J, T, 3)
        curvature = (axes * terms.curvature.permute(1, 2, 0)[:, :, None]) @ axes.mT  # (J, T, 3, 3)
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles).transpose(0, 1)
            gradient[..., :2] += self.limit_precision * beyond
            curvature.diagonal(dim1=2, dim2=3)[..., :2] += self.limit_precision * (beyond != 0)
        if blendshapes is not None:
            # blend shapes through which a joint moves markers of another limb; the curvature ignores them
            force = residual * weight[:, None]
            gradient = gradient + self._blendshape_gradient(blendshapes, force, self.cross_limb_posedirs)
        self._add_joint_terms(equations, gradient, curvature)
        if data.target_translations.shape[1]:
            away = data.translation_precision[..., None] * (poses.translation[:, None] - data.target_translations)
            equations.trunk_gradient[:, -3:] += away.sum(dim=1)
            equations.trunk.diagonal(dim1=1, dim2=2)[:, -3:] += data.translation_precision.sum(dim=1, keepdim=True)
        return Linearization(cost + terms.cost + _translation_cost(poses, data), equations, parent_world, own)

    def cost_and_gradient(self, poses: QuaternionPose, data: FrameData) -> CostAndGradient:
        """Return the objective with its gradient, for a third of the operations of ``linearize``.

        A small rotation d of a joint at p moves a point y of a descendant by d × (y − p), so that a force f there has
        the gradient y × f − p × f. The forces of all markers act on the columns of the joints' transforms.
        """
        transforms, parent_world, blendshapes = self._transforms(poses)
        columns = _flatten_by_axis(transforms)  # (T, 3, 4·J)
        points = columns @ self.point_map  # (T, 3, M + J)
        residual = self._residual(points[..., : self.num_markers], blendshapes, data)
        cost, weight = self._robust(residual, data)
        force = residual * weight[:, None]
        on_columns = force @ self.point_map[:, : self.num_markers].T  # (T, 3, 4·J)
        if blendshapes is not None:
            on_columns.unflatten(-1, (-1, 4))[..., :3] += torch.einsum(
                "tcm,mj,tmd->tcjd", force, self.skin_weights, blendshapes.offsets
            )
        torque = _cross(columns, on_columns) @ self.column_sum
        torque -= _cross(points[..., self.num_markers :], on_columns @ self.shift_sum)  # (T, 3, J)
        terms = self._joint_terms(poses, data)
        gradient = torque.permute(2, 0, 1) + (parent_world @ terms.gradient.permute(1, 2, 0)[..., None])[..., 0]
        parameter_axes = self._parameter_axes(poses, parent_world)
        if parameter_axes is not None:
            gradient = (parameter_axes.transpose(0, 1).mT @ gradient[..., None])[..., 0]
        if self.angle_bounds is not None and poses.angles is not None:
            gradient[..., :2] += self.limit_precision * self._beyond_angle_bounds(poses.angles).transpose(0, 1)
        if blendshapes is not None and self.marker_posedirs is not None:
            gradient = gradient + self._blendshape_gradient(blendshapes, force, self.marker_posedirs)
        away = poses.translation[:, None] - data.target_translations
        by_translation = force.sum(dim=2) + (data.translation_precision[..., None] * away).sum(dim=1)
        limb = _pad_zero(gradient, 0)[self.blocks.limb]  # (G, L, T, 3)
        trunk = gradient[self.blocks.trunk].permute(1, 2, 0).flatten(1)
        return CostAndGradient(
            cost + terms.cost + _translation_cost(poses, data),
            BlockGradient(limb.permute(2, 0, 3, 1).flatten(2), torch.cat([trunk, by_translation], dim=1)),
            parent_world,
        )

    def _curvature_of_joints(
        self,
        lever_arms: Tensor,
        blendshapes: _PoseBlendshapeTerms | None,
        parameter_axes: Tensor | None,
        weight: Tensor,
    ) -> Tensor:
        """Return the curvature that the markers give each joint, and last the translation: (T, J + 1, 3, 3)."""
        L = self.blocks.limb.shape[1]
        for_limb = (self.blocks.limb_scale * self.blocks.trunk_scale)[..., None].expand(-1, -1, L)
        for_trunk = (self.blocks.trunk_scale**2)[..., None].expand(-1, -1, len(self.blocks.trunk))
        copy_weight = weight[:, self.blocks.markers, None] * torch.cat([for_limb, for_trunk], dim=-1)  # (T, G, N, P)
        own = copy_weight.new_empty(*copy_weight.shape[:2], copy_weight.shape[3], 3, 3)  # (T, G, P, 3, 3)
        if blendshapes is None and parameter_axes is None:
            weighted = lever_arms * copy_weight[:, None]
            for c, d in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
                own[..., c, d] = own[..., d, c] = -(weighted[:, c] * lever_arms[:, d]).sum(dim=2)
            own.diagonal(dim1=3, dim2=4).sub_(own.diagonal(dim1=3, dim2=4).sum(dim=-1, keepdim=True))
        else:
            jacobian = self._marker_jacobian(lever_arms, blendshapes, parameter_axes)
            weighted = jacobian * copy_weight[:, :, :, None, None]
            for u in range(3):
                own[..., u, :] = (weighted[:, :, :, :, [u]] * jacobian).sum(dim=(2, 3)).mT
        joints = torch.cat([own[:, :, :L].flatten(1, 2), own[:, :, L:].sum(dim=1)], dim=1)[:, self.blocks.position]
        translation = torch.diag_embed(weight.sum(dim=1)[:, None].expand(-1, 3))
        return torch.cat([joints, translation[:, None]], dim=1)

    def apply_step(self, poses: QuaternionPose, parent_world: Tensor, step: BlockStep) -> QuaternionPose:
        """Return the poses after rotating every joint and translating the body by a step."""
        by_limb = step.limb.unflatten(-1, (3, -1)).transpose(1, 2).flatten(2)  # (T, 3, G·L)
        by_trunk = step.trunk[:, :-3].unflatten(-1, (3, -1))
        rotation_step = torch.cat([by_limb, by_trunk], dim=-1)[..., self.blocks.position].permute(2, 0, 1)  # (J, T, 3)
        size = (rotation_step * rotation_step).sum(dim=-1, keepdim=True).sqrt()
        rotation_step = rotation_step * (MAX_STEP_RAD / size.clamp_min(1e-12)).clamp(max=1.0)
        local = (parent_world.mT @ rotation_step[..., None])[..., 0].permute(2, 0, 1)  # (3, J, T)
        rotations = quaternions.normalize(quaternions.multiply(quaternions.from_rotvec(local), poses.rotations))
        translation = poses.translation + step.trunk[:, -3:]
        if self.hinges is None or poses.angles is None:
            return QuaternionPose(rotations, translation, None)
        hinged = self.hinges.hinged
        angle_step = rotation_step.transpose(0, 1)[..., :2]
        angles = poses.angles + torch.where(hinged[:, None], angle_step, torch.zeros_like(angle_step))
        hinge_rotations = self._quaternions_from(self.hinges.rotations(angles))
        return QuaternionPose(torch.where(hinged[:, None], hinge_rotations, rotations), translation, angles)

    def _transforms(self, poses: QuaternionPose) -> tuple[Tensor, Tensor, _PoseBlendshapeTerms | None]:
        """Return the transforms from rest to world (J, T, 3, 4), the parents' rotations (J, T, 3, 3), and blend shapes.

        The latter are None for a body without them.
        """
        local = quaternions.to_matrices(poses.rotations)  # (J, T, 3, 3)
        rest = self.rest_joints[:, None, :, None]
        shift = rest - local @ rest
        shift[0, :, :, 0] += poses.translation
        local = torch.cat([local, shift], dim=-1)
        world = torch.empty_like(local)
        world[0] = local[0]
        for level in self.levels:
            above = world[self.parent[level]]
            child = above[..., :3] @ local[level]
            child[..., 3] += above[..., 3]
            world[level] = child
        parent_world = world[self.parent, :, :, :3]
        parent_world[0] = torch.eye(3, dtype=world.dtype, device=world.device)
        return world, parent_world, self._pose_blendshape_terms(poses, world, parent_world)

    def _residual(self, virtual: Tensor, blendshapes: _PoseBlendshapeTerms | None, data: FrameData) -> Tensor:
        """Return virtual − observed markers (T, 3, M), metres; zero where not visible."""
        if blendshapes is not None:
            virtual = virtual + blendshapes.shift
        return torch.where(data.marker_precision[:, None] > 0, virtual - data.markers, 0.0)

    def _robust(self, residual: Tensor, data: FrameData) -> tuple[Tensor, Tensor]:
        """Return the Huber cost (T,) and the weight of each marker (T, M), 1/m²."""
        distance = (residual * residual).sum(dim=1).sqrt()
        near = distance.clamp(max=self.robust_m)
        cost = (data.marker_precision * near * (distance - 0.5 * near)).sum(dim=1)
        return cost, data.marker_precision * (near / distance.clamp_min(1e-12))

    def _joint_terms(self, poses: QuaternionPose, data: FrameData) -> _JointTerms:
        """Return the terms of pose prior, range of motion and soft targets, in the axes of each joint's parent."""
        difference = quaternions.multiply(poses.rotations[:, None], data.reference_rotations)
        away, jacobian_coefficient = quaternions.to_rotvec(difference)  # (3, R, J, T)
        angles = away[:, 0]
        beyond = angles - torch.maximum(torch.minimum(angles, self.upper), self.lower)
        residual = torch.cat([beyond[:, None], away[:, 1:]], dim=1)
        weighted = data.reference_precision * residual
        cost = 0.5 * (weighted * residual).sum((0, 1, 2))
        gradient = quaternions.apply_inverse_jacobian_transpose(
            away[:, :2], jacobian_coefficient[:2], weighted[:, :2]
        ).sum(dim=1)
        if weighted.shape[1] > 2:  # a gradient along the rotation axis is not changed by the Jacobian
            gradient = gradient + weighted[:, 2:].sum(dim=1)
        curvature = data.reference_precision[:, 1:].sum(dim=1) + data.reference_precision[:, 0] * (beyond != 0)
        if self.angle_bounds is not None and poses.angles is not None:
            beyond = self._beyond_angle_bounds(poses.angles)
            cost = cost + 0.5 * self.limit_precision * (beyond**2).sum((1, 2))
        return _JointTerms(cost, gradient, curvature)

    def _beyond_angle_bounds(self, angles: Tensor) -> Tensor:
        """Return the excess of hinge angles over the bounds given by the user, (T, J, 2)."""
        if self.angle_bounds is None:
            return torch.zeros_like(angles)
        return angles - torch.maximum(torch.minimum(angles, self.angle_bounds[1]), self.angle_bounds[0])

    def _parameter_axes(self, poses: QuaternionPose, parent_world: Tensor) -> Tensor | None:
        """Return the rotation axis of each parameter in world axes (T, J, 3, 3), see ``parameter_axes_world``."""
        if self.hinges is None:
            return None
        pose = Pose(quaternions.to_matrices(poses.rotations).transpose(0, 1), poses.translation, poses.angles)
        return parameter_axes_world(pose, parent_world.transpose(0, 1), self.hinges)

    def _pose_blendshape_terms(
        self, poses: QuaternionPose, transforms: Tensor, parent_world: Tensor
    ) -> _PoseBlendshapeTerms | None:
        if self.marker_posedirs is None:
            return None
        pose = Pose(quaternions.to_matrices(poses.rotations).transpose(0, 1), poses.translation, poses.angles)
        kind = PoseFeature(self.marker_posedirs.shape[-1])
        feature, feature_jacobian = pose_feature_and_jacobian(pose, parent_world.transpose(0, 1), self.hinges, kind)
        offsets = torch.einsum("mcjq,tjq->tmc", self.marker_posedirs, feature)
        blended_rotations = torch.einsum("mj,jtcd->tmcd", self.skin_weights, transforms[..., :3])
        contributions = torch.einsum("jtcd,tmd->tcmj", transforms[..., :3], offsets) * self.skin_weights
        return _PoseBlendshapeTerms(
            offsets,
            (blended_rotations @ offsets[..., None])[..., 0].mT,
            contributions @ self.descendants.T,
            blended_rotations,
            feature_jacobian,
        )

    def _blendshape_gradient(self, blendshapes: _PoseBlendshapeTerms, force: Tensor, posedirs: Tensor) -> Tensor:
        """Return the gradient (J, T, 3) of forces (T, 3, M) through pose blend shapes (M, 3, J, F).

        Some body models have blend shapes of another limb's joints without an anatomical reason.
        """
        rest_force = (blendshapes.blended_rotations.mT @ force.mT[..., None])[..., 0]  # (T, M, 3) in rest axes
        feature_gradient = torch.einsum("tmc,mcjf->tjf", rest_force, posedirs)
        return (blendshapes.feature_jacobian.mT @ feature_gradient[..., None])[..., 0].transpose(0, 1)

    def _lever_arms(self, combined: Tensor) -> Tensor:
        """Return the lever arms (T, 3, G, N, P) of each limb's markers about the joints of the limb and the trunk."""
        (G, N), P = self.blocks.markers.shape, self.blocks.joints.shape[1]
        return combined[..., : -self.num_markers].unflatten(-1, (G, N, P))

    def _marker_jacobian(
        self, lever_arms: Tensor, blendshapes: _PoseBlendshapeTerms | None, parameter_axes: Tensor | None
    ) -> Tensor:
        """Return the derivative of each limb's markers in its and the trunk's joints: (T, G, N, axis, parameter, P)."""
        T, _, G, N, P = lever_arms.shape
        markers, joints = self.blocks.markers, self.blocks.joints
        if blendshapes is not None:
            lever_arms = lever_arms + _pad_zero(blendshapes.lever_arms, 3)[:, :, markers[:, :, None], joints[:, None]]
        jacobian = lever_arms.new_zeros(T, G, N, 3, 3, P)
        _write_cross_products(jacobian, lever_arms)
        if parameter_axes is not None:
            axes = _pad_zero(parameter_axes, 1)[:, joints]  # (T, G, P, 3, 3)
            jacobian = torch.einsum("tgncwp,tgpwu->tgncup", jacobian, axes)
        if blendshapes is not None and self.limb_posedirs is not None:
            feature_jacobian = _pad_zero(blendshapes.feature_jacobian, 1)[:, joints]  # (T, G, P, F, 3)
            shift = torch.einsum("gnpcf,tgpfu->tgncup", self.limb_posedirs, feature_jacobian)
            jacobian = jacobian + (blendshapes.blended_rotations[:, markers] @ shift.flatten(4)).unflatten(-1, (3, P))
        return jacobian

    def _marker_equations(
        self,
        lever_arms: Tensor,
        blendshapes: _PoseBlendshapeTerms | None,
        parameter_axes: Tensor | None,
        residual: Tensor,
        weight: Tensor,
    ) -> BlockNormalEquations:
        """Build the normal equations of the marker terms from lever arms (T, 3, G, N, P) and residuals (T, 3, M)."""
        T, _, G, N, _ = lever_arms.shape
        L, K = self.blocks.limb.shape[1], len(self.blocks.trunk)
        ends = (3 * L, 3 * L + 3 * K, 3 * L + 3 * K + 3)  # ends of the columns of limb, trunk joints and translation
        root = weight.sqrt()[:, self.blocks.markers]  # (T, G, N)
        in_limb, in_trunk = root * self.blocks.limb_scale, root * self.blocks.trunk_scale
        columns = lever_arms.new_zeros(T, G, N, 3, ends[2] + 1)
        of_limb = columns[..., : ends[0]].unflatten(-1, (3, L))
        of_trunk = columns[..., ends[0] : ends[1]].unflatten(-1, (3, K))
        if blendshapes is None and parameter_axes is None:
            _write_cross_products(of_limb, lever_arms[..., :L] * in_limb[:, None, ..., None])
            _write_cross_products(of_trunk, lever_arms[..., L:] * in_trunk[:, None, ..., None])
        else:
            jacobian = self._marker_jacobian(lever_arms, blendshapes, parameter_axes)
            torch.mul(jacobian[..., :L], in_limb[..., None, None, None], out=of_limb)
            torch.mul(jacobian[..., L:], in_trunk[..., None, None, None], out=of_trunk)
        columns[..., ends[1] : ends[2]].diagonal(dim1=3, dim2=4)[:] = in_trunk[..., None]
        columns[..., ends[2]] = residual[:, :, self.blocks.markers].permute(0, 2, 3, 1) * in_trunk[..., None]
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
        """Add the gradient (J, T, 3) and the curvature (J, T, 3, 3) of the joint terms to the equations."""
        (G, L), K = self.blocks.limb.shape, len(self.blocks.trunk)
        limb = _pad_zero(gradient, 0)[self.blocks.limb.flatten()].unflatten(0, (G, L))  # (G, L, T, 3)
        equations.limb_gradient.unflatten(-1, (3, L)).add_(limb.permute(2, 0, 3, 1))
        equations.trunk_gradient[:, :-3].unflatten(-1, (3, K)).add_(gradient[self.blocks.trunk].permute(1, 2, 0))
        limb = _pad_zero(curvature, 0)[self.blocks.limb.flatten()].unflatten(0, (G, L))  # (G, L, T, 3, 3)
        blocks = equations.limb.unflatten(3, (3, L)).unflatten(2, (3, L))  # (T, G, 3, L, 3, L)
        blocks.diagonal(dim1=3, dim2=5).add_(limb.permute(2, 0, 3, 4, 1))
        blocks = equations.trunk[:, :-3, :-3].unflatten(2, (3, K)).unflatten(1, (3, K))
        blocks.diagonal(dim1=2, dim2=4).add_(curvature[self.blocks.trunk].permute(1, 2, 3, 0))


@dataclass(frozen=True)
class _PoseBlendshapeTerms:
    """Effect of pose-corrective blend shapes on the markers of T frames."""

    offsets: Tensor  # (T, M, 3) in rest axes, metres
    shift: Tensor  # (T, 3, M) metres
    lever_arms: Tensor  # (T, 3, M, J) addition to the lever arms, metres
    blended_rotations: Tensor  # (T, M, 3, 3) skinning-weighted world rotation at each marker
    feature_jacobian: Tensor  # (T, J, F, 3) derivative of each joint's pose feature


@dataclass(frozen=True)
class _JointTerms:
    """Terms of the objective that depend on the joint rotations alone, in the axes of each joint's parent."""

    cost: Tensor  # (T,)
    gradient: Tensor  # (3, J, T)
    curvature: Tensor  # (3, J, T) diagonal elements


def _translation_cost(poses: QuaternionPose, data: FrameData) -> Tensor:
    """Return the cost (T,) of the soft targets of the translation."""
    away = poses.translation[:, None] - data.target_translations
    return 0.5 * (data.translation_precision * (away * away).sum(dim=-1)).sum(dim=1)


def _linear_map(
    skin_weights: Tensor, descendants: Tensor, rest_markers: Tensor, rest_joints: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the linear maps from the world transforms of the joints to lever arms and to markers.

    Joint k moves a point x from rest to R·x + t. A marker is Σₖ wₖ(R·x + t). Its lever arm about joint j is the same
    sum over j and its descendants k, minus Σₖ wₖ times the position of j, R·rest + t.

    The coefficients of the columns x, y, z and t of each joint's transform are (4·J, M, J) for the lever arms, (4·J, M)
    for the markers; ``descendants`` is that of ``descendant_matrix``.
    """
    M, J = skin_weights.shape
    homogeneous = torch.cat([rest_markers, torch.ones_like(rest_markers[:, :1])], dim=1)  # (M, 4)
    by_joint = skin_weights[:, :, None] * homogeneous[:, None]  # (M, J, 4)
    lever_arms = torch.einsum("jk,mkq->kqmj", descendants, by_joint)
    own = torch.cat([rest_joints, torch.ones_like(rest_joints[:, :1])], dim=1)  # (J, 4)
    lever_arms.diagonal(dim1=0, dim2=3).sub_(torch.einsum("mj,jq->qmj", skin_weights @ descendants.T, own))
    return lever_arms.reshape(4 * J, M, J), by_joint.permute(1, 2, 0).reshape(4 * J, M)


def _flatten_by_axis(transforms: Tensor) -> Tensor:
    """Return the rows of world transforms (J, T, 3, 4), joint after joint: (T, 3, 4·J)."""
    return transforms.permute(1, 2, 0, 3).flatten(2)


def _write_cross_products(jacobian: Tensor, lever_arms: Tensor) -> None:
    """Write −[r]ₓ, the derivative of a point in a rotation at lever arm r: from (T, 3, …, P) to (…, 3, 3, P)."""
    x, y, z = lever_arms.unbind(1)
    jacobian[..., 0, 1, :], jacobian[..., 1, 2, :], jacobian[..., 2, 0, :] = z, x, y
    for row, column, arm in ((0, 2, y), (1, 0, z), (2, 1, x)):
        torch.neg(arm, out=jacobian[..., row, column, :])


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Return the cross products (T, 3, …) of vectors along the second axis."""
    (ax, ay, az), (bx, by, bz) = a.unbind(1), b.unbind(1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], dim=1)


def _pad_zero(values: Tensor, dim: int) -> Tensor:
    """Append zeros along a dimension, for the padding index of ``KinematicBlocks``."""
    return torch.cat([values, torch.zeros_like(values.narrow(dim, 0, 1))], dim=dim)
