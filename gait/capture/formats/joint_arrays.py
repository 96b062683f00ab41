"""Read arrays of the 22 body joints of SMPL: ``.npy`` files of HumanML3D, and ``.npz`` archives with ``joints``.

HumanML3D (Guo et al. 2022, Generating Diverse and Natural 3D Human Motions from Text, CVPR) stores (T, 22, 3) in metres
at 20 frames per second. The joints are read as joint centres, to which the fit adapts a body as to markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.capture.file_format import FileFormat
from gait.capture.raw_recording import RawRecording, mask_missing
from gait.errors import GaitError

JOINT_CENTRES = (
    "PELVISC", "LHIPC", "RHIPC", "SPINE1C", "LKNEEC", "RKNEEC", "SPINE2C", "LANKLEC", "RANKLEC", "SPINE3C", "LFOOTC",
    "RFOOTC", "NECKC", "LCOLLARC", "RCOLLARC", "HEADC", "LSHOULDERC", "RSHOULDERC", "LELBOWC", "RELBOWC", "LWRISTC",
    "RWRISTC",
)  # fmt: skip
"""Names in ``gait/marker_sets/joint_centres.toml`` of SMPL's joints, in their order."""

_HUMANML3D_RATE_HZ = 20.0
_RATE_KEYS = ("mocap_frame_rate", "mocap_framerate", "fps", "rate_hz")


def read_joint_array(path: Path) -> RawRecording:
    """Read the first 22 joints of each frame; further joints (hands) are not used.

    Raises:
        GaitError: the file is missing or damaged, or its array has another shape; an archive has no rate.
    """
    from gait.files.safe_pickle import read_array, read_array_dict  # imports scipy

    notes: tuple[str, ...] = ()
    if path.suffix.lower() == ".npy":
        joints, rate_hz = read_array(path), _HUMANML3D_RATE_HZ
        notes = (f"The file has no frame rate; {rate_hz:g} Hz is assumed, that of HumanML3D.",)
    else:
        content = read_array_dict(path)
        rate = next((np.asarray(content[key]) for key in _RATE_KEYS if key in content), None)
        if "joints" not in content or rate is None or rate.size != 1 or rate.dtype.kind not in "iuf":
            needed = f"(T, 22, 3) in 'joints' and one number in {_RATE_KEYS[0]!r}, or AMASS's 'poses' and 'trans'"
            raise GaitError(f"{path}: has {', '.join(sorted(content)) or 'nothing'}; {needed} are needed.")
        joints, rate_hz = content["joints"], float(rate.reshape(()))
    positions = _positions(path, joints)
    return RawRecording(
        path=path,
        labels=JOINT_CENTRES,
        positions=mask_missing(positions),
        rate_hz=rate_hz,
        first_frame=1,
        unit="m",
        notes=notes,
    )


def _positions(path: Path, joints: Any) -> NDArray[np.float64]:
    array = np.asarray(joints)
    if array.ndim != 3 or array.shape[1] < len(JOINT_CENTRES) or array.shape[2] != 3 or array.dtype.kind not in "iuf":
        found = f"an array of {array.dtype} of the shape {array.shape}"
        raise GaitError(f"{path}: has {found}; joint positions (frames, {len(JOINT_CENTRES)}, 3) are needed.")
    return array[:, : len(JOINT_CENTRES)].astype(np.float64)


FORMAT = FileFormat("joint_arrays", "joint arrays", (".npy", ".npz"), read_joint_array)
