"""Numbers about a set, and the report that shows them."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_set import attrs, episode

from demos import DemoSet, DemoWriter
from demos.viewing.report import curves, histogram, report
from demos.viewing.summary import summarise, timing


def test_the_summary_agrees_with_the_arrays(three):
    demos = DemoSet(three)
    told = summarise(demos)
    actions = np.concatenate([episode(i, n)["action"] for i, n in enumerate((11, 300, 5))]).astype(float)
    assert (told["episodes"], told["steps"], told["successes"], told["dropped_frames"]) == (3, 316, 3, 0)
    assert told["length"] == {"min": 5, "mean": 316 / 3, "max": 300} and told["seconds"] == 316 / 20
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(told["ranges"]["action"][name], getattr(actions, name)(0), rtol=1e-5)
    assert told["measured_hz"]["mean"] == pytest.approx(20)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=50), st.floats(5, 200))
def test_every_missing_frame_is_counted_once(gaps, hz):
    times = np.cumsum([0.0, *[(1 + gap) / hz for gap in gaps]])
    rate, dropped = timing(times, hz)
    assert dropped == sum(gaps) and rate == pytest.approx(hz * len(gaps) / (len(gaps) + sum(gaps)))


def test_one_step_has_no_rate():
    assert timing(np.zeros(1), 20) == (None, 0)


def test_the_report_holds_everything_itself_and_escapes_what_it_shows(tmp_path):
    with DemoWriter(tmp_path / "set", attrs(notes="<script>alert(1)</script>")) as writer:
        for i in range(3):
            writer.append(episode(i), {"seed": i})
    demos = DemoSet(tmp_path / "set")
    page = report(demos, summarise(demos), ["<b>broken</b>"], shown=2)
    assert page.count("data:image/png;base64,") == 2 and page.count("<svg") == 1 + 2
    assert "<script" not in page and "&lt;b&gt;broken" in page
    links = re.findall(r'(?:src|href)="([^"]{0,30})|url\(', page)
    assert links and all(link.startswith("data:") for link in links)


def test_the_report_names_components_and_tasks_where_the_set_does(tmp_path):
    with DemoWriter(tmp_path / "set", attrs(episode_tasks=["stack <it>"], proprio_names=["too", "few"])) as writer:
        writer.append(episode(0) | {"proprio": np.zeros((11, 3), np.float32)})
    demos = DemoSet(tmp_path / "set")
    page = report(demos, summarise(demos), [])
    assert "<td>x</td>" in page and "<title>y</title>" in page and ": stack &lt;it&gt;" in page
    assert "<td>proprio[2]</td>" in page and "too" not in page.split("<h2>Attributes")[0]


def test_a_set_without_episodes_has_a_report(tmp_path):
    DemoWriter(tmp_path / "set", attrs()).close()
    demos = DemoSet(tmp_path / "set")
    assert "No episodes" in report(demos, summarise(demos), [])


def test_plots_survive_constants_and_numbers_that_are_not_finite():
    assert "polyline" in curves(np.array([[np.nan], [1.0], [1.0]]), "x")
    assert "nan" not in curves(np.full((3, 1), np.nan), "x").lower().replace("finance", "")
    assert "<rect" in histogram(np.array([4, 4, 4]), "steps")
