"""Each plugin of tests/badnodes does what expected.txt says and nothing else suffers: manager, neighbours, machine."""
import os
import threading
import time

import hz

PLACE = os.path.join(hz.BUILD, "tests", "badnodes")
# Faults that ThreadSanitizer's allocator does not notice.
UNSEEN = {"thread": {"double_free", "heap_overrun", "call_overrun"}}.get(hz.SANITIZE, set())
FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}


def table():
    rows = []
    with open(os.path.join(hz.SOURCE, "tests", "badnodes", "expected.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                name, kind, texts = line.rstrip("\n").split(None, 2)
                rows.append((name, kind, [] if texts.strip() == "-" else texts.strip().split(";")))
    return rows


def folder(name):
    return os.path.join(PLACE, name)


class Refused(hz.Case):
    rows = [row for row in table() if row[1] == "refused"]

    def test_the_catalogue_says_why_and_lives_on(self):
        result = self.place.run("nodes", env={"HORIZON_NODES": ":".join(folder(name) for name, _, _ in self.rows)},
                                timeout=120)
        self.clean_exit(result)
        text = result.out + result.err
        for name, _, texts in self.rows:
            with self.subTest(name=name):
                lines = [line for line in text.splitlines() if f"{name}.so" in line]
                self.assertTrue(lines, text[-4000:])
                for part in texts:
                    self.assertTrue(any(part in line for line in lines), (part, lines))
        for good in ("delay", "cache", "http_request"):
            self.assertIn(good, result.out)

    def test_inspect_refuses_each(self):
        for name, _, texts in self.rows:
            with self.subTest(name=name):
                result = self.place.run("node", "inspect", os.path.join(folder(name), name + ".so"), timeout=60)
                if name == "type_clash":
                    continue  # alone it clashes with nobody
                self.assertEqual(result.code, 1, result)
                for part in texts:
                    self.assertIn(part, result.out + result.err)

    def test_inspect_takes_files_only(self):
        for path in (PLACE, "/dev/zero"):
            result = self.place.run("node", "inspect", path)
            self.clean_exit(result, 1)
            self.assertEqual(result.err, f"horizon: {path} is no regular file\n")

    def test_their_flows_do_not_run(self):
        for name in ("abi_major", "load_crash", "no_node"):
            with self.subTest(name=name):
                result = self.place.run("run", os.path.join(folder(name), "flow.json"),
                                        env={"HORIZON_NODES": folder(name)}, timeout=60)
                self.clean_exit(result, 2)
                self.assertIn("No existe el nodo", result.err)


class Overrun(hz.Case):
    def test_a_node_that_never_returns_ends_by_its_own_timeout(self):
        """No deadline of the execution is set: the 4 s of the node's meta.timeout are enough."""
        for name in ("infinite_run", "unkillable"):
            with self.subTest(name=name):
                result = self.place.run("run", os.path.join(folder(name), "flow.json"),
                                        env={"HORIZON_NODES": folder(name)}, timeout=20)
                self.clean_exit(result, 1)
                self.assertRegex(result.err, f'horizon: {name} failed in node "Malo": the node took longer than 4000 ms')
                self.assertLess(result.seconds, 4 + 5 * hz.SLOW)


class Running(hz.Case):
    rows = [row for row in table() if row[1] != "refused"]

    def setUp(self):
        super().setUp()
        flows = {f"bad_{name}": os.path.join(folder(name), "flow.json") for name, _, _ in self.rows}
        flows["vecino"] = hz.webhook_flow("vecino", "/vecino", "post", '{"n": {{input.data.body.n}}}')
        self.server = hz.Server(self.place, flows=flows, wait=False, env={
            "HORIZON_NODES": ":".join(folder(name) for name, _, _ in self.rows), "HORIZON_EXECUTION_TIMEOUT": "8000"})
        self.server.wait_up(60)
        self.server.start_worker("vecino")
        hz.wait_for(lambda: [w for w in self.server.workers() if w["status"] == "running"], what="the neighbour runs")

    def neighbour(self):
        """Asks without end; a wrong or late answer is kept."""
        turn = 0
        while not self.ending:
            turn += 1
            started = time.monotonic()
            try:
                answer = hz.request(self.server.port, "POST", "/vecino", {"n": turn}, timeout=30)
                if (answer.status, answer.text) != (200, '{"n":%d}' % turn):
                    self.wrong.append((turn, answer))
            except OSError as problem:
                self.wrong.append((turn, problem))
            self.worst = max(self.worst, time.monotonic() - started)
            self.answers = turn
            time.sleep(0.005)

    def console_of(self, record):
        logs = self.server.call("GET", f"/workers/{record['workerId']}/logs?lines=1000")
        return "\n".join(logs.json["logs"]) if logs.status == 200 else repr(logs)

    def judge(self, kind, texts, record):
        text = str(record.get("error"))
        if record["workflowId"].removeprefix("bad_") in UNSEEN:
            self.assertIn(record["state"], FINAL)
            return
        if kind == "failed":
            self.assertEqual(record["state"], "failed", record)
        elif kind == "crashed":
            self.assertEqual(record["state"], "crashed", record)
        elif kind == "stopped":
            self.assertIn(record["state"], ("timed_out", "failed", "crashed"), record)
        elif kind == "harmless":
            self.assertEqual(record["state"], "success", record)
            text = self.console_of(record)
        else:
            self.assertIn(record["state"], FINAL)
        for part in texts:
            self.assertIn(part, text, record)

    def test_all_of_them_beside_a_neighbour(self):
        self.ending, self.wrong, self.worst, self.answers = False, [], 0.0, 0
        client = threading.Thread(target=self.neighbour)
        client.start()
        time.sleep(0.3)
        base_fds, base_segments = hz.fd_count(self.server.pid), len(hz.segments(self.server.instance))
        slow = []
        try:
            for name, kind, texts in self.rows:
                with self.subTest(name=name, kind=kind):
                    started = time.monotonic()
                    record = self.server.execute(f"bad_{name}", timeout=60 * hz.SLOW)
                    took = time.monotonic() - started
                    if took > 1:
                        slow.append(f"{name} {took:.1f} s")
                    self.judge(kind, texts, record)
                    self.assertEqual(hz.request(self.server.port, "GET", "/health").status, 200)
            hz.wait_for(lambda: [w["workflowId"] for w in self.server.workers()] == ["vecino"], 15,
                        what="only the neighbour is left")
        finally:
            self.ending = True
            client.join()
        print(f"{len(self.rows)} bad nodes; neighbour {self.answers} answers, slowest {self.worst * 1000:.0f} ms; "
              f"took long: {', '.join(slow)}")
        self.assertEqual(self.wrong, [])
        self.assertTrue(self.server.process.running())
        hz.wait_for(lambda: len(hz.segments(self.server.instance)) <= base_segments, 10, what="no segment left")
        hz.wait_for(lambda: hz.fd_count(self.server.pid) <= base_fds + 4, 10, what="no descriptor left")
        self.assertEqual(self.server.stop(), 0)

    def test_with_the_error_output_connected_the_flow_goes_on(self):
        """A failed run is a value: what hangs on `error` runs, and the execution succeeds."""
        for name in ("emits_error_code", "huge_alloc"):
            with self.subTest(name=name):
                result = self.place.run("run", os.path.join(folder(name), "flow_error.json"),
                                        env={"HORIZON_NODES": folder(name)}, timeout=60)
                self.clean_exit(result)
                self.assertTrue(any('"error"' in line for line in result.console), result)


if __name__ == "__main__":
    hz.main()
