"""Display names and display order of the body joints."""

from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, Joint, contralateral_joint, display_name


def test_head_to_feet_has_every_body_joint_once_left_before_right() -> None:
    assert sorted(HEAD_TO_FEET) == list(BODY_JOINTS)
    for joint in HEAD_TO_FEET:
        if joint.name.startswith("LEFT_"):
            assert HEAD_TO_FEET.index(contralateral_joint(joint)) == HEAD_TO_FEET.index(joint) + 1


def test_display_name_is_unique_and_names_the_side() -> None:
    names = {joint: display_name(joint) for joint in BODY_JOINTS}
    assert len(set(names.values())) == len(BODY_JOINTS)
    assert all(name.replace(" ", "").isalpha() for name in names.values())
    assert names[Joint.LEFT_KNEE] == "left knee"
    for joint, name in names.items():
        assert name.replace("left", "right") == names[contralateral_joint(joint)] or not joint.name.startswith("LEFT_")
