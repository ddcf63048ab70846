"""A worker that runs an enemy's code: what it tries, what stops it, what it costs an innocent workflow beside it.

Quick: each attack once, containment only. As a campaign: ten minutes, and the neighbour's speed beside each attack is
measured against its speed beside an honest worker that computes as long.
"""
import json
import os
import statistics
import threading
import time

import hz

NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")
# attack -> what stops it. None of these may report that anything worked.
REFUSED = {
    "signals": "seccomp: kill, tkill, queued signals, pidfd of others", "owner": "seccomp: owner and signal of a descriptor",
    "limits": "seccomp: prlimit, affinity, priority, death signal", "becoming": "seccomp: change of user, chmod",
    "fork_bomb": "seccomp: fork, vfork, execve", "thread_bomb": "limit of tasks of the worker's user",
    "shared_memory": "seccomp and Landlock: /dev/shm", "files": "seccomp and Landlock: files, /proc of others",
    "sockets": "seccomp: sockets", "code": "seccomp: executable memory"}
# What it may do to its own worker; the manager must live through it.
OWN = {"descriptors": "none of the segment is open; seccomp: ftruncate; noise in its own pipes ends it", "rings": "checks of every record; worker poisoned and killed", "records": "checks of every record; worker poisoned and killed",
       "holes": "zeros are checked like any bytes", "lines": "bounded backlog: the worker waits",
       "memory_bomb": "seccomp: shared memory, memfd; its own heap up to the workflow's limit"}
# The filter ends the worker and names the call.
TRAPPED = {name: "seccomp trap: the worker ends" for name in
           ("ptrace", "vm_write", "io_uring", "bpf", "mount", "namespace", "take_fd")}


def attack_flow(name, server_port, data, ms):
    made = hz.Flow("ataca_" + name)
    made.chain(made.node("workflow_init", "Inicio"), "init",
               made.node("attacker", "Malo", attack=name, path=data, port=server_port, ms=ms), "response",
               made.node("console_output", "Consola"))
    return made.json


