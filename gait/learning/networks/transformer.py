"""The entry of the two-level transformer: its flags, sizes and defaults. The network itself is in ``transformer``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from torch import Tensor

from gait.cli.arguments import argument, whole_number
from gait.errors import GaitError
from gait.learning.initialization import initialize_transformer
from gait.learning.network import RECOMMENDED, Architecture, Network
from gait.learning.transformer import MAX_TOKENS, GaitTransformer


def _size(default: int, help: str, flag: str, *aliases: str) -> Any:
    return argument(default, help, flag=flag, aliases=aliases, type=whole_number, metavar="N")


@dataclass(frozen=True)
class TransformerArchitecture(Architecture):
    """The sizes of a ``GaitTransformer``.

    Raises:
        GaitError: the heads do not divide the dimensions, or a size is out of range; the message names the flags.
    """

    kind: ClassVar[str] = "transformer"
    pose_dim: int = _size(128, "size of a frame's vector", "--pfe_dim", "--frame_dim")
    classifier_dim: int = _size(128, "size of a window's vector", "--fc_dim", "--window_dim")
    pose_heads: int = _size(2, "attention heads over joints", "--pfe_head", "--joint_heads")
    classifier_heads: int = _size(2, "attention heads over frames", "--fc_head", "--frame_heads")
    ffn_dim: int = _size(2048, "width of the feed-forward layers", "--ffn_dim")
    dropout: float = 0.1  # probability
    frame_subsampling: int = _size(
        1,
        "in training, use one random frame out of every N consecutive frames of a window, drawn again each time",
        "--one_frame_in",
        "--frame_subsampling",
    )

    def __post_init__(self) -> None:
        for dim, heads, flags in (
            (self.pose_dim, self.pose_heads, ("--pfe_dim", "--pfe_head")),
            (self.classifier_dim, self.classifier_heads, ("--fc_dim", "--fc_head")),
        ):
            if dim < 2 or dim % 2:
                raise GaitError(f"{flags[0]} {dim}: must be an even number, 2 or more, for the positional encoding.")
            if heads < 1 or dim % heads:
                divisors = ", ".join(str(n) for n in range(1, dim + 1) if dim % n == 0)
                raise GaitError(f"{flags[1]} {heads} does not divide {flags[0]} {dim}; these do: {divisors}.")
        if self.ffn_dim < 1:
            raise GaitError(f"--ffn_dim {self.ffn_dim}: must be 1 or more.")
        if not 0 <= self.dropout < 1:
            raise GaitError(f"dropout {self.dropout}: must be at least 0 and less than 1.")
        if self.frame_subsampling < 1:
            raise GaitError(f"--one_frame_in {self.frame_subsampling}: must be 1 or more.")

    def build(self) -> GaitTransformer:
        """Return a network with random weights, drawn from torch's global generator."""
        return GaitTransformer(**asdict(self))

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], sizes: Mapping[str, Any]) -> Self | None:
        """Return the architecture of a state dict; the numbers of heads must be in ``sizes``."""
        if "feature_extractor.input_embedding.weight" not in weights:
            return None
        pose_heads, classifier_heads = (
            sizes.get(name) or sizes.get(f"{level}.transformer_encoder.layers.0.self_attn.num_heads")
            for name, level in (("pose_heads", "feature_extractor"), ("classifier_heads", "feature_merger"))
        )
        if pose_heads is None or classifier_heads is None:
            raise GaitError(
                "weights of a transformer do not contain its numbers of heads: give --pfe_head and --fc_head."
            )
        try:
            pose_dim, _ = weights["feature_extractor.input_embedding.weight"].shape
            classifier_dim, _ = weights["feature_merger.input_embedding.weight"].shape
            ffn_dim, _ = weights["feature_extractor.transformer_encoder.layers.0.linear1.weight"].shape
        except (KeyError, ValueError) as error:
            raise GaitError(f"weights of a transformer, but incomplete or of wrong shapes ({error}).") from None
        return cls(pose_dim, classifier_dim, pose_heads, classifier_heads, ffn_dim)


NETWORK = Network(
    name="transformer",
    title="transformer",
    description="The transformer relates joints to each other and frames to each other (attention).",
    architecture=TransformerArchitecture,
    modules=(GaitTransformer,),
    defaults={"batch_size": 8, "window_length": 64, "epochs": 1, "learning_rate": 1e-4, "frame_subsampling": 4},
    recommended={
        **RECOMMENDED,
        "specificity": 0.92,
        "epochs": 30,
        "learning_rate": 0.002,
        "frame_subsampling": 8,
        "pose_dim": 64,
        "classifier_dim": 64,
        "pose_heads": 16,
        "classifier_heads": 8,
        "ffn_dim": 128,
    },
    initialize=initialize_transformer,
    relevance_rules={
        "attnlrp": "gait.explaining.lrp_transformer:attnlrp",
        "cp": "gait.explaining.lrp_transformer:cp_lrp",
    },
    max_window_length=MAX_TOKENS - 1,
    order=0,
)
