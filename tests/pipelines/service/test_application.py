import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from prometheus_client.parser import text_string_to_metric_families
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

NOT_JSON = {"content-type": "text/plain"}
JSON = {"content-type": "application/json"}


def metric(client: TestClient, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    raise KeyError(name)


def client_of(app) -> TestClient:
    """A client of one running service; enter it, for all its requests to share one event loop."""
    return TestClient(app, raise_server_exceptions=False)


def status_of(app, receive) -> int:
    """What a request is answered whose body comes from `receive`."""
    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/score", "headers": headers}
    scope |= {"query_string": b"", "http_version": "1.1", "root_path": "", "scheme": "http"}
    anyio.run(app, scope, receive, send)
    return sent[0]["status"]


def test_a_basket_is_scored(client, served, lines):
    answer = client.post("/score", json={"lines": lines[:5]})
    assert answer.status_code == 200
    expected = served.answer(json.dumps({"lines": lines[:5]}).encode())
    assert answer.json() == json.loads(expected.model_dump_json(exclude_unset=True))
    assert {"probability", "decision", "row_id"} == set(answer.json()["lines"][0])


def test_faults_name_the_field(client, lines):
    answer = client.post("/score", json={"lines": [lines[0], {**lines[1], "item_price": "x"}]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["lines", 1, "item_price"]


def test_it_lives_and_is_ready(client):
    assert client.get("/health").json() == {"status": "alive"}
    ready = client.get("/ready").json()
    assert ready["status"] == "ready"
    assert ready["model"]["version"] == "1"
    assert ready["last_failure"] is None


def test_what_is_too_large_is_refused_without_being_read_whole(service, lines):
    with client_of(service(most_bytes=3000)) as client:
        assert client.post("/score", json={"lines": lines[:1]}).status_code == 200
        assert client.post("/score", content=b" " * 3001, headers=JSON).status_code == 413
    parts = iter([b" " * 1000] * 1000)

    async def receive():
        return {"type": "http.request", "body": next(parts), "more_body": True}

    assert status_of(service(most_bytes=3000), receive) == 413
    assert len(list(parts)) > 990


def test_only_plain_json_is_read(client, lines):
    body = json.dumps({"lines": lines[:1]})
    assert client.post("/score", content=body, headers=NOT_JSON).status_code == 415
    compressed = JSON | {"content-encoding": "gzip"}
    assert client.post("/score", content=body, headers=compressed).status_code == 415
    utf8 = {"content-type": "application/json; charset=utf-8"}
    assert client.post("/score", content=body, headers=utf8).status_code == 200


def test_a_body_that_never_ends_is_given_up(service, monkeypatch):
    monkeypatch.setattr("pipelines.service.limits.BODY_S", 0.05)
    assert status_of(service(), anyio.sleep_forever) == 408


def test_a_client_that_leaves_before_it_has_said_all_does_no_harm(service):
    async def receive():
        return {"type": "http.disconnect"}

    assert status_of(service(), receive) == 400


def test_more_requests_at_once_than_there_are_places_are_sent_away(
    service, served, lines, monkeypatch
):
    begun, go_on = threading.Semaphore(0), threading.Event()
    answer = type(served).answer

    def slow(self, body):
        begun.release()
        go_on.wait(30)
        return answer(self, body)

    monkeypatch.setattr(type(served), "answer", slow)
    body = {"lines": lines[:1]}
    with client_of(service(most_at_once=2, threads=1)) as client, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.post, "/score", json=body) for _ in range(2)]
        assert begun.acquire(timeout=30)
        while metric(client, "returns_requests_in_progress") < 2:
            time.sleep(0.01)
        refused = client.post("/score", json=body)
        assert client.get("/health").status_code == 200
        go_on.set()
        assert [each.result().status_code for each in asked] == [200, 200]
        assert client.post("/score", json=body).status_code == 200
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "1"


def test_requests_at_the_same_time_are_answered_as_one_by_one(service, lines):
    bodies = [{"lines": lines[start : start + 3]} for start in range(6)]
    with client_of(service(threads=4)) as client, ThreadPoolExecutor(8) as pool:

        def ask(body):
            return client.post("/score", json=body).json()

        expected = [ask(body) for body in bodies]
        assert list(pool.map(ask, 2 * bodies)) == 2 * expected


def test_metrics_count_what_happens(client, lines):
    decided = client.post("/score", json={"lines": lines}).json()["lines"]
    client.post("/score", content=b"{", headers=JSON)
    client.get("/somewhere/else")
    assert metric(client, "returns_requests_total", path="/score", status="200") == 1
    assert metric(client, "returns_requests_total", path="/score", status="422") == 1
    assert metric(client, "returns_requests_total", path="other", status="404") == 1
    assert metric(client, "returns_request_seconds_count", path="/score") == 2
    returned = sum(line["decision"] for line in decided)
    scored = [metric(client, "returns_lines_scored_total", decision=d) for d in ("1", "0")]
    assert scored == [returned, len(lines) - returned]
    assert metric(client, "returns_probability_count") == len(lines)
    assert metric(client, "returns_model_info", version="1") == 1
    assert metric(client, "returns_requests_in_progress") == 0


def test_a_failure_is_told_without_what_it_says(client, served, lines, monkeypatch, caplog):
    secret = "anna@example.org"

    def fail(self, body):
        raise RuntimeError(secret)

    monkeypatch.setattr(type(served), "answer", fail)
    with caplog.at_level(logging.INFO):
        answer = client.post("/score", json={"lines": lines[:1]})
    assert answer.status_code == 500
    assert secret not in answer.text + caplog.text
    assert "RuntimeError in fail" in caplog.text
    monkeypatch.undo()
    assert client.post("/score", json={"lines": lines[:1]}).status_code == 200


def test_nothing_that_is_sent_is_logged(client, lines, caplog):
    secret = "4111-1111-1111-1111"
    with caplog.at_level(logging.DEBUG, logger="pipelines"):
        for line in (lines[0] | {"item_color": secret}, lines[0] | {"item_price": secret}):
            client.post("/score?token=" + secret, json={"lines": [line]}, headers={"x": secret})
        client.get("/" + secret)
    assert "POST /score 200" in caplog.text
    assert secret not in caplog.text


def test_the_openapi_page_needs_no_other_server(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert "http" not in page.text.replace("http://testserver", "")
    assert client.get("/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    schema = client.get("/openapi.json").json()
    line = schema["components"]["schemas"]["OrderLine"]["properties"]
    assert line["item_price"]["description"] == "Price of the order line, in EUR"


HOSTILE = {
    "injection": {"item_size": "'; DROP TABLE events; --", "item_color": "{{7*7}} ${7*7} %s %n"},
    "markup": {"item_color": "<script>alert(1)</script>", "user_title": "\u202e\u0000\n\t"},
    "unicode": {"item_size": "\U0001d7dc", "item_color": "\ufeff\ufffe", "user_state": "🩳" * 500},
    "separators": {"item_size": "|", "item_color": "\\|", "user_title": ""},
    "numbers": {"item_price": -1e15, "item_id": 2**63 - 1, "user_id": 1 - 2**63},
    "tiny": {"item_price": 5e-324, "brand_id": 0},
    "dates": {"user_dob": "9999-12-31", "user_reg_date": "0001-01-01"},
    "future": {"order_date": "2100-12-31"},
    "long ago": {"order_date": "1970-01-01"},
    "nothing": dict.fromkeys(
        ("item_price", "item_size", "item_color", "brand_id", "user_title", "user_dob")
    ),
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_odd_values_are_scored(client, lines, changes):
    answer = client.post("/score", json={"lines": [lines[0] | changes, lines[1]]})
    assert answer.status_code == 200, answer.text
    assert all(0 < line["probability"] < 1 for line in answer.json()["lines"])


WRONG = {
    "not a number": {"item_price": b"NaN"},
    "infinite": {"item_price": b"-Infinity"},
    "beyond double precision": {"item_price": b"1e999"},
    "beyond 64 bits": {"item_id": b"9223372036854775808"},
    "a number of a thousand digits": {"user_id": b"9" * 1000},
    "a fraction for an id": {"item_id": b"1.5"},
    "a number for a text": {"item_color": b"5"},
    "a truth for a number": {"item_price": b"true"},
    "a list for a text": {"item_size": b'["40"]'},
    "an object for an id": {"user_id": b'{"$gt": 0}'},
    "a text for an id": {"user_id": b'"1 OR 1=1"'},
    "a day that does not exist": {"order_date": b'"2013-02-30"'},
    "a year of five digits": {"order_date": b'"10000-01-01"'},
    "half a character": {"item_color": b'"\\ud800"'},
    "no UTF-8": {"item_color": b'"\xff\xfe"'},
    "a long text": {"item_color": b'"' + b"x" * 100_000 + b'"'},
    "no day": {"order_date": b"null"},
    "an unknown column": {"__class__": b"1"},
    "a label": {"return": b"1"},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
def test_wrong_values_are_refused(client, lines, changes):
    written = {name: json.dumps(value).encode() for name, value in lines[0].items()} | changes
    line = b",".join(f'"{name}":'.encode() + value for name, value in written.items())
    answer = client.post("/score", content=b'{"lines":[{' + line + b"}]}", headers=JSON)
    assert answer.status_code == 422, answer.text
    assert len(answer.content) < 1000


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"lines"', b'{"lines":{}}', b'{"lines":[]}', b'{"lines":[null]}',
     b'{"lines":[[]]}', b'{"lines":[{}]}', b'\xef\xbb\xbf{"lines":[]}', b"\x00", b"\xff" * 100],
)  # fmt: skip
def test_bodies_of_another_form_are_refused(client, body):
    assert client.post("/score", content=body, headers=JSON).status_code == 422


def test_many_unknown_columns_are_refused_in_few_words(client, lines):
    line = lines[0] | {f"column {number}": number for number in range(10_000)}
    answer = client.post("/score", json={"lines": [line]})
    assert answer.status_code == 422
    assert len(answer.json()["detail"]) == 50


@pytest.mark.parametrize("depth", [10, 1000, 80_000])
def test_deep_bodies_are_refused(client, depth):
    for opening, closing in ((b"[", b"]"), (b'{"lines":', b"}")):
        body = opening * depth + b"1" + closing * depth
        assert client.post("/score", content=body, headers=JSON).status_code == 422


@pytest.mark.parametrize(
    ("path", "method", "mode"),
    [
        ("/score", "POST", GenerationMode.POSITIVE),
        ("/score", "POST", GenerationMode.NEGATIVE),
        ("/health", "GET", GenerationMode.POSITIVE),
        ("/ready", "GET", GenerationMode.POSITIVE),
        ("/metrics", "GET", GenerationMode.POSITIVE),
    ],
)
def test_the_service_does_what_its_schema_says(service, path, method, mode):
    """What the schema admits may still be refused by the source, such as an order of year 1."""
    operation = schemathesis.openapi.from_asgi("/openapi.json", service())[path][method]

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def holds(case):
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    holds()
