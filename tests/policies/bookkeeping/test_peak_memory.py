from policies.bookkeeping.peak_memory import peak_memory_gb


def test_peak_memory_is_that_of_a_python_process():
    assert 0.02 < peak_memory_gb() < 50
