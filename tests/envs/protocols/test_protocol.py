"""What protocols have in common."""

import hashlib

import pytest

from envs.protocols import PROTOCOLS

RECORDED = {
    "real_arm": "4adee73f8fd518d52dcd86f0cbd731fbcc216a2f7b1d55bfc44baf4e35c2ccea",
    "pixmc": "66acad61c09c1616f63b7ecd0d8827a5c76934b9f99d095fdce961df8fb9047c",
    "deployment": "5ba2f4b96c4fe24027540bce9b2c043082c658f866b97da2e45e95df36e2ec08",
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_recorded_words_of_a_protocol_never_change_so_that_older_sets_can_be_continued(name):
    assert hashlib.sha256(PROTOCOLS[name].meaning().encode()).hexdigest() == RECORDED[name]