class Hostile(hz.Case):
    def setUp(self):
        super().setUp()
        self.ms = hz.pick(100, 500)
        self.names = [*REFUSED, *OWN, *TRAPPED]
        self.server = hz.Server(self.place, env={"HORIZON_NODES": NODES})
        flows = {"ataca_" + name: attack_flow(name, self.server.port, self.server.data, self.ms) for name in [*self.names, "burn"]}
        flows["vecino"] = hz.webhook_flow("vecino", "/vecino", "post", '{"n": {{input.data.body.n}}}')
        for name, flow in flows.items():
            self.server.call("PUT", "/workflows/" + name, flow, expect=200)
        self.server.start_worker("vecino")
        hz.wait_for(lambda: [w for w in self.server.workers() if w["status"] == "running"], what="the neighbour runs")

    def neighbour(self):
        """One client without end; self.answered counts."""
        import http.client
        link, turn = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30), 0
        while not self.ending:
            turn += 1
            try:
                link.request("POST", "/vecino", json.dumps({"n": turn}), {"Content-Type": "application/json"})
                answer = link.getresponse()
                text = answer.read().decode()
                if (answer.status, text) != (200, '{"n":%d}' % turn):
                    self.wrong.append((turn, answer.status, text))
            except OSError as problem:
                self.wrong.append((turn, repr(problem)))
                link.close()
            self.answered += 1

    def run_for(self, name, seconds):
        """Attacks again and again; answers a second of the neighbour meanwhile, and the executions' records."""
        records, began, first = [], time.monotonic(), self.answered
        while True:
            records.append(self.server.execute("ataca_" + name, timeout=60 * hz.SLOW))
            if time.monotonic() - began >= seconds:
                break
        return (self.answered - first) / (time.monotonic() - began), records

    def compare(self, name, seconds):
        """Slices of attack and of honest company by turns, so that a change of the machine meets both. Median of the pairs' ratios."""
        ratios, records, end = [], [], time.monotonic() + seconds
        while not ratios or time.monotonic() < end:
            honest = self.run_for("burn", 1)[0]
            rate, more = self.run_for(name, 1)
            records += more
            ratios.append(rate / honest if honest else float("inf"))
        return statistics.median(ratios), records

    def result_of(self, record):
        answer = self.server.call("GET", f"/workers/{record['workerId']}/logs?lines=50")
        logs = answer.json["logs"] if answer.status == 200 else []  # of the last 256 that died
        return next((json.loads(line[line.index('{"'):]) for line in logs if '"tried"' in line), None)

    def judge(self, name, record):
        said = self.result_of(record)
        if name in TRAPPED:
            self.assertEqual(record["state"], "crashed", (name, record))
            return "worker ended"
        if name in REFUSED:
            self.assertEqual(record["state"], "success", (name, record))
            if name == "thread_bomb" and os.geteuid() != 0:
                return json.dumps(said)
            self.assertIsNotNone(said, name)
            self.assertEqual(said["worked"], 0, (name, said))
            self.assertGreater(said["tried"], 0)
            return f"{said['tried']} tried, 0 worked, {os.strerror(said['errno'])}"
        self.assertIn(record["state"], ("success", "failed", "crashed", "interrupted"), (name, record))
        if name == "descriptors" and said:
            self.assertEqual(said["worked"], 0, said)
        return record["state"] if not said else f"{said['tried']} tried, {record['state']}"

    def test_a_flood_of_lines_waits_in_the_worker_and_costs_no_memory(self):
        self.server.call("PUT", "/workflows/ataca_largo",
                         {**attack_flow("lines", self.server.port, self.server.data, 1500)}, expect=200)
        most, ended = 0, []
        flood = threading.Thread(target=lambda: ended.append(self.server.execute("ataca_largo", timeout=60 * hz.SLOW)))
        began = time.monotonic()
        flood.start()
        while flood.is_alive():
            for worker in self.server.workers():
                if worker["workflowId"] == "ataca_largo":
                    most = max(most, (hz.status_value(worker["processId"], "VmRSS") or 0) << 10)
            self.assertEqual(hz.request(self.server.port, "POST", "/vecino", {"n": 1}).text, '{"n":1}')
        flood.join()
        said = self.result_of(ended[0])
        self.assertEqual((ended[0]["state"], said["worked"]), ("success", 0))
        self.assertGreater(most, 0)
        self.assertLess(most, (64 << 20) if not hz.SANITIZE else (1 << 30))
        self.assertLess(time.monotonic() - began, 10 * hz.SLOW)  # not as long as an unbounded backlog would take

    def test_what_is_tried_what_stops_it_and_what_it_costs(self):
        self.ending, self.wrong, self.answered = False, [], 0
        client = threading.Thread(target=self.neighbour)
        client.start()
        seconds = hz.pick(0, float(os.environ.get("HZ_HOSTILE_SECONDS", "600")) / len(self.names))
        rows, ratios = [], []
        try:
            for name in self.names:
                with self.subTest(attack=name):
                    ratio, records = self.compare(name, seconds) if seconds else (float("nan"), self.run_for(name, 0)[1])
                    for record in records:
                        outcome = self.judge(name, record)
                    ratios.append(ratio)
                    stops = {**REFUSED, **OWN, **TRAPPED}[name]
                    rows.append(f"{name:14} {len(records):5} runs  {outcome:45} {ratio:5.2f}  {stops}")
                    self.assertEqual(hz.request(self.server.port, "GET", "/health").status, 200)
        finally:
            self.ending = True
            client.join()
        print("\n".join(["attack, runs, what came of it, neighbour's speed against honest company, what stopped it", *rows]))
        self.assertEqual(self.wrong[:3], [])
        self.assertTrue(self.server.process.running())
        report = f"=={self.server.pid}==ERROR"  # the manager's own; what the attacker does to its worker is its affair
        self.assertNotIn(report, self.server.process.text("err"))
        hz.wait_for(lambda: [w["workflowId"] for w in self.server.workers()] == ["vecino"], 15, what="only the neighbour is left")
        if seconds:
            print(f"neighbour: median {statistics.median(ratios):.2f}, lowest {min(ratios):.2f} of its speed beside an honest worker")
            self.assertGreaterEqual(min(ratios), 0.8, rows)
        self.assertEqual(self.server.stop(), 0)


if __name__ == "__main__":
    hz.main()
