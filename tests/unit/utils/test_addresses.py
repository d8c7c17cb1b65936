"""Where a request of ours may go."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.addresses import ALWAYS_FORBIDDEN, FORBIDDEN_PORTS, PRIVATE_IPV4, check_url, may_reach

EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]
LOOPBACK = [ip_network("127.0.0.0/8")]

PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "198.18.0.1", "224.0.0.1",
    "192.88.99.1", "192.0.2.1", "203.0.113.9", "255.255.255.255", "::1", "::", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "fec0::1", "fe80::1", "fd00::1", "ff02::1", "3fff::1",
    "5f00::1", "2001:db8::1", "2001::1", "::ffff:0:7f00:1", "100::1",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.170.2",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fd20:ce::254", "::a9fe:a9fe",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "198.20.0.1", "172.32.0.1"]


@pytest.mark.parametrize("address", PRIVATE + METADATA)
def test_private_addresses_are_out_of_reach(address: str) -> None:
    assert not may_reach(ip_address(address), [])


@pytest.mark.parametrize("address", METADATA)
def test_metadata_stays_out_of_reach_whatever_is_allowed(address: str) -> None:
    assert not may_reach(ip_address(address), EVERYTHING)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_can_be_reached(address: str) -> None:
    assert may_reach(ip_address(address), [])


def test_an_allowed_network_is_open_and_its_neighbours_are_not() -> None:
    assert may_reach(ip_address("10.1.0.1"), [ip_network("10.1.0.0/16")])
    assert not may_reach(ip_address("10.2.0.1"), [ip_network("10.1.0.0/16")])


@given(st.sampled_from(PRIVATE_IPV4), st.integers(0, 2**32 - 1))
def test_no_spelling_of_a_private_address_passes(network: object, offset: int) -> None:
    inside = IPv4Address(int(network.network_address) + offset % network.num_addresses)  # type: ignore[attr-defined]
    number = int(inside)
    assert not may_reach(inside, [])
    for base in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::"):
        assert not may_reach(IPv6Address(int(IPv6Address(base)) + number), [])
    assert not may_reach(IPv6Address((0x2002 << 112) + (number << 80)), [])
    octal = ".".join(f"0{int(part):o}" for part in str(inside).split("."))
    for host in (str(number), hex(number), octal, str(inside), f"{inside}."):
        with pytest.raises(ValueError):
            check_url(f"http://{host}/", [])


@given(st.ip_addresses())
def test_forbidden_hosts_are_never_in_a_response(address: IPv4Address | IPv6Address) -> None:
    if any(address.version == network.version and address in network for network in ALWAYS_FORBIDDEN):
        assert not may_reach(address, EVERYTHING)


@pytest.mark.parametrize(
    "url",
    [
        # S01 to S03: this machine, in every spelling
        "http://127.0.0.1/", "http://localhost/", "http://LOCALHOST./", "http://sub.localhost/", "http://2130706433/",
        "http://0x7f000001/", "http://127.1/", "http://0177.0.0.1/", "http://127。0。0。1/", "http://①②⑦.⓪.⓪.①/",
        "http://[::1]/", "http://[::ffff:10.0.0.1]/", "http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/",
        "http://[2002:7f00:1::]/", "http://[fec0::1]/", "http://[::ffff:0:127.0.0.1]/", "http://0/", "http://0.0.0.0/",
        "http://lo\u00adcalhost/", "http://lo\u200bcalhost/", "http://12\u00ad7.0.0.1/", "http://localho\ufb06/",
        "http://ⓛocalhost./", "http://\uff11\uff12\uff17.\uff10.\uff10.\uff11/", "http://0x100000000/", "http://a.0x/",
        "http://127.0.0.1../", "http://example.com../", "http://[::5efe:127.0.0.1]/", "http://[fe80::1%eth0]/",
        "http://[2606:4700::1111%25a]/",
        "http://127.0.0.1%00.com/",
        # S07: who is meant by this?
        "http://good.com@127.0.0.1/", "http://127.0.0.1\\@good.com/", "http://127.0.0.1#@good.com",
        "https://good.com@example.com/", "https://a:b@c:d@example.com/", "https://example.com/#part",
        # S08: not the web
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "//example.com",
        "http:///x", "https:", "", "example.com", "https://", "https://?x", "https://:443/",
        # S09: ports
        *(f"https://example.com:{port}/" for port in (25, 110, 143, 465, 587, 993, 995)),
        *(f"http://example.com:{port}/" for port in (1433, 1521, 3306, 5432, 6379, 11211, 27017, 0)),
        "http://example.com:99999/", "http://example.com:8o/", "http://example.com:٤٤٣/",
        # S10: what no URL holds
        "http://example.com/\r\nX: 1", "http://example.com/\0", "http://example.com/a b", "http://exa mple.com/",
        "http://example.com/" + "a" * 3000, "http://[fe80::1%25eth0]/", "http://[::1/", "http://[1.2.3.4]/",
        "http://example.com/ü", "http://-bad.com/", "http://256.256.256.256/", "http://exam%70le.com/",
        "http://a..b/", "http://" + "a" * 64 + ".com/",
    ],
)  # fmt: skip
def test_a_url_that_leads_to_a_forbidden_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_url(url, [])
    assert str(refused.value).startswith("must")
    assert len(url) < 8 or url not in str(refused.value)


@pytest.mark.parametrize("port", sorted(FORBIDDEN_PORTS))
def test_ports_of_mail_databases_and_caches_are_refused(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        check_url(f"https://example.com:{port}/", [])


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hook?token=a%20b&x=[1]",
        "http://example.com:8080/",
        "https://user:pa%40ss@example.com/hook",
        "https://hooks_internal.example.com/x",
        "http://8.8.8.8/",
        "https://[2606:4700::1111]:8443/hook",
        "https://example.com.:443/x",
    ],
)
def test_a_plain_url_is_kept_as_it_is(url: str) -> None:
    assert check_url(url, []) == url


def test_an_international_host_is_written_in_ascii() -> None:
    assert check_url("https://bücher.example/x", []) == "https://xn--bcher-kva.example/x"


def test_allowed_networks_are_accepted() -> None:
    assert check_url("http://127.0.0.1:9000/x", LOOPBACK) == "http://127.0.0.1:9000/x"
    assert check_url("http://localhost:9000/x", LOOPBACK) == "http://localhost:9000/x"
    for address in ("169.254.169.254", "100.100.100.200"):
        with pytest.raises(ValueError):
            check_url(f"http://{address}/", EVERYTHING)


@given(st.text(max_size=80))
def test_any_text_is_accepted_or_refused_in_words(text: str) -> None:
    for url in (text, f"https://{text}", f"https://example.com/{text}"):
        try:
            assert check_url(url, []).isascii()
        except ValueError as error:
            assert str(error).startswith("must")  # noqa: PT017
