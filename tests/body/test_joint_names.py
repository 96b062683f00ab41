"""Names and order of the body joints as a reader meets them."""

from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, Joint, mirrored, plain_name


def test_every_body_joint_stands_once_between_head_and_feet_left_before_right() -> None:
    assert sorted(HEAD_TO_FEET) == list(BODY_JOINTS)
    for joint in HEAD_TO_FEET:
        if joint.name.startswith("LEFT_"):
            assert HEAD_TO_FEET.index(mirrored(joint)) == HEAD_TO_FEET.index(joint) + 1


def test_plain_names_are_words_that_differ_and_tell_the_side() -> None:
    names = {joint: plain_name(joint) for joint in BODY_JOINTS}
    assert len(set(names.values())) == len(BODY_JOINTS)
    assert all(name.replace(" ", "").isalpha() for name in names.values())
    assert names[Joint.LEFT_KNEE] == "left knee"
    for joint, name in names.items():
        assert name.replace("left", "right") == names[mirrored(joint)] or not joint.name.startswith("LEFT_")
