"""Executions that wait: bounds and 503, priorities, keys, delays, cancellation in every state, kill -9 with a full queue."""
import http.server
import json
import os
import threading
import time

import hz
import openapi


class Sink:
    """Remembers the bodies that were sent to it, in order: effects outside, counted by somebody else."""

    def __init__(self, case):
        bodies = self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["data"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        case.addCleanup(self.server.server_close)
        case.addCleanup(self.server.shutdown)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/"


def queued_flow(name, url=None, delay=None, **horizon):
    flow = hz.Flow(name)
    flow.json["properties"]["horizon"] = horizon
    last, output = flow.node("workflow_init", "Inicio"), "init"
    if delay is not None:
        step = flow.node("delay", "Espera", delay=delay)
        flow.link(last, output, step)
        last, output = step, "response"
    if url:
        step = flow.node("http_request", "Manda", url=url, type="post", body="{{input.data}}")
        flow.link(last, output, step)
    return flow.json


def post(server, workflow, data=None, expect=202, **options):
    return server.call("POST", f"/workflows/{workflow}/executions", {"data": data or {}, **options}, expect=expect)


def listed(server, state, workflow=""):
    return server.call("GET", f"/executions?limit=1000&state={state}" + (f"&workflowId={workflow}" if workflow else ""),
                       expect=200)["executions"]


def over(server, execution, timeout=20):
    return hz.wait_for(lambda: (lambda r: r if r["endedAt"] else None)(server.execution(execution)), timeout, what="its end")


class Queue(openapi.Case):
    def test_a_full_queue_answers_503_and_when_to_come_again(self):
        server = hz.Server(self.place, flows={"lenta": queued_flow("lenta", delay=0.2, concurrency=1, queue=3, isolation="resident")})
        accepted, refused = [], None
        for _ in range(8):
            answer = server.call("POST", "/workflows/lenta/executions", {})
            if answer.status == 202:
                accepted.append(answer.json["executionId"])
            else:
                refused = answer
        self.assertEqual(len(accepted), 4)
        self.assertEqual(refused.status, 503)
        self.assertGreaterEqual(int(refused.headers["retry-after"]), 1)
        self.assertIn("properties.horizon.queue", refused.json["detail"])
        for execution in accepted:
            self.assertEqual(over(server, execution)["state"], "success")
        self.assertEqual(server.call("POST", "/workflows/lenta/executions", {}).status, 202)

    def test_options_that_are_wrong_are_all_named(self):
        server = hz.Server(self.place, flows={"f": queued_flow("f")})
        answer = server.call("POST", "/workflows/f/executions", {"priority": 10, "delayMs": -1, "startAt": "mañana",
                                                                 "deadlineMs": "x", "dedupKey": "", "wait": 1})
        self.assertEqual(answer.status, 400)
        for name in ("priority", "delayMs", "startAt", "deadlineMs", "dedupKey", "wait"):
            self.assertIn(name + ":", answer.json["detail"])
        path = self.place.write("mal/flow.json", queued_flow("mal", concurrency=0, rate="fast", priority=11, queue="x"))
        result = self.place.run("check", path)
        self.assertEqual(result.code, 2, result)
        for name in ("concurrency", "rate", "priority", "queue"):
            self.assertIn("properties.horizon." + name, result.err)

    def test_a_key_has_one_execution_before_and_after_its_end_and_a_restart(self):
        sink = Sink(self)
        server = hz.Server(self.place, flows={"una": queued_flow("una", url=sink.url), "otra": queued_flow("otra")})
        first = post(server, "una", {"n": 1}, dedupKey="pedido-1", delayMs=300)["executionId"]
        again = post(server, "una", {"n": 2}, expect=200, dedupKey="pedido-1")
        self.assertEqual(again["executionId"], first)
        self.assertTrue(again["duplicate"])
        self.assertNotEqual(post(server, "otra", dedupKey="pedido-1")["executionId"], first)
        self.assertEqual(over(server, first)["state"], "success")
        header = server.call("POST", "/workflows/una/executions", {}, headers={"Idempotency-Key": "pedido-1"})
        self.assertEqual((header.status, header.json["executionId"]), (200, first))
        server.process.kill_all()
        server = hz.Server(self.place, data=server.data)
        self.assertEqual(post(server, "una", expect=200, dedupKey="pedido-1")["executionId"], first)
        self.assertEqual(sink.bodies, [{"n": 1}])

    def test_a_delayed_one_starts_then_and_no_sooner(self):
        server = hz.Server(self.place, flows={"f": queued_flow("f")})
        begin = time.time()
        execution = post(server, "f", delayMs=700)["executionId"]
        self.assertEqual([row["id"] for row in listed(server, "waiting", "f")], [execution])
        row = over(server, execution)
        self.assertEqual(row["state"], "success")
        self.assertGreaterEqual(time.time() - begin, 0.7)
        self.assertGreaterEqual(row["startedAt"], row["dueAt"])

    def test_cancellation_in_every_state(self):
        server = hz.Server(self.place, flows={"lenta": queued_flow("lenta", delay=30, concurrency=1)})
        running = post(server, "lenta")["executionId"]
        queued = post(server, "lenta")["executionId"]
        waiting = post(server, "lenta", delayMs=60000)["executionId"]
        hz.wait_for(lambda: [row["id"] for row in listed(server, "running")] == [running], what="one runs")
        self.assertEqual([row["id"] for row in listed(server, "queued")], [queued])
        self.assertEqual([row["id"] for row in listed(server, "waiting")], [waiting])
        for execution in (waiting, queued):
            self.clean_exit(server.cli("cancel", execution))
            self.assertEqual(server.execution(execution)["state"], "cancelled")
        begin = time.monotonic()
        server.call("POST", f"/executions/{running}/cancel", expect=202)
        self.assertEqual(over(server, running)["state"], "cancelled")
        self.assertLess(time.monotonic() - begin, 8 * hz.SLOW)
        self.assertEqual(server.call("POST", f"/executions/{running}/cancel").status, 404)
        table = server.cli("executions", "lenta", "--state", "cancelled")
        self.clean_exit(table)
        self.assertIn(running, table.out)

    def test_a_deadline_passes_in_the_queue_too(self):
        server = hz.Server(self.place, flows={"lenta": queued_flow("lenta", delay=5, concurrency=1)})
        post(server, "lenta")
        late = post(server, "lenta", deadlineMs=300)["executionId"]
        self.assertEqual(over(server, late, 4)["state"], "timed_out")

    def test_starts_keep_to_the_rate(self):
        server = hz.Server(self.place, flows={"f": queued_flow("f", rate="10/s", isolation="resident")})
        begin = time.monotonic()
        for execution in [post(server, "f")["executionId"] for _ in range(15)]:
            over(server, execution)
        self.assertGreaterEqual(time.monotonic() - begin, 1.35)

    def test_kill_minus_nine_with_a_full_queue_runs_each_once_by_priority(self):
        sink = Sink(self)
        count = 1000
        flow = queued_flow("cola", url=sink.url, concurrency=1, isolation="resident")
        stopper = queued_flow("cola", url=sink.url, delay=60, concurrency=1, isolation="resident")
        server = hz.Server(self.place, flows={"cola": stopper})
        blocker = post(server, "cola", {"n": -1})["executionId"]
        server.add_flow("cola", flow)
        hz.wait_for(lambda: len(listed(server, "running")) == 1, what="one runs")
        accepted = {}
        for n in range(count):
            accepted[post(server, "cola", {"n": n, "p": 1 + n % 9}, priority=1 + n % 9)["executionId"]] = n
        self.assertEqual(len(listed(server, "queued")), 1000)
        server.process.kill_all()
        # Those that wait belong to the version with the pause; it is what they were accepted for. A short one takes its place.
        self.patch(server.data)
        server = hz.Server(self.place, data=server.data)
        try:
            hz.wait_for(lambda: len(sink.bodies) >= count, 60, what="all have run")
        except AssertionError:
            states = {state: len(listed(server, state)) for state in ("queued", "running", "success", "failed", "interrupted")}
            raise AssertionError(f"{len(sink.bodies)} effects; {states}; failed: {listed(server, 'failed')[:2]}") from None
        hz.wait_for(lambda: not listed(server, "queued") and not listed(server, "running"), what="the end")
        self.assertEqual(sorted(body["n"] for body in sink.bodies), list(range(count)))
        priorities = [body["p"] for body in sink.bodies]
        self.assertEqual(priorities, sorted(priorities, reverse=True))
        self.assertEqual(server.execution(blocker)["state"], "interrupted")
        for execution in list(accepted)[::50]:
            self.assertEqual(server.execution(execution)["state"], "success")

    def patch(self, data):
        """The stored flow of every version without its pause."""
        import sqlite3
        with sqlite3.connect(os.path.join(data, "horizon.db")) as db:
            for rowid, text in db.execute("SELECT rowid, text FROM workflows").fetchall():
                text = text.decode() if isinstance(text, bytes) else text
                db.execute("UPDATE workflows SET text = ? WHERE rowid = ?", (text.replace('"value": 60', '"value": 0'), rowid))

    def test_delayed_executions_hold_little_memory(self):
        count = hz.pick(5000, 100000)
        server = hz.Server(self.place, flows={"f": queued_flow("f")}, env={"HORIZON_MAX_EXECUTIONS": 2 * count})
        before = hz.status_value(server.pid, "VmRSS")

        def many(n):
            import http.client
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            for _ in range(n):
                connection.request("POST", "/api/v1/workflows/f/executions", '{"delayMs": 3600000}', server.signed)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 202, answer.status

        threads = [threading.Thread(target=many, args=(count // 20,)) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown = hz.status_value(server.pid, "VmRSS") - before
        print(f"{count} delayed executions: {grown} kB more")
        self.assertLess(grown, (20000 + 4 * count) * (2 if hz.SANITIZE else 1))  # a sanitizer's shadow counts too
        self.assertEqual(len(listed(server, "waiting")), 1000)


if __name__ == "__main__":
    hz.main()
