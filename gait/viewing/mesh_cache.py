"""Body meshes of a trial, computed ahead of playback in a thread.

In batches of 16 a mesh takes about four milliseconds; one of 13,718 vertices takes 0.3 MB. The cache keeps the batches
around the current frame, as many as fit into its memory, and computes the upcoming ones first. A mesh that is not yet
cached is computed when it is requested.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.viewing.scene import PosedMesh

BATCH = 16
"""Frames per batch."""
MEMORY_BYTES = 256 << 20
"""Bytes of meshes that are kept per trial."""


class MeshBuilder:
    """Computes the meshes of one pose sequence. It is safe to use from several threads."""

    def __init__(self, body: Body, sequence: PoseSequence) -> None:
        """Prepare a body model for a pose sequence.

        Raises:
            GaitError: the poses belong to another body model.
        """
        self.faces: NDArray[np.int32] = body.faces.cpu().numpy().astype(np.int32)
        self._body = body
        self._sequence = sequence
        self.num_frames = sequence.num_frames
        self._betas = torch.as_tensor(sequence.betas)[: body.num_betas].to(body.v_template)
        corner = self.faces.reshape(-1)
        self._corner = torch.from_numpy(corner.astype(np.int64))
        of_face = np.repeat(np.arange(len(self.faces)), 3)
        ones = np.ones(len(corner), dtype=np.float32)
        self._face_sum = scipy.sparse.csr_matrix((ones, (corner, of_face)), shape=(body.num_vertices, len(self.faces)))
        body.local_rotations(torch.as_tensor(sequence.poses[:1]).to(body.v_template))  # raises if the poses do not fit

    def build(self, first: int, end: int) -> list[PosedMesh]:
        """Compute the meshes of the frames ``first`` to ``end`` - 1."""
        template = self._body.v_template
        with torch.inference_mode():
            poses, translation = (
                torch.as_tensor(rows[first:end]).to(template)
                for rows in (self._sequence.poses, self._sequence.translation_m)
            )
            vertices = self._body(poses, self._betas, translation).vertices
            normals = self._normals(vertices)
        return [PosedMesh(v, n) for v, n in zip(vertices.cpu().numpy(), normals, strict=True)]

    def _normals(self, vertices: torch.Tensor) -> NDArray[np.float32]:
        """Compute vertex normals of a batch (B, V, 3); the batched form of ``scene.vertex_normals``."""
        B, V, _ = vertices.shape
        corners = vertices.cpu().transpose(0, 1).reshape(V, B * 3)[self._corner].reshape(-1, 3, B, 3)
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = (self._face_sum @ normals.reshape(len(normals), B * 3).numpy()).reshape(V, B, 3).transpose(1, 0, 2)
        lengths = np.linalg.norm(sums, axis=2, keepdims=True)
        return np.ascontiguousarray(sums / np.maximum(lengths, 1e-20), dtype=np.float32)


class MeshCache:
    """The meshes of a trial; batches around the last requested frame are kept. Close it to stop its thread."""

    def __init__(self, builder: MeshBuilder, memory_bytes: int = MEMORY_BYTES) -> None:
        self.builder = builder
        self.num_frames = builder.num_frames
        bytes_per_frame = 24 * int(builder.faces.max() + 1)
        self._max_batches = max(2, memory_bytes // (bytes_per_frame * BATCH))
        self._batches: dict[int, list[PosedMesh]] = {}
        self._current_batch = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._prefetch, name="meshes", daemon=True)
        self._thread.start()

    def mesh_at(self, frame: int) -> PosedMesh:
        """Return the mesh of one frame; the thread computes the following ones."""
        number, within = divmod(frame, BATCH)
        with self._changed:
            self._current_batch = number
            self._changed.notify()
            batch = self._batches.get(number)
        return batch[within] if batch else self.builder.build(frame, frame + 1)[0]

    @property
    def num_ready(self) -> int:
        """Number of frames in the cache."""
        with self._changed:
            return sum(len(batch) for batch in self._batches.values())

    def close(self) -> None:
        """Stop the thread and free the memory."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._batches.clear()

    def _prefetch(self) -> None:
        torch.set_num_threads(1)  # leave the other cores to the window
        while True:
            with self._changed:
                while not self._closed and self._next() is None:
                    self._changed.wait()
                number = self._next()
                if self._closed or number is None:
                    return
            batch = self.builder.build(number * BATCH, min((number + 1) * BATCH, self.num_frames))
            with self._changed:
                self._batches[number] = batch
                wanted = set(self._wanted())
                for unwanted in [batch_number for batch_number in self._batches if batch_number not in wanted]:
                    del self._batches[unwanted]

    def _wanted(self) -> Iterator[int]:
        """Yield the batches to keep, most urgent first: the current one, those ahead (cyclically), then one behind."""
        count = -(-self.num_frames // BATCH)
        for k in range(min(self._max_batches, count)):
            step = -1 if k == self._max_batches - 1 and self._max_batches < count else k
            yield (self._current_batch + step) % count

    def _next(self) -> int | None:
        return next((number for number in self._wanted() if number not in self._batches), None)
