"""Options of an explanation: which methods run, and which of them get the rule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gait.cli.arguments import ArgumentError, parse, parser_of
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions, NetworkSource
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.networks import NETWORKS
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.registry import module_names
from tests.helpers.explanation_cases import SMALL_MLP, WINDOW

NETWORK = TrainedNetwork(SMALL_MLP.build().eval(), WINDOW, mean_window=torch.zeros(WINDOW, 22, 3))


def parsed(*words: str) -> ExplainOptions:
    return parse(ExplainOptions, "command", list(words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), [("integrated_gradients", None)]),
        (("--method", "occlusion"), [("occlusion", None)]),
        (("--lrp_rule", "epsilon"), [("lrp", "epsilon")]),
        (("--lrp_rule", "published"), [("lrp", "original")]),
        (
            ("--all_methods", "--lrp_rule", "original"),
            [("integrated_gradients", None), ("lrp", "original"), ("gradient_input", None), ("occlusion", None)],
        ),
    ],
)
def test_each_method_gets_the_rule_only_if_it_has_rules(
    words: tuple[str, ...], expected: list[tuple[str, str | None]]
) -> None:
    found = parsed(*words, "--explain_stride", "7").each_method(NETWORK)
    assert [(one.method, one.rule) for one in found] == expected
    assert {one.stride for one in found} == {7}


def test_modules_are_named_for_their_methods_and_networks() -> None:
    assert set(module_names("gait.explaining.methods")) == set(METHODS)
    assert list(module_names("gait.learning.networks")) == list(NETWORKS)


def test_an_unknown_rule_is_one_line_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed("--lrp_rule", "gamma")
    line = capsys.readouterr().err
    assert "no such rule: gamma; choose one of" in line
    assert line.count("\n") == 1


def test_explain_options_rejects_contradictions() -> None:
    for contradiction in ({"method": "occlusion", "rule": "epsilon"}, {"method": "lrp", "all_methods": True}):
        with pytest.raises(ArgumentError):
            ExplainOptions(**contradiction)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="--body and --pose_rate"):
        ExplainOptions(body_file=Path("body.npz"))


def test_network_source_names_heads_like_the_training() -> None:
    training, source = parser_of(TransformerArchitecture, "training"), parser_of(NetworkSource, "viewer")
    spellings = [
        {action.dest: action.option_strings for action in parser._actions if action.dest.endswith("_heads")}
        for parser in (training, source)
    ]
    assert spellings[0] == spellings[1]
    assert set(spellings[0]) == {"pose_heads", "classifier_heads"}


def test_help_of_a_switch_shows_no_default() -> None:
    (help,) = [each.help for each in parser_of(MLPArchitecture, "training")._actions if each.dest == "kind"]
    assert help is not None
    assert "default" not in help


def test_network_source_names_the_missing_file() -> None:
    with pytest.raises(ArgumentError, match="name a --network"):
        NetworkSource().load()
