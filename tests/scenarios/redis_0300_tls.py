"""Redis by TLS, and as a user that may do only what is needed."""

import pytest

from stage.certs import Authority
from stage.waiting import wait_until

UP = "forebay_redis_up"
HIT = "forebay_redis_requests_total"


@pytest.fixture
def secure(redises, certs):
    def make(*names):
        return redises("--tls-auth-clients", "no", tls=(certs, certs.certificate(*names, file=f"redis-of-{names[0]}")))
    return make


def config(url, more=""):
    return f'workers: 1\ncache: {{redis: {{url: "{url}", timeout: 10s{more}}}}}'


def put_and_found(origin, forebay, url):
    """What one instance has stored there, another answers with."""
    origin.on("GET /page").reply(200, "page", cache_control="max-age=600")
    w1 = forebay(config(url), app=origin)
    w1.wait_redis()
    w1.get("/page", host="a").expect(200, "page", x_cache_status="MISS")
    w1.wait_metric(HIT, lambda now: now >= 1, op="put", result="done")
    w2 = forebay(config(url), app=origin)
    w2.wait_redis()
    with origin.hold():
        w2.get("/page", host="a").expect(200, "page", x_cache_status="HIT")
    return w1


def all_are_up(metrics, node):
    return metrics.sum("forebay_redis_node_connections_up", node=node) == metrics.sum("forebay_redis_node_connections", node=node) > 0


def test_a_redis_that_speaks_tls_is_used(origin, forebay, secure, certs):
    redis = secure("127.0.0.1")
    w1 = put_and_found(origin, forebay, f"rediss://{redis.address}/0?ca={certs.cert}")
    node = redis.address
    wait_until(lambda: all_are_up(w1.metrics(), node), "all connections to be up")
    assert w1.metric("forebay_redis_node_commands_total", node=node, result="answered") > 0
    assert w1.metric("forebay_redis_node_command_duration_seconds_count", node=node) > 0


def test_our_own_certificate_is_shown_where_it_is_wanted(origin, forebay, secure, certs):
    own = certs.certificate("forebay.example")
    redis = secure("127.0.0.1")
    redis.cli("CONFIG", "SET", "tls-auth-clients", "yes")
    without = forebay(config(f"rediss://{redis.address}?ca={certs.cert}"), app=origin)
    without.wait_log("certificate required")
    assert without.metric(UP) == 0
    put_and_found(origin, forebay, f"rediss://{redis.address}?ca={certs.cert}&cert={own.cert}&key={own.key}")


def test_a_certificate_of_another_authority_is_refused(origin, forebay, secure, tmp_path):
    redis = secure("127.0.0.1")
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    origin.on("GET /page").reply(200, "page", cache_control="max-age=600")
    w1 = forebay(config(f"rediss://{redis.address}?ca={other.cert}"), app=origin)
    w1.wait_log("its certificate is not accepted: ")
    w1.get("/page").expect(200, "page")                     # nobody who asks for a page notices
    assert w1.metric(UP) == 0


def test_a_certificate_for_another_name_is_refused_unless_that_is_the_name_to_expect(origin, forebay, secure, certs):
    redis = secure("redis.internal")
    w1 = forebay(config(f"rediss://{redis.address}?ca={certs.cert}"), app=origin)
    w1.wait_log("its certificate is not accepted: IP address mismatch")
    put_and_found(origin, forebay, f"rediss://{redis.address}?ca={certs.cert}&name=redis.internal")


def test_a_server_that_speaks_no_tls_is_named_as_such(origin, forebay, redis, certs):
    w1 = forebay(config(f"rediss://{redis.address}?ca={certs.cert}"), app=origin)
    w1.wait_log("no TLS handshake within 1000 ms: does it speak TLS on this port")
    assert w1.metric(UP) == 0


@pytest.mark.parametrize("url, problem", [
    ("rediss://h?ca=/nonexistent.pem", "/nonexistent.pem: No such file or directory"),
    ("rediss://h?verify=no", "a Redis URL takes ?ca=, &cert=, &key= and &name= with TLS"),
    ("redis+sentinel://h", "names the master behind the hosts"),
    ("redis+cluster://h/1", "a cluster has no databases"),
    ("redis://a,b", "several hosts are redis+sentinel:// or redis+cluster://"),
])
def test_check_says_where_a_url_is_wrong(cli, tmp_path, url, problem):
    path = tmp_path / "forebay.yaml"
    path.write_text(f'listen: ["127.0.0.1:1"]\ncache:\n  redis:\n    url: "{url}"\nroutes:\n  - respond: {{status: 204}}\n')
    told = cli("check", "-c", path)
    assert told.returncode == 1
    assert f"{path}:4:10: error: url: " in told.stderr
    assert problem in told.stderr
