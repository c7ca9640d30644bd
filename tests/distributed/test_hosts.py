"""Names of topologies: the hosts and devices that they stand for."""

import re

import pytest

from i2v_jax.distributed.hosts import parse_hosts
from i2v_jax.errors import UserError
from i2v_jax.launch._jobset import nodes
from i2v_jax.planning.topology import open_topology


@pytest.mark.parametrize(
    ("name", "hosts", "each"),
    [
        ("v5e:1x1", 1, 1),
        ("v5e:2x2", 1, 4),
        ("v5e:2x4", 1, 8),
        ("v5e:16x16", 64, 4),
        ("v4:2x2x2", 2, 4),
        ("v5p:2x2x1", 1, 4),
        ("v5p:4x4x4", 16, 4),
        ("v4:2x2x4", 4, 4),
        ("v4:16x16x16", 1024, 4),
        ("v5p:4x4x12", 48, 4),
        ("v5p:16x16x24", 1536, 4),
        ("v6e:8x16", 32, 4),
        ("v6e:4x4", 4, 4),
        ("h100:8", 1, 8),
        ("h100:4x8", 4, 8),
        ("a100:2x4", 2, 4),
    ],
)
def test_hosts_of_a_name(name, hosts, each):
    found = parse_hosts(name)
    assert (found.count, found.per_host, found.devices) == (hosts, each, hosts * each)


@pytest.mark.parametrize("command", [parse_hosts, nodes, open_topology])
@pytest.mark.parametrize(
    "name",
    [
        "v5e",
        "v5e:",
        "v5e:4x",
        "v5e:4x4x4",
        "v5p:4x4",
        "v5e:3x3",
        "v5e:4x5",
        "v6e:8x4",
        "v5e:2x2x1",
        "v5e:16x32",
        "v5e:1x4",
        "v5p:2x2x8",
        "v5p:4x4x6",
        "v5p:8x4x4",
        "v5p:16x24x24",
        "v4:16x16x20",
        "v9:4x4",
        "h100:0",
        "h100:2x2x2",
        "h100:0x8",
        "v5e:axb",
    ],
)
def test_names_that_stand_for_nothing(name, command):
    with pytest.raises(UserError) as raised:
        command(name)
    assert (raised.value.field, raised.value.value) == ("topology", name)


@pytest.mark.parametrize("kind", ["v4", "v5e", "v5p", "v6e"])
def test_a_refused_slice_is_told_which_ones_there_are(kind):
    with pytest.raises(UserError) as raised:
        parse_hosts(f"{kind}:5x5x5")
    told = re.findall(r"\d+(?:x\d+)+", str(raised.value).partition("5x5x5")[2])
    assert len([parse_hosts(f"{kind}:{shape}") for shape in told]) >= 4


def test_a_plan_needs_a_data_sheet():
    assert nodes("a100:8").hosts.devices == 8
    with pytest.raises(UserError) as raised:
        open_topology("a100:8")
    assert raised.value.value == "a100:8"
