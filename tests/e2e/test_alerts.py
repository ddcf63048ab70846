"""Alerts: each rule really raised, told to log, store, web hook and command, silenced, cleared, also across a kill."""
import http.server
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

import hz
import openapi

BAD = os.path.join(hz.BUILD, "tests", "badnodes")
# Times of a test, not of a host: raised and cleared at once.
FAST = {"worker-down": {"clearFor": 0}, "memory": {"raise": 80, "clear": 70, "clearFor": 0},
        "queue-age": {"raise": 1, "clear": 0.5, "clearFor": 0},
        "error-rate": {"raise": 50, "clear": 40, "least": 4, "clearFor": 0}, "disk": {"for": 0, "clearFor": 0},
        "store-lag": {"raise": 1, "clear": 0.5, "clearFor": 0}, "store-degraded": {"clearFor": 0},
        "recovery": {"clearFor": 0}}


class Targets:
    """A web hook's server and a command, both of which keep what they are told."""

    def __init__(self, case, place):
        heard = self.heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        case.addCleanup(self.server.server_close)
        case.addCleanup(self.server.shutdown)
        self.log = place.path("told.log")
        self.program = place.write("tell.sh", '#!/bin/sh\ncat >> "$1"\necho >> "$1"\n')
        os.chmod(self.program, 0o700)

    def config(self, rules=None, **more):
        return {"rules": rules or FAST, "webhook": {"url": f"http://127.0.0.1:{self.server.server_port}/alerts"},
                "command": {"argv": [self.program, self.log]}, **more}

    def told(self):
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            return [json.loads(line) for line in file.read().splitlines() if line.endswith("}")]


def write_config(data, config):
    os.makedirs(data, mode=0o700, exist_ok=True)
    path = os.path.join(data, "alerts.json")
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(config, file)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


def is_about(alert, rule, subject):
    return alert["rule"] == rule and alert["subject"] == subject


class Case(openapi.Case):
    def serve(self, flows=None, data=None, rules=None, **options):
        data = data or self.place.path("data")
        self.targets = Targets(self, self.place)
        write_config(data, self.targets.config(rules))
        return hz.Server(self.place, flows=flows, data=data, **options)

    def active(self, server, rule, subject):
        active = server.call("GET", "/alerts", expect=200)["alerts"]
        return next((a for a in active if is_about(a, rule, subject)), None)

    def raised(self, server, rule, subject, seconds=10):
        return hz.wait_for(lambda: self.active(server, rule, subject), seconds, what=f"{rule} {subject} is raised")

    def cleared(self, server, rule, subject, seconds=15):
        hz.wait_for(lambda: not self.active(server, rule, subject), seconds, what=f"{rule} {subject} is cleared")

    def heard(self, event, rule, subject):
        """Every target outside heard of it, and heard the same."""
        def matching(list_of):
            return [a for a in list_of if is_about(a, rule, subject) and a["event"] == event]

        hz.wait_for(lambda: matching(self.targets.heard) and matching(self.targets.told()), 10,
                    what=f"the targets heard of {rule} {subject} {event}")
        self.assertEqual(matching(self.targets.heard), matching(self.targets.told()))
        return matching(self.targets.heard)[-1]

    def check(self, server, rule, subject, level, *words):
        told = self.heard("raised", rule, subject)
        self.assertEqual((told["level"], told["test"]), (level, False))
        for word in words:
            self.assertIn(word, told["text"])
        self.assertTrue(told["look"].startswith("look first at "), told)
        hz.logged(server.process, f"alert raised: {rule}, {subject}: ")
        print(f"{rule}, {subject}: {told['text']}")

    def history(self, server, rule, subject):
        kept = server.call("GET", "/alerts?state=all&limit=1000", expect=200)["alerts"]
        return [a for a in kept if is_about(a, rule, subject)]


