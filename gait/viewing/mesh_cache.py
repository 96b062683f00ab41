"""The skin of a recording, frame by frame: worked out ahead of where the viewer is, in a thread of its own.

A frame takes some four milliseconds when it is made with fifteen others, and a body of 13,718 vertices takes 0.3 MB. So
batches around the place that is being looked at are kept, as many as fit the memory allowed, and those to come are made
first. A frame that is not there yet is made at once, alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence

BATCH = 16
"""Frames made together."""
MEMORY = 256 << 20
"""Bytes of skin that are kept of one recording."""


@dataclass(frozen=True, eq=False)
class Skin:
    """The skin in one frame."""

    vertices_m: NDArray[np.float32]  # (V, 3) metres, y up
    normals: NDArray[np.float32]  # (V, 3) unit, outwards


class MeshBuilder:
    """Makes skins of one person; several threads may ask."""

    def __init__(self, body: Body, sequence: PoseSequence) -> None:
        """Of these poses, which must be this body's.

        Raises:
            GaitError: they are another body's, or have more numbers of shape than it has.
        """
        self.faces: NDArray[np.int32] = body.faces.cpu().numpy().astype(np.int32)
        self._body = body
        self._sequence = sequence
        self._betas = torch.as_tensor(sequence.betas)[: body.num_betas].to(body.v_template)
        corner = self.faces.reshape(-1)
        self._corner = torch.from_numpy(corner.astype(np.int64))
        of_face = np.repeat(np.arange(len(self.faces)), 3)
        ones = np.ones(len(corner), dtype=np.float32)
        self._face_sum = scipy.sparse.csr_matrix((ones, (corner, of_face)), shape=(body.num_vertices, len(self.faces)))
        body.local_rotations(torch.as_tensor(sequence.poses[:1]).to(body.v_template))  # refuses another body's poses

    def skins(self, first: int, end: int) -> list[Skin]:
        """The skins of the frames ``first`` to ``end`` - 1."""
        like = self._body.v_template
        with torch.inference_mode():
            poses, places = (
                torch.as_tensor(rows[first:end]).to(like)
                for rows in (self._sequence.poses, self._sequence.translation_m)
            )
            vertices = self._body(poses, self._betas, places).vertices
            normals = self._normals(vertices)
        return [Skin(v, n) for v, n in zip(vertices.cpu().numpy(), normals, strict=True)]

    def _normals(self, vertices: torch.Tensor) -> NDArray[np.float32]:
        """As ``vertex_normals``, of a batch (B, V, 3)."""
        B, V, _ = vertices.shape
        corners = vertices.cpu().transpose(0, 1).reshape(V, B * 3)[self._corner].reshape(-1, 3, B, 3)
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = (self._face_sum @ normals.reshape(len(normals), B * 3).numpy()).reshape(V, B, 3).transpose(1, 0, 2)
        lengths = np.linalg.norm(sums, axis=2, keepdims=True)
        return np.ascontiguousarray(sums / np.maximum(lengths, 1e-20), dtype=np.float32)


class MeshCache:
    """All skins of a recording, whose batches around ``at`` are kept ready. Close it when it is no longer shown."""

    def __init__(self, maker: MeshBuilder, frames: int, memory: int = MEMORY) -> None:
        self.maker = maker
        self.frames = frames
        bytes_a_frame = 24 * int(maker.faces.max() + 1)
        self._most = max(2, memory // (bytes_a_frame * BATCH))  # batches
        self._batches: dict[int, list[Skin]] = {}
        self._place = 0  # the batch that is looked at
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._make_ahead, name="skins", daemon=True)
        self._thread.start()

    def at(self, frame: int) -> Skin:
        """The skin of one frame; what follows it is made meanwhile."""
        number, within = divmod(frame, BATCH)
        with self._changed:
            self._place = number
            self._changed.notify()
            batch = self._batches.get(number)
        return batch[within] if batch else self.maker.skins(frame, frame + 1)[0]

    @property
    def ready(self) -> int:
        """How many frames are there already."""
        with self._changed:
            return sum(len(batch) for batch in self._batches.values())

    def close(self) -> None:
        """End the thread and give the memory back."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._batches.clear()

    def _make_ahead(self) -> None:
        torch.set_num_threads(1)  # of this thread's own work: the window needs the other core
        while True:
            with self._changed:
                while not self._closed and self._next() is None:
                    self._changed.wait()
                number = self._next()
                if self._closed or number is None:
                    return
            batch = self.maker.skins(number * BATCH, min((number + 1) * BATCH, self.frames))
            with self._changed:
                self._batches[number] = batch
                wanted = set(self._wanted())
                for kept in [kept for kept in self._batches if kept not in wanted]:
                    del self._batches[kept]

    def _wanted(self) -> Iterator[int]:
        """The batches to keep, the most urgent first: one behind, all others ahead, and round to the beginning."""
        count = -(-self.frames // BATCH)
        for k in range(min(self._most, count)):
            step = -1 if k == self._most - 1 and self._most < count else k
            yield (self._place + step) % count

    def _next(self) -> int | None:
        return next((number for number in self._wanted() if number not in self._batches), None)
