"""Explainable gait analysis: fit a statistical body to marker recordings, train gait classifiers, explain them.

The names below are imported when they are first used, so that ``import gait`` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gait.version import VERSION

if TYPE_CHECKING:
    from gait.body.model_file import load_body as load_body
    from gait.capture.read_recording import read_recording as read_recording
    from gait.capture.recording import Recording as Recording
    from gait.errors import GaitError as GaitError
    from gait.explaining.attribution_files import read_explanation as read_explanation
    from gait.explaining.explain_trial import explain_trial as explain_trial
    from gait.explaining.trained_network import load_network as load_network
    from gait.fitting.fit_recordings import fit_recordings as fit_recordings
    from gait.kinematics.event_sources import choose_events as choose_events
    from gait.kinematics.gait_events import detect_gait_events as detect_gait_events
    from gait.kinematics.joint_angles import compute_joint_angles as compute_joint_angles
    from gait.kinematics.trial_analysis import analyse_trial as analyse_trial
    from gait.motion.pose_files import read_poses as read_poses
    from gait.motion.read_dataset import read_dataset as read_dataset
    from gait.motion.subject_trials import analyse_subject_folder as analyse_subject_folder
    from gait.motion.windows import WindowDataset as WindowDataset
    from gait.report.walk_page.notebook import show as show

__version__ = VERSION

_MODULES = {
    "GaitError": "gait.errors",
    "Recording": "gait.capture.recording",
    "WindowDataset": "gait.motion.windows",
    "analyse_subject_folder": "gait.motion.subject_trials",
    "analyse_trial": "gait.kinematics.trial_analysis",
    "choose_events": "gait.kinematics.event_sources",
    "compute_joint_angles": "gait.kinematics.joint_angles",
    "detect_gait_events": "gait.kinematics.gait_events",
    "explain_trial": "gait.explaining.explain_trial",
    "fit_recordings": "gait.fitting.fit_recordings",
    "load_body": "gait.body.model_file",
    "load_network": "gait.explaining.trained_network",
    "read_dataset": "gait.motion.read_dataset",
    "read_explanation": "gait.explaining.attribution_files",
    "read_poses": "gait.motion.pose_files",
    "read_recording": "gait.capture.read_recording",
    "show": "gait.report.walk_page.notebook",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gait' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