class Rules(Case):
    def test_workers_and_workflows(self):
        """worker-down, parked, memory, queue-age, error-rate; each in the store with its end."""
        slow = hz.Flow("lenta")
        slow.chain(slow.node("workflow_init", "Inicio"), "init", slow.node("delay", "Espera", delay=2.5))
        slow.json["properties"]["horizon"] = {"concurrency": 1}
        leak = hz.Flow("fuga")
        leak.chain(leak.node("workflow_init", "Inicio"), "init", leak.node("bad_leaks", "Malo"), "response",
                   leak.node("console_output", "Consola"))
        leak.json["properties"]["horizon"] = {"isolation": "isolated",
                                              "limits": {"memory": (700 if hz.SANITIZE else 64) << 20}}
        flows = {"cae": hz.webhook_flow("cae", "/cae"), "lenta": slow.json, "fuga": leak.json,
                 "falla": hz.simple_flow("falla", '{"n": {{input.data.data.n.x}}}')}
        data = self.place.path("data")
        os.makedirs(data, mode=0o700)
        if not hz.CAMPAIGN:  # the five ends that park it take 15 seconds: in the campaign they are real
            with open(os.path.join(data, "parked.json"), "w", encoding="utf-8") as file:
                json.dump({"otra": {"reason": "SIGSEGV in node Malo", "crashId": "", "since": 1}}, file)
        server = self.serve(flows, data=data, env={"HORIZON_NODES": os.path.join(BAD, "leaks")})
        worker = server.start_worker("cae")
        for _ in range(2):
            server.execute("lenta", wait=False)
        server.execute("fuga", wait=False)
        for _ in range(4):
            self.assertEqual(server.execute("falla")["state"], "failed")
        os.kill(worker["processId"], signal.SIGKILL)

        self.check(server, "worker-down", "workflow:cae", "warning", "SIGKILL")
        self.check(server, "queue-age", "workflow:lenta", "warning", "1 executions of lenta wait", "the oldest for ")
        self.check(server, "error-rate", "workflow:falla", "warning", "4 of 4 executions of falla", "100.0 %")
        for _ in range(8):
            self.assertEqual(server.execute("falla", {"n": {"x": 1}})["state"], "success")
        self.check(server, "memory", "workflow:fuga", "warning", "MB", "fuga")
        if hz.CAMPAIGN:
            for _ in range(4):
                pid = hz.wait_for(lambda: next((w["processId"] for w in server.workers() if w["status"] == "running"
                                                and w["workflowId"] == "cae"), None), 30, what="the next worker")
                os.kill(pid, signal.SIGKILL)
                hz.wait_for(lambda: all(w["processId"] != pid for w in server.workers()), 10, what="its end")
        parked = "cae" if hz.CAMPAIGN else "otra"
        self.check(server, "parked", f"workflow:{parked}", "critical", f"{parked} is parked")
        self.clean_exit(server.cli("release", parked))
        if hz.CAMPAIGN:
            server.start_worker("cae")
        ends = (("parked", parked), ("worker-down", "cae"), ("queue-age", "lenta"), ("memory", "fuga"),
                ("error-rate", "falla"))
        for rule, name in ends:
            self.cleared(server, rule, f"workflow:{name}", 25)
            told = self.heard("cleared", rule, f"workflow:{name}")
            self.assertGreater(told["clearedAt"], told["raisedAt"])
            kept = self.history(server, rule, f"workflow:{name}")
            self.assertTrue(kept and kept[0]["clearedAt"], kept)
        shown = server.cli("alerts", "list", "--all")
        self.clean_exit(shown)
        for rule, name in ends:
            self.assertIn(f"workflow:{name}", shown.out)
        newest = server.call("GET", "/alerts?state=all&limit=2", expect=200)["alerts"]
        self.assertEqual(len(newest), 2)
        self.assertEqual(server.call("GET", "/alerts?state=some").status, 400)
        self.assertEqual(server.stop(), 0)

    def test_a_full_disk_and_a_store_that_cannot_write(self):
        data = self.place.path("data")
        os.makedirs(data)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", data],
                                 capture_output=True)
        if mounted.returncode:
            raise unittest.SkipTest("mounting a small file system is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", data], capture_output=True)
        flow = hz.simple_flow("eco")
        server = self.serve({"eco": flow}, data=data)
        server.execute("eco")
        filler = os.path.join(data, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        self.check(server, "disk", "data", "critical", "0.0 of 16.0 MB are left")
        # Whoever needs the disk is refused, and that the store is behind is told although it cannot keep it.
        big = {"data": {"x": "y" * 200000}}
        hz.wait_for(lambda: server.call("POST", "/workflows/eco/executions", big).status == 503, 10,
                    what="one is refused")
        self.check(server, "store-degraded", "store", "critical", "cannot write")
        self.check(server, "store-lag", "store", "warning", "s old")
        os.unlink(filler)
        for rule, subject in (("store-degraded", "store"), ("store-lag", "store"), ("disk", "data")):
            self.cleared(server, rule, subject)
            self.heard("cleared", rule, subject)
            self.assertEqual(len(self.history(server, rule, subject)), 1)
        self.assertEqual(server.stop(), 0)

    def test_the_host_and_the_shared_memory_are_looked_at(self):
        """Thresholds that every host is above; the file that switches the rules off again clears them."""
        low = {"memory": {"raise": 0.001}, "disk": {"raise": 0.001, "for": 0}}
        server = self.serve(rules=low)
        self.check(server, "memory", "host", "warning", "of the host's memory is in use")
        self.check(server, "disk", "/dev/shm", "critical", "of the file system of /dev/shm is in use")
        write_config(server.data, self.targets.config({rule: {"enabled": False} for rule in low}))
        for rule, subject in (("memory", "host"), ("disk", "/dev/shm")):
            self.cleared(server, rule, subject)
            self.heard("cleared", rule, subject)
        self.assertEqual(server.stop(), 0)


class Silence(Case):
    def test_silence_survives_a_kill_and_the_recovery_is_told(self):
        """Of a rule and of a subject; kept and listed, nobody is told; after it the targets hear what they missed."""
        flow = hz.webhook_flow("cae", "/cae")
        flow["properties"]["horizon"] = {"restart": "never"}  # so it stays down
        long = hz.Flow("larga")
        long.chain(long.node("workflow_init", "Inicio"), "init", long.node("delay", "Espera", delay=60))
        server = self.serve({"cae": flow, "larga": long.json})
        run = server.execute("larga", wait=False)["executionId"]
        hz.wait_for(lambda: server.execution(run)["state"] == "running", 10, what="it runs")
        said = server.cli("alerts", "silence", "worker-down", "workflow:cae", "--for", "60")
        self.clean_exit(said)
        self.assertIn("worker-down, workflow:cae: silent until ", said.out)
        server.call("POST", "/alerts/silence", {"rule": "parked", "minutes": 5}, expect=200)
        server.process.family()
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(10)
        self.assertFalse([a for a in self.targets.heard if a["rule"] == "recovery"])
        again = hz.Server(self.place, data=server.data)
        self.check(again, "recovery", "manager", "info", "1 executions open", "1 are interrupted")
        kept = {(s["rule"], s["subject"]) for s in again.call("GET", "/alerts", expect=200)["silences"]}
        self.assertEqual(kept, {("worker-down", "workflow:cae"), ("parked", None)})
        os.kill(again.start_worker("cae")["processId"], signal.SIGKILL)
        alert = self.raised(again, "worker-down", "workflow:cae")
        self.assertIsNotNone(alert["silencedUntil"])
        self.assertIn("workflow:cae", again.cli("alerts").out)
        again.call("POST", "/alerts/test", {"rule": "worker-down"}, expect=202)
        self.heard("raised", "worker-down", "test")  # whatever was told before it has been heard, too
        heard = self.targets.heard + self.targets.told()
        self.assertFalse([a for a in heard if is_about(a, "worker-down", "workflow:cae")])
        self.clean_exit(again.cli("alerts", "unsilence", "worker-down", "workflow:cae"))
        self.heard("raised", "worker-down", "workflow:cae")
        again.start_worker("cae")
        self.cleared(again, "worker-down", "workflow:cae")
        self.heard("cleared", "worker-down", "workflow:cae")
        self.cleared(again, "recovery", "manager")
        silence = {"rule": "worker-down", "subject": "workflow:cae"}
        self.assertEqual(again.call("POST", "/alerts/unsilence", silence).status, 404)
        self.assertEqual(again.stop(), 0)
        with sqlite3.connect(os.path.join(server.data, "horizon.db")) as db:
            count = db.execute("SELECT COUNT(*) FROM alerts WHERE level = 0 AND cleared_ms = 0").fetchone()
        self.assertEqual(count, (1,))

    def test_what_is_asked_wrongly_is_refused_in_words(self):
        server = self.serve()
        for body, word in (({"rule": "disc", "minutes": 1}, "expected one of worker-down"), ({"minutes": 1}, "rule is"),
                           ({"rule": "disk"}, "minutes"), ({"rule": "disk", "minutes": 0}, "minutes"),
                           ({"rule": "disk", "minutes": 1, "subject": 7}, "subject")):
            answer = server.call("POST", "/alerts/silence", body)
            self.assertEqual(answer.status, 400, body)
            self.assertIn(word, answer.json["detail"])
        for arguments in (("silence", "disk"), ("silence",), ("test",), ("list", "disk"), ("quiet", "disk"),
                          ("test", "disk", "--for", "3"), ("silence", "disk", "--for", "0")):
            self.assertEqual(server.cli("alerts", *arguments).code, 2, arguments)
        self.assertEqual(server.cli("alerts", "test", "disc").code, 1)
        self.assertEqual(server.stop(), 0)


class Delivery(Case):
    def test_a_test_reaches_every_target_and_targets_that_fail_are_shown(self):
        server = self.serve()
        self.clean_exit(server.cli("alerts", "silence", "disk", "--for", "5"))  # a test is for hearing
        self.clean_exit(server.cli("alerts", "test", "disk"))
        told = self.heard("raised", "disk", "test")
        self.assertTrue(told["test"])
        self.assertIn("nothing is wrong", told["text"])
        hz.logged(server.process, "alert test: disk, test: ")
        kept = hz.wait_for(lambda: self.history(server, "disk", "test"), 5, what="it is kept")
        self.assertTrue(kept[0]["clearedAt"])

        # Another file: read within a second or two. A command that hangs is killed with what it started.
        hangs = {"argv": ["/bin/sh", "-c", "sleep 97 & sleep 98"], "timeout": 500}
        write_config(server.data, {"rules": FAST, "command": hangs})
        hz.logged(server.process, "was read again")
        server.call("POST", "/alerts/test", {"rule": "disk"}, expect=202)

        def targets():
            return server.call("GET", "/alerts", expect=200)["targets"]

        hz.wait_for(lambda: targets()[0]["failed"] == 1, 10, what="the command is given up")
        target = targets()[0]
        self.assertEqual(target["target"], "command")
        self.assertIn("did not end within 500 ms and was killed", target["lastError"])

        def sleepers():
            table = hz.proc_table()
            return [pid for pid in hz.descendants(server.pid) if pid in table and table[pid][1] in ("sleep", "sh")]

        hz.wait_for(lambda: not sleepers(), 10, what="nothing of it is left")
        write_config(server.data, {"rules": FAST, "command": {"argv": ["/bin/false"]},
                                   "webhook": {"url": "http://127.0.0.1:1/", "timeout": 200}})
        hz.wait_for(lambda: len(targets()) == 2, 10, what="the next file is read")
        server.call("POST", "/alerts/test", {"rule": "disk"}, expect=202)
        hz.wait_for(lambda: targets()[1]["failed"] == 2, 10, what="the command failed")
        self.assertIn("/bin/false ended with code 1", targets()[1]["lastError"])

        # A file that is wrong changes nothing while the server runs, and keeps it from starting.
        write_config(server.data, {"rules": {"disk": {"raise": 300}}})
        hz.logged(server.process, "alerts.json: rules.disk.raise is 300, expected a number from 0.001 to 100")
        hz.logged(server.process, "what held before holds on")
        self.assertEqual(len(targets()), 2)
        started = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - started, 8 * hz.SLOW)  # a hook that is being tried again does not hold it up
        refused = self.place.run("serve", "--data", server.data, env=server.env)
        self.assertEqual(refused.code, 1)
        self.assertIn("alerts.json: rules.disk.raise is 300, expected a number", refused.err)


if __name__ == "__main__":
    hz.main()
