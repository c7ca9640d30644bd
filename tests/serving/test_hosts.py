"""Under which names a server may be reached, and from whose pages; the path below which a proxy offers it."""

import pytest

from i2v_jax.errors import UserError
from i2v_jax.serving.hosts import Hosts
from i2v_jax.serving.prefix import checked
from tests.serving import stand_ins

LOCAL, NAMED = Hosts.of("127.0.0.1"), Hosts.of("127.0.0.1", ["ide.example", "lab.example:8888", "[fd00::1]"])


@pytest.mark.parametrize(
    ("hosts", "host", "origin"),
    [
        (LOCAL, "localhost:8000", None),
        (LOCAL, "LOCALHOST", "http://localhost"),
        (LOCAL, "[::1]:8000", "http://[::1]:8000"),
        (LOCAL, "localhost:80", "http://localhost"),  # the browser leaves the port out, a proxy adds it
        (NAMED, "ide.example", "https://ide.example"),
        (NAMED, "ide.example:443", "https://ide.example"),
        (NAMED, "ide.example:8000", None),
        (NAMED, "127.0.0.1:8000", "https://ide.example"),  # a proxy with a Host of its own
        (NAMED, "lab.example:8888", "https://lab.example:8888"),
        (NAMED, "[fd00::1]:8000", None),
        (NAMED, "localhost:8000", "http://localhost:8000"),
        (Hosts.of("127.0.0.1", ["lab.example:443"]), "lab.example", "https://lab.example"),
        (Hosts.of("127.0.0.1", ["*"]), "any.example", "https://any.example"),
        (Hosts.of("0.0.0.0"), "any.example", None),
        (Hosts.of("10.0.0.1", ["lab.example"]), "10.0.0.1:8000", None),
    ],
)
def test_known_names_may_pass(hosts, host, origin):
    assert hosts.refusal(host, origin) == ""


@pytest.mark.parametrize(
    ("hosts", "host", "origin", "remedy"),
    [
        (LOCAL, "evil.example:8000", None, "--allow_host=evil.example:8000"),
        (LOCAL, "evil.example", "http://evil.example", "--allow_host=evil.example"),
        (LOCAL, "localhost.evil.example", None, "--allow_host=localhost.evil.example"),
        (LOCAL, "localhost:8000", "http://localhost:3000", "--allow_host=localhost:3000"),
        (LOCAL, "127.0.0.1:8000", "https://ide.example", "--allow_host=ide.example"),
        (LOCAL, "localhost", "https://localhost:80", "--allow_host=localhost:80"),
        (LOCAL, "localhost", "null", "--allow_host=NAME"),
        (LOCAL, "localhost", "http://[", "--allow_host=NAME"),
        (LOCAL, "", None, "--allow_host=NAME"),
        (LOCAL, "a\nb", None, "--allow_host=NAME"),
        (LOCAL, "localhost:x", None, "--allow_host=NAME"),
        (LOCAL, "evil@localhost", None, "--allow_host=NAME"),
        (NAMED, "evil.example", None, "--allow_host=evil.example"),
        (NAMED, "lab.example:8889", None, "--allow_host=lab.example:8889"),
        (NAMED, "lab.example", None, "--allow_host=lab.example"),
        (Hosts.of("127.0.0.1", ["*"]), "127.0.0.1:8000", "https://ide.example", "--allow_host=ide.example"),
        (Hosts.of("0.0.0.0", ["lab.example"]), "evil.example", None, "--allow_host=evil.example"),
    ],
)
def test_strangers_stay_out_and_are_told_in_one_line(hosts, host, origin, remedy):
    line = hosts.refusal(host, origin)
    assert line.endswith(remedy)
    assert "\n" not in line


@pytest.mark.parametrize(
    "name", ["https://ide.example", "ide.example/i2v", "", "a b", "ide.example:x", "*.example", "::1"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(UserError) as raised:
        Hosts.of("127.0.0.1", [name])
    assert (raised.value.field, raised.value.value) == ("allow_host", name)


def test_the_path_of_a_proxy():
    with stand_ins.client(stand_ins.pokes(), prefix=checked("/node/1/")) as client:
        assert client.get("/node/1/v1/model").json() == client.get("/v1/model").json()
        assert client.get("/node/1/static/page.js").status_code == client.get("/node/1/").status_code == 200
        assert client.get("/node/1", follow_redirects=False).headers["location"] == "1/"
        assert client.get("/node/10/v1/model").status_code == 404
        for wrong in ("i2v", "https://a.example/i2v", "/a b", "/a//b", "/i2v?x"):
            with pytest.raises(UserError) as raised:
                checked(wrong)
            assert (raised.value.field, raised.value.value) == ("path_prefix", wrong)
