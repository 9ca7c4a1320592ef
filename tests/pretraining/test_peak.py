import torch

from toto_robot.pretraining import peak
from toto_robot.pretraining.peak import known_peak, measured_peak, peak_flops


def test_the_longest_name_that_fits_counts():
    assert known_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert known_peak("NVIDIA H100 PCIe") == 756e12
    assert known_peak("NVIDIA L40S") == 362e12 and known_peak("NVIDIA L4") == 121e12
    assert known_peak("NVIDIA A100-SXM4-80GB") == 312e12 and known_peak("NVIDIA A10G") == 125e12
    assert known_peak("Some other card") is None


def test_a_cpu_is_measured():
    torch.set_num_threads(1)
    assert 1e8 < measured_peak("cpu", "float32", 0.01) < 1e14


def test_the_peak_is_that_of_the_cores_that_are_used(monkeypatch):
    seen = []
    monkeypatch.setattr(peak, "measured_peak", lambda device, dtype: seen.append(torch.get_num_threads()) or 1.0)
    before = torch.get_num_threads()
    peak_flops("cpu", "float32", 2)
    assert seen == [2] and torch.get_num_threads() == before
    assert peak_flops("cpu", "float32") > 0
