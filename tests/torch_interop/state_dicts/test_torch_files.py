"""Files of torch.save: PyTorch's files are read, PyTorch reads ours, and no code in them is run."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from i2v_jax.errors import UserError
from i2v_jax.torch_interop.state_dicts import torch_files

ARRAYS = {
    "weight": np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32),
    "count": np.array(3, np.int64),
    "flag": np.ones((), np.uint8),
    "nothing": np.zeros((0, 3), np.float32),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "order": np.arange(300)[::-1],
}


def assert_same(state):
    assert state.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert state[key].dtype == array.dtype
        np.testing.assert_array_equal(state[key], array)


def test_there_and_back_without_pytorch(tmp_path):
    file, others = tmp_path / "a.pth", {"epoch": 300, "rates": [1e-4, -2], "name": "é", "none": None, "yes": True}
    torch_files.write(file, {**others, "state_dict": ARRAYS})
    content = torch_files.read(file)
    assert {name: content[name] for name in others} == others
    assert_same(torch_files.read_state_dict(file))


def test_pytorch_reads_what_is_written(tmp_path):
    torch = pytest.importorskip("torch")
    torch_files.write(tmp_path / "a.pth", {"epoch": 12, "state_dict": ARRAYS})
    content = torch.load(tmp_path / "a.pth", weights_only=True)
    assert content["epoch"] == 12
    assert_same({key: tensor.numpy() for key, tensor in content["state_dict"].items()})


@pytest.mark.parametrize("zipped", [True, False])
def test_what_pytorch_writes_is_read(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    content = {
        "epoch": 3,
        "state_dict": network.state_dict(),
        "optim_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4]).state_dict(),
        "best": np.float64(0.5),
        "parameter": network[0].weight,
        "transposed": network[0].weight.detach().permute(3, 2, 1, 0)[1:],
        "bfloat16": torch.ones(3).bfloat16(),
    }
    torch.save(content, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    state = torch_files.read_state_dict(tmp_path / "a.pth")
    for key, tensor in network.state_dict().items():
        np.testing.assert_array_equal(state[key], tensor.numpy(), err_msg=key)
    found = torch_files.read(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["transposed"].numpy(), content["transposed"].numpy())
    np.testing.assert_array_equal(found["parameter"].numpy(), content["parameter"].detach().numpy())
    np.testing.assert_array_equal(found["bfloat16"].numpy().astype(np.float32), [1, 1, 1])
    assert found["best"] == 0.5


class _Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_is_refused_and_not_run(tmp_path):
    target, file = tmp_path / "made_by_the_pickle", tmp_path / "bad.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bad/data.pkl", pickle.dumps({"state_dict": _Malice(target)}, 2))
    with pytest.raises(UserError) as raised:
        torch_files.read(file)
    assert raised.value.value == str(file)
    assert not target.exists()


def test_a_view_outside_its_storage_is_refused(tmp_path):
    torch_files.write(tmp_path / "a.pth", {"w": np.zeros(4, np.float32)})
    tensor = torch_files.read(tmp_path / "a.pth")["w"]
    with pytest.raises(ValueError, match="storage"):
        torch_files.Tensor(tensor.storage, 0, (4, 4), (4, 1)).numpy()


def test_damage_and_other_files_are_one_line(tmp_path):
    file = tmp_path / "a.pth"
    torch_files.write(file, {"w": np.arange(10_000)})
    whole = file.read_bytes()
    for content in (b"", b"hello", b"\x80\x02.", whole[:-60], pickle.dumps({"a": 1}, 2), b"PK\x03\x04" + whole[4:100]):
        file.write_bytes(content)
        with pytest.raises(UserError) as caught:
            torch_files.read(file)
        assert caught.value.value == str(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(whole.replace(np.arange(10).tobytes(), bytes(80)))
    with pytest.raises(UserError) as raised:
        torch_files.read_state_dict(file)
    assert raised.value.value == str(file)
    with pytest.raises(UserError) as raised:
        torch_files.read(tmp_path / "b.pth")
    assert raised.value.value == str(tmp_path / "b.pth")


def test_a_file_without_a_state_dict(tmp_path):
    torch_files.write(tmp_path / "a.pth", {"epoch": 3})
    with pytest.raises(UserError) as raised:
        torch_files.read_state_dict(tmp_path / "a.pth")
    assert raised.value.value == str(tmp_path / "a.pth")
