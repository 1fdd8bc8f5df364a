"""Two processes with half a batch each compute what one computes from the whole."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest
import torch

from semiseg.model.distributed import divisor, interleave_over_ranks, sum_over_ranks, world_size

SCRIPT = Path(__file__).with_name("rank.py")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two gloo processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    processes = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        )
        for rank in (0, 1)
    ]
    try:
        outputs = [process.communicate(timeout=1800)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode == 0, text
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    """What this process finds from the whole batch."""
    spec = util.spec_from_file_location("rank", SCRIPT)
    script = util.module_from_spec(spec)
    spec.loader.exec_module(script)
    result = script.learn(script.Heads(), *script.batch())
    return {**result, "scores": script.score(script.val())}


@pytest.mark.distributed
def test_prototypes_and_counts_are_those_of_the_whole_batch_on_all_ranks(both, alone):
    for name in ("prototypes", "seen", "counts", "label_counts", "gaussians", "pushed"):
        assert torch.equal(both[0][name], both[1][name])
        torch.testing.assert_close(both[0][name], alone[name], rtol=1e-12, atol=1e-12)


@pytest.mark.distributed
def test_banks_are_the_same_on_all_ranks_and_hold_vectors_of_both(both, alone):
    assert torch.equal(both[0]["banks"], both[1]["banks"])
    assert both[0]["banks"].any(dim=2).all()  # each class has more than 9 pixels
    everything = {tuple(row) for row in alone["pixels"].tolist()}
    assert all(tuple(row) in everything for row in both[0]["banks"].flatten(0, 1).tolist())
    own = [{tuple(row) for row in rank["pixels"].tolist()} for rank in both]
    rows = both[0]["banks"].flatten(0, 1).tolist()
    assert any(tuple(row) in own[1] for row in rows)


@pytest.mark.distributed
def test_the_averaged_gradient_is_that_of_the_whole_batch(both, alone):
    assert alone["grads"]
    for mine, theirs, whole in zip(both[0]["grads"], both[1]["grads"], alone["grads"], strict=True):
        assert torch.equal(mine, theirs)
        torch.testing.assert_close(mine, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.distributed
def test_the_candidates_of_a_release_are_counted_as_by_one_process(both, alone):
    whole = alone["scores"]
    assert len(whole["candidates"]) == 14
    assert whole["true"].shape == (5, 3)
    assert whole["predicted"].shape == whole["common"].shape == (14, 5, 3)
    assert len({counts.numpy().tobytes() for counts in whole["predicted"]}) > 2
    for rank in both:
        scores = rank["scores"]
        for name in ("true", "predicted", "common", "confusion"):
            assert torch.equal(scores[name], whole[name])
        assert scores["candidates"] == whole["candidates"]
        assert scores["networks"] == whole["networks"]
        # The distances of the shapes are sums of fractions, whose last bits depend on the order.
        torch.testing.assert_close(scores["shapes"], whole["shapes"], rtol=1e-12, atol=1e-12)


def test_one_process_is_left_as_it_is():
    count = torch.tensor(7)
    assert world_size() == 1
    assert sum_over_ranks(count) is count
    assert torch.equal(interleave_over_ranks(count.view(1)), count.view(1))
    assert divisor(count) == 7
    assert divisor(torch.tensor(0)) == 1
