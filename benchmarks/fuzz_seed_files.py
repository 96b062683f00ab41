"""Small honest files of every kind that the suite reads, and what a right read of one is, by a slow and obvious way."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ezc3d
import fuzz_mutators as mutators
import numpy as np
import torch

from gait.body.body import Body
from gait.body.constraints_file import read_constraints
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.vposer import load_vposer
from gait.capture import read_cohort, read_recording
from gait.capture.marker_names import CANONICAL_MARKERS
from gait.capture.sandboxed_reader import read_points
from gait.files.safe_pickle import read_array_dict
from gait.motion.pose_files import read_poses, write_npz

SECRET = "Alonso Quijano 1605"  # a SUBJECTS:NAMES, which nothing may print
_LARGEST_SEED = 200_000  # bytes of a real file that takes part
_RATE_HZ = 100.0


@dataclass(frozen=True)
class Kind:
    """Files of one kind, and how they are read and judged."""

    name: str
    file: str  # name of the file, within a folder of its own
    seeds: tuple[bytes, ...]
    mutators: tuple[mutators.Mutator, ...]
    read: Callable[[Path], Any]
    wrong: Callable[[Path, bytes, Any], str]  # of the path, the file's bytes and what was read: "" if it is right
    share: int  # of a hundred files


def kinds(body: Body, body_file: Path, captures: Path | None) -> tuple[Kind, ...]:
    """All kinds; a kind's seeds are the same in every run."""
    recordings = tuple(mutators.ANY)
    c3d = [c3d_file(), c3d_file(scale=0.05), *_real(captures, ".c3d")]
    sequence = poses(body)
    model = small_model(np.random.default_rng(3))
    archive, pickled, python2, checkpoint = io.BytesIO(), io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez_compressed(archive, **model)
    np.save(pickled, np.array(model, dtype=object), allow_pickle=True)
    pickle.dump(model, python2, protocol=2)
    torch.save({"state_dict": vposer_state(), "epoch": 3, "hyper": {"a": [1.0]}}, checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        written = write_npz(Path(folder), sequence).read_bytes()
    frame = {"betas": [[0.1] * 50], "pose": [[0.01] * body.num_pose], "translation": [[0.0, 1.0, 0.0]]}
    words = " ".join(["0.01"] * (body.num_pose + 3 + 50)).encode()
    cohort, layout = _json(cohort_file()), _json(constraints_file(body))
    text = (*recordings, *mutators.TEXT, *mutators.TEXT)
    values = (*recordings, *mutators.JSON, *mutators.JSON)
    zipped = (*recordings, *mutators.ZIP, *mutators.ZIP)
    coded = (*recordings, *mutators.NPY, *mutators.NPY)

    def read_frames(path: Path) -> PoseSequence:
        return read_poses(path.parent, body=body, rate_hz=_RATE_HZ)

    return (
        Kind("C3D", "walk.c3d", tuple(c3d), (*recordings, *mutators.C3D, *mutators.C3D), read_both, wrong_c3d, 32),
        Kind("TRC", "walk.trc", (trc_file(), *_real(captures, ".trc")), text, read_both, wrong_trc, 12),
        Kind("marker JSON", "walk.json", (_json(marker_file()),), values, read_both, wrong_marker_json, 12),
        Kind("poses.npz", "poses.npz", (written,), zipped, lambda path: read_poses(path.parent), wrong_poses, 8),
        Kind(
            "pose JSON",
            "pose_00000.json",
            (_json(frame),),
            values,
            read_frames,
            finite_poses,
            3,
        ),
        Kind("pose text", "pose.txt", (words,), text, read_frames, finite_poses, 3),
        Kind("body .npz", "body.npz", (archive.getvalue(),), zipped, read_model, wrong_arrays, 7),
        Kind(
            "body .npy", "body.npy", (pickled.getvalue(), python2.getvalue()), coded, read_model, wrong_pickle(model), 9
        ),
        Kind(
            "checkpoint",
            "snapshots/x.ckpt",
            (checkpoint.getvalue(),),
            zipped,
            lambda p: load_vposer(p.parents[1]),
            wrong_tensors,
            4,
        ),
        Kind("cohort", "cohort.json", (cohort,), values, read_cohort, wrong_cohort, 5),
        Kind(
            "constraints", "layout.json", (layout,), values, lambda path: read_constraints(path, body), wrong_layout, 5
        ),
    )


def _real(captures: Path | None, suffix: str) -> list[bytes]:
    files = sorted((captures / "formats").glob(f"*{suffix}")) if captures is not None else []
    return [file.read_bytes() for file in files if file.stat().st_size <= _LARGEST_SEED]


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


# ------------------------------------------------------------------------------------------ recordings


def positions_m(frames: int = 12) -> np.ndarray:
    """(T, M, 3) places of all known markers, with gaps."""
    rng = np.random.default_rng(1)
    places = rng.uniform(0.1, 1.8, (1, len(CANONICAL_MARKERS), 3)) + np.cumsum(
        rng.normal(0, 0.01, (frames, 1, 3)), axis=0
    )
    places[3:6, 2] = np.nan
    return places


def c3d_file(scale: float = -1.0) -> bytes:
    """Points of one subject with analog channels and events; integers where the scale is positive."""
    places = 1000 * positions_m()
    seen = np.isfinite(places[..., 0])
    file = ezc3d.c3d()
    point, analog = file["parameters"]["POINT"], file["parameters"]["ANALOG"]
    point["UNITS"]["value"], point["RATE"]["value"] = ["mm"], [_RATE_HZ]
    point["LABELS"]["value"] = [f"Subject:{name}" for name in CANONICAL_MARKERS]
    analog["LABELS"]["value"], analog["RATE"]["value"] = ["Fz1", "Fz2"], [2 * _RATE_HZ]
    for group, name, value in (
        ("SUBJECTS", "NAMES", [SECRET]),
        ("POINT", "ANGLES", ["LHipAngles", "RHipAngles"]),
        ("EVENT", "USED", [2]),
        ("EVENT", "CONTEXTS", ["Left", "Right"]),
        ("EVENT", "LABELS", ["Foot Strike", "Foot Off"]),
        ("EVENT", "TIMES", np.array([[0.0, 0.0], [0.02, 0.05]])),
    ):
        file.add_parameter(group, name, value)
    T, M = seen.shape
    file["data"]["points"] = np.concatenate([np.nan_to_num(places).transpose(2, 1, 0), np.ones((1, M, T))])
    file["data"]["meta_points"] = {
        "residuals": np.where(seen, 0.0, -1.0).T[None],
        "camera_masks": np.zeros((7, M, T), dtype=bool),
    }
    file["data"]["analogs"] = np.zeros((1, 2, 2 * T))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "walk.c3d"
        file.write(str(path))
        data = path.read_bytes()
    return data if scale < 0 else _as_integers(data, scale, T, M)


def _as_integers(data: bytes, scale: float, frames: int, points: int) -> bytes:
    """The same file with samples as scaled 2-byte integers, which ezc3d does not write."""
    start = (struct.unpack_from("<H", data, 16)[0] - 1) * 512
    rows = np.frombuffer(data, "<f4", offset=start, count=frames * (4 * points + 4)).reshape(frames, -1)
    xyzr = rows[:, : 4 * points].reshape(frames, points, 4)
    words = np.rint(xyzr / scale).astype("<i2")
    words[..., 3] = np.where(np.signbit(xyzr[..., 3]), -1, 0)
    head = bytearray(data[:start])
    struct.pack_into("<f", head, 12, scale)
    at = next(r for r in mutators.c3d_records(data) if data[r + 2 : r + 7] == b"SCALE" and data[r + 1] == 1)
    struct.pack_into("<f", head, at + 11, scale)
    return bytes(head) + np.concatenate([words.reshape(frames, -1), np.zeros((frames, 4), "<i2")], axis=1).tobytes()


def trc_file() -> bytes:
    places = 1000 * positions_m()
    T, M = places.shape[:2]
    keys = "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames"
    axes = "\t".join(f"{axis}{m + 1}" for m in range(M) for axis in "XYZ")
    lines = ["PathFileType\t4\t(X/Y/Z)\twalk.trc", keys, f"100\t100\t{T}\t{M}\tmm\t100\t1\t{T}"]
    lines += ["Frame#\tTime\t" + "\t\t\t".join(CANONICAL_MARKERS) + "\t\t", "\t\t" + axes, ""]
    for t, row in enumerate(places):
        numbers = ["" if np.isnan(x) else f"{x:.4f}" for x in row.ravel()]
        lines.append("\t".join([str(t + 1), f"{t / _RATE_HZ:.5f}", *numbers]))
    return ("\n".join(lines) + "\n").encode()


def marker_file() -> dict[str, Any]:
    places = np.round(positions_m(), 4)
    frames = {
        str(t): {
            name: place.tolist() for name, place in zip(CANONICAL_MARKERS, row, strict=True) if place[0] == place[0]
        }
        for t, row in enumerate(places)
    }
    return {"Frames": frames, "framerate": 100, "nFrames": len(places), "nPoints": len(CANONICAL_MARKERS)}


def read_both(path: Path) -> Any:
    """The file's own points, and the recording that they become."""
    return read_points(path), read_recording(path)


def wrong_recording(raw: Any, recording: Any) -> str:
    """What cannot be of a recording that was read."""
    T, P = raw.positions.shape[:2]
    seen = np.isfinite(recording.positions_m).all(axis=2)
    rules = {
        "labels are doubled": len(set(recording.labels)) == len(recording.labels),
        "shapes differ": recording.positions_m.shape == (T, len(recording.labels), 3) and len(raw.labels) == P,
        "visible disagrees with the positions": bool((seen == recording.visible).all()),
        "a place is half seen": bool((np.isnan(recording.positions_m).any(axis=2) == ~seen).all()),
        "nothing is seen": bool(seen.any(axis=0).all()),
        "the rate is none of a camera": 1 <= recording.rate_hz <= 10_000,
        "a name cannot be printed": all(
            name.isprintable() for name in (*recording.labels, *recording.notes, *recording.unused_labels)
        ),
        "an event has no time": all(np.isfinite(event.time_s) for event in recording.events),
        "outputs differ in length": all(len(course) == T for course in recording.model_outputs.values()),
    }
    return "; ".join(rule for rule, holds in rules.items() if not holds)


def same_places(found: np.ndarray, told: np.ndarray) -> bool:
    """Whether positions are those told, where these count as seen; empty frames at the end may lack."""
    with np.errstate(invalid="ignore"):
        unseen = ~np.isfinite(told).all(axis=2) | (told == 0).all(axis=2) | (np.abs(told) >= 1e7).any(axis=2)
    told = np.where(unseen[..., None], np.nan, told)
    T = len(found)
    if found.shape[1:] != told.shape[1:] or len(told) < T or not np.isnan(told[T:]).all():
        return False
    return np.allclose(found, told[:T], rtol=1e-6, atol=0.0, equal_nan=True)


def wrong_c3d(_path: Path, data: bytes, read: Any) -> str:
    raw, recording = read
    points, _, first, last = struct.unpack_from("<4H", data, 2)
    (block, analog_words), dec = (
        (struct.unpack_from("<H", data, 16)[0], struct.unpack_from("<H", data, 4)[0]),
        data[(data[0] - 1) * 512 + 3] == 85,
    )
    parameters = c3d_parameters(data, dec)
    scale, rate_hz = parameters.get("SCALE", -1.0), parameters.get("RATE", 0.0)
    T = last - first + 1
    words, start = 4 * points + analog_words, (block - 1) * 512
    if scale < 0:
        rows = (
            np.frombuffer(data, "<u4", count=T * words, offset=start)
            .reshape(T, words)[:, : 4 * points]
            .reshape(T, points, 4)
        )
        if dec:
            rows = (rows >> 16) | (rows << 16)
        with np.errstate(invalid="ignore"):
            values = rows[..., :3].copy().view("<f4").astype(float) / (4 if dec else 1)
            missing = rows[..., 3].copy().view("<f4") < 0
    else:
        rows = (
            np.frombuffer(data, "<i2", count=T * words, offset=start)
            .reshape(T, words)[:, : 4 * points]
            .reshape(T, points, 4)
        )
        values, missing = rows[..., :3] * float(scale), rows[..., 3] < 0
    told = np.where(missing[..., None], np.nan, values)
    if not same_places(raw.positions, told):
        return "other positions than in the file"
    if rate_hz and abs(raw.rate_hz - rate_hz) > 1e-6 * rate_hz:
        return f"a rate of {raw.rate_hz:g}, the file says {rate_hz:g}"
    if raw.first_frame != max(first, 1):
        return f"begins with frame {raw.first_frame}, the file says {first}"
    return wrong_recording(raw, recording)


def c3d_parameters(data: bytes, dec: bool) -> dict[str, float]:
    """First numbers of POINT's parameters."""
    names: dict[int, str] = {}
    found: list[tuple[int, str, float]] = []
    for at in mutators.c3d_records(data):
        length, group = struct.unpack_from("bb", data, at)
        name = data[at + 2 : at + 2 + abs(length)].split(b"\0")[0].decode("latin-1")
        if group < 0:
            names[-group] = name
            continue
        kind, dimensions = struct.unpack_from("bB", data, at + 4 + abs(length))
        value_at = at + 6 + abs(length) + dimensions
        if kind == 2:
            found.append((group, name, struct.unpack_from("<H", data, value_at)[0]))
        elif kind == 4:
            raw = data[value_at : value_at + 4]
            raw = raw[2:] + raw[:2] if dec else raw
            found.append((group, name, struct.unpack("<f", raw)[0] / (4 if dec else 1)))
    return {name: value for group, name, value in found if names.get(group) == "POINT"}


def wrong_trc(_path: Path, data: bytes, read: Any) -> str:
    raw, recording = read
    lines = data.decode("utf-8-sig" if _is_utf8(data) else "latin-1").splitlines()
    head = next(k for k, line in enumerate(lines) if line.lower().startswith("frame#"))
    width, rows = 3 * len(raw.labels), []
    for line in filter(str.strip, lines[head + 1 :]):
        fields = [field.strip().replace(",", ".") for field in (line.split("\t") if "\t" in line else line.split())]
        try:
            row = [float(field) if field else np.nan for field in fields][2:]
        except ValueError:  # X1 Y1 Z1 ...
            continue
        rows.append(row[:width] + [np.nan] * (width - len(row)))
    if not same_places(raw.positions, np.array(rows).reshape(len(rows), -1, 3)):
        return "other positions than in the file"
    return wrong_recording(raw, recording)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def wrong_marker_json(_path: Path, data: bytes, read: Any) -> str:
    raw, recording = read
    frames = json.loads(data.decode("utf-8-sig"))["Frames"]
    first = min(map(int, frames))
    told = np.full(raw.positions.shape, np.nan)
    for key, frame in frames.items():
        for name, place in frame.items():
            if place is not None:
                numbers = [np.nan if x is None or abs(x) > 1e300 else float(x) for x in place]
                told[int(key) - first, raw.labels.index(name)] = numbers
    if raw.positions.shape[0] != max(map(int, frames)) - first + 1 or not same_places(raw.positions, told):
        return "other positions than in the file"
    return wrong_recording(raw, recording)


# ------------------------------------------------------------------------------------------ bodies and poses


def poses(body: Body) -> PoseSequence:
    rng = np.random.default_rng(2)
    T = 5
    joints = rng.normal(0, 0.5, (T, 22, 3)).astype(np.float32)
    numbers = rng.normal(0, 0.2, (T, body.num_pose)).astype(np.float32)
    return PoseSequence(numbers, np.zeros(10, np.float32), joints[:, 0], joints, _RATE_HZ, body.name, body.sha256)


def finite_poses(_path: Path, _data: bytes, read: PoseSequence) -> str:
    arrays = (read.poses, read.betas, read.translation_m, read.joints_m)
    fine = all(np.isfinite(array).all() for array in arrays) and len(read.poses) == len(read.joints_m) > 0
    return "" if fine and np.isfinite(read.rate_hz) and read.rate_hz > 0 else "poses that are not finite"


def wrong_poses(path: Path, data: bytes, read: PoseSequence) -> str:
    with np.load(path, allow_pickle=False) as archive:
        same = (
            all(
                np.array_equal(archive[key].astype(np.float32), found)
                for key, found in (("poses", read.poses), ("trans", read.translation_m), ("joints", read.joints_m))
            )
            and float(archive["mocap_frame_rate"]) == read.rate_hz
        )
    return finite_poses(path, data, read) if same else "other poses than in the file"


def small_model(rng: np.random.Generator) -> dict[str, Any]:
    """A body of 30 vertices and 5 joints in SUPR's layout."""
    V, J, B = 30, 5, 6
    regressor = np.zeros((3 * J, 3 * V + 1))
    for c in range(3):
        regressor[c::3, c:-1:3] = rng.dirichlet(np.ones(V), J)
    return {
        "v_template": rng.normal(0, 0.5, (V, 3)),
        "shapedirs": rng.normal(0, 0.02, (V, 3, B)),
        "posedirs": rng.normal(0, 0.02, (V, 3, 4 * J)),
        "J_regressor": regressor,
        "weights": rng.dirichlet(np.ones(J), V),
        "kintree_table": np.array([[2**32 - 1, 0, 0, 1, 2], range(J)], dtype=np.uint32),
        "f": np.array([rng.choice(V, 3, replace=False) for _ in range(40)], dtype=np.uint32),
    }


def read_model(path: Path) -> Any:
    return read_array_dict(path), load_body(path)


def wrong_body(body: Body) -> str:
    tensors = (body.v_template, body.shapedirs, body.weights, body.joint_template)
    fine = all(bool(tensor.isfinite().all()) for tensor in tensors)
    fine &= bool((body.faces >= 0).all()) and bool((body.faces < len(body.v_template)).all())
    fine &= len(body.parents) == body.weights.shape[1] and list(body.parents).count(-1) == 1
    return "" if fine else "a body that cannot be"


def wrong_arrays(path: Path, _data: bytes, read: Any) -> str:
    arrays, body = read
    with np.load(path, allow_pickle=False) as archive:
        plain = {key: archive[key] for key in archive.files}
    same = plain.keys() == arrays.keys() and all(
        np.array_equal(plain[key], arrays[key], equal_nan=plain[key].dtype.kind in "fc") for key in plain
    )
    return wrong_body(body) if same else "other arrays than in the file"


def wrong_pickle(model: dict[str, Any]) -> Callable[[Path, bytes, Any], str]:
    """Judges a pickle without loading it: where only arrays' bytes differ from the honest file, these must be read."""
    stream = io.BytesIO()
    np.save(stream, np.array(model, dtype=object), allow_pickle=True)
    whole = stream.getvalue()
    places = {key: whole.index(value.tobytes()) for key, value in model.items()}

    def wrong(_path: Path, data: bytes, read: Any) -> str:
        arrays, body = read
        if len(data) == len(whole):
            differs = np.frombuffer(data, np.uint8) != np.frombuffer(whole, np.uint8)
            for key, at in places.items():
                differs[at : at + model[key].nbytes] = False
            for key, at in places.items() if not differs.any() else ():
                told = np.frombuffer(data, model[key].dtype, count=model[key].size, offset=at)
                if not np.array_equal(arrays[key].ravel(), told, equal_nan=True):
                    return "other arrays than in the file"
        return wrong_body(body)

    return wrong


def vposer_state() -> dict[str, torch.Tensor]:
    """The weights of a VPoser of 8 neurons and 4 numbers of code."""
    torch.manual_seed(4)
    hidden, latent, pose = 8, 4, 63
    sizes = {"decoder_net.0": (hidden, latent), "decoder_net.3": (hidden, hidden), "decoder_net.5": (126, hidden)}
    sizes |= {"encoder_net.2": (hidden, pose), "encoder_net.6": (hidden, hidden), "encoder_net.7": (hidden, hidden)}
    sizes |= {"encoder_net.8.mu": (latent, hidden), "encoder_net.8.logvar": (latent, hidden)}
    state = {f"vp_model.{layer}.weight": torch.randn(size) for layer, size in sizes.items()}
    state |= {f"vp_model.{layer}.bias": torch.randn(size[0]) for layer, size in sizes.items()}
    for layer, size in (("encoder_net.1", pose), ("encoder_net.4", hidden)):
        for key in ("weight", "bias", "running_mean", "running_var"):
            state[f"vp_model.{layer}.{key}"] = torch.rand(size) + 0.5
    return state


def wrong_tensors(_path: Path, _data: bytes, read: Any) -> str:
    fine = all(bool(weight.isfinite().all()) for weight in read.weights.values())
    fine &= read.decode(torch.zeros(1, read.latent_size)).matrix.shape == (1, 21, 3, 3)
    return "" if fine else "weights that cannot be"


# ------------------------------------------------------------------------------------------ cohorts and layouts


def cohort_file() -> dict[str, Any]:
    return {
        "P01": {"gaits": ["P01/static.c3d", "P01/walk1.c3d"], "healthy": True},
        "P02": {
            "gaits": ["P02/walk1.c3d"],
            "healthy": False,
            "model_file": "supr_female.npy",
            "constrained_model": True,
        },
        "P03": {"gaits": ["P03/walk.trc"], "healthy": False, "constraint_file": "layout.json"},
    }


def wrong_cohort(_path: Path, data: bytes, read: Any) -> str:
    told = json.loads(data.decode("utf-8-sig"))
    same = [subject.name for subject in read] == sorted(told) and all(
        [str(Path(gait)) for gait in told[s.name]["gaits"]] == [str(gait) for gait in s.gaits]
        and told[s.name]["healthy"] is s.healthy
        and told[s.name].get("constrained_model", False) is s.constrained_model
        for s in read
    )
    return "" if same else "other subjects than in the file"


def constraints_file(body: Body) -> dict[str, Any]:
    layout = plug_in_gait_layout(body)
    markers = {
        label: {"faceId": int(face), "baryCoords": [float(b) for b in bary], "distanceToSkin": float(distance), "id": k}
        for k, (label, face, bary, distance) in enumerate(
            zip(layout.labels, layout.face, layout.bary, layout.distance_m, strict=True)
        )
    }
    return {
        "markers": {"type": "C3DMarker", "Markers": markers},
        "knees": {"type": "Angle", "joints": [12, 15], "lbounds": [-0.2, -0.2], "upbounds": [2.4, 2.4]},
        "size": {"type": "Beta", "betaSigma": 2.0},
    }


def wrong_layout(_path: Path, data: bytes, read: Any) -> str:
    told = json.loads(data.decode("utf-8-sig"))
    layouts = [
        value
        for value in told.values()
        if isinstance(value, dict) and value.get("type") in ("C3DMarker", "JSONMarker", "OsimMarker")
    ]
    same = len(layouts) == len(read.layouts)
    for entry, layout in zip(layouts, read.layouts, strict=False):
        markers = list(entry["Markers"].values())
        same &= [marker["faceId"] for marker in markers] == layout.face.tolist()
        same &= np.array_equal([marker["baryCoords"] for marker in markers], layout.bary)
        same &= [marker["distanceToSkin"] for marker in markers] == layout.distance_m.tolist()
    bounds = read.angle_bounds
    same &= bool(
        np.isfinite(bounds.lower).all() and np.isfinite(bounds.upper).all() and (bounds.lower <= bounds.upper).all()
    )
    return "" if same else "other constraints than in the file"
