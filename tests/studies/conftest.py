import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    """As in a run: networks this small are slower with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
