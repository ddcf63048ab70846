"""The server executes itself anew in place: under load, to a program that does not fit, with work that takes longer than
the drain, and to a program that cannot go on. HZ_RESTARTS sets how often."""
import http.client
import json
import os
import random
import shutil
import signal
import socket
import threading
import time

import hz

NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")
FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}
RESTARTS = int(os.environ.get("HZ_RESTARTS") or hz.pick(3, 20))
KINDS = [(durability, isolation) for durability in ("none", "execution", "checkpoint")
         for isolation in ("isolated", "resident")]


def slow_flow(name, durability, isolation, delay=0.05, turns=6, interrupt="fail"):
    flow = hz.looping_flow(name, turns, delay)
    flow["properties"]["horizon"] = {"durability": durability, "isolation": isolation}
    if durability != "checkpoint":
        flow["properties"]["horizon"]["onInterrupt"] = interrupt
    return flow


def flows():
    made = {f"{durability}_{isolation}": slow_flow(f"{durability}_{isolation}", durability, isolation) for durability, isolation in KINDS}
    made["quick"] = hz.simple_flow("quick")
    made["hook"] = hz.webhook_flow("hook", "/hook", "post", '{"n": {{input.data.body.n}}}')
    return made


class Load:
    """Clients of three kinds until told to stop: requests with their times, what was accepted, what went wrong."""

    def __init__(self, server):
        self.server, self.stop, self.lock = server, False, threading.Lock()
        self.times, self.accepted, self.wrong, self.connections = [], [], [], {}
        runs = [self.keeps, self.keeps, self.connects, self.submits, self.submits, self.waits]
        self.threads = [threading.Thread(target=self.run, args=(run, number)) for number, run in enumerate(runs)]
        for thread in self.threads:
            thread.start()
        server.place.case.addCleanup(self.join)

    def run(self, run, number):
        turn = number * 1000000
        while not self.stop:
            turn += 1
            begun = time.monotonic()
            try:
                wrong = run(number, turn)
            except (OSError, http.client.HTTPException, ValueError) as error:
                wrong = repr(error)
                self.connections.pop(number, None)
            ended = time.monotonic()
            with self.lock:
                self.times.append((begun, ended - begun))
                if wrong:
                    self.wrong.append((run.__name__, turn, wrong))
            time.sleep(0.002)

    def ask(self, number, path, body):
        """On a connection that stays open."""
        connection = self.connections.setdefault(number, http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30))
        connection.request("POST", path, body=json.dumps(body), headers=self.server.signed)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def keeps(self, number, turn):
        answer = self.ask(number, "/hook", {"n": turn})
        return None if answer == (200, '{"n":%d}' % turn) else answer

    def connects(self, number, turn):
        answer = hz.request(self.server.port, "POST", "/hook", {"n": turn})
        return None if answer.text == '{"n":%d}' % turn else answer

    def submits(self, number, turn):
        time.sleep(0.02)
        name = "_".join(KINDS[turn % len(KINDS)])
        status, text = self.ask(number, f"/api/v1/workflows/{name}/executions", {"data": {"n": turn}})
        if status != 202:
            return status, text
        self.accepted.append((json.loads(text)["executionId"], name))
        return None

    def waits(self, number, turn):
        status, text = self.ask(number, "/api/v1/workflows/quick/executions", {"data": {"n": turn}, "wait": True})
        return None if status == 200 and json.loads(text)["state"] == "success" else (status, text)

    def join(self):
        self.stop = True
        for thread in self.threads:
            thread.join()
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()


class Restart(hz.Case):
    def manager(self, server):
        return server.call("GET", "/manager", expect=200)

    def restart(self, server, *arguments):
        return server.cli("restart", "--manager", "--json", *arguments, timeout=90)

    def script(self, text):
        path = self.place.path("horizon-script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
        return path

    def ends(self, server, accepted, timeout=60):
        """The final state of each, which must not change any more."""
        states = {}

        def all_final():
            for execution, _ in accepted:
                if states.get(execution) not in FINAL:
                    states[execution] = server.execution(execution)["state"]
            return all(states[execution] in FINAL for execution, _ in accepted)

        hz.wait_for(all_final, timeout, 0.1, "every accepted execution ends")
        for execution, _ in accepted:
            self.assertEqual(server.execution(execution)["state"], states[execution])
        return states

    def under_load(self, clusters, restarts=RESTARTS):
        server = hz.Server(self.place, flows=flows(), env={"SERVER_CLUSTERS": clusters})
        quiet = os.getloadavg()[0] < os.cpu_count()  # beside other work a pause is not ours alone
        hook = server.start_worker("hook")
        server.execute("none_resident")
        load = Load(server)
        time.sleep(0.3)
        for number in range(restarts):
            result = self.restart(server)
            self.assertEqual(result.code, 0, repr(result) + server.process.text("err")[-3000:])
            self.assertEqual(json.loads(result.out)["pid"], server.pid)
            self.assertEqual(self.manager(server)["generation"], number + 2)
            time.sleep(0.2)
        load.join()
        self.assertEqual(load.wrong, [], server.process.text("err")[-3000:])
        states = self.ends(server, load.accepted)
        lost = [entry for entry in load.accepted if states[entry[0]] != "success"]
        self.assertEqual(lost, [], server.process.text("err")[-3000:])
        longest = max(took for _, took in load.times)
        print(f"{clusters} shards: {restarts} restarts, {len(load.times)} requests, lost 0, {len(load.accepted)} executions accepted, "
              f"longest pause {longest * 1000:.0f} ms", flush=True)
        if hz.CAMPAIGN and not hz.SANITIZE and quiet:
            self.assertLess(longest, 0.25)
        again = [worker for worker in server.workers() if worker["id"] == hook["id"]]
        self.assertEqual([worker["processId"] for worker in again], [hook["processId"]])
        self.assertEqual(hz.request(hook["port"], "POST", "/hook", {"n": 7}).text, '{"n":7}')
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())
        self.assertEqual(hz.segments(server.instance), [])

    def test_nothing_is_lost_under_load(self):
        self.under_load(1)

    def test_nothing_is_lost_under_load_with_three_shards(self):
        self.under_load(3, hz.pick(2, 20))

    def test_a_program_of_a_newer_layout_is_refused_and_everything_goes_on(self):
        server = hz.Server(self.place, flows=flows())
        hook = server.start_worker("hook")
        load = Load(server)
        newer = os.path.join(hz.BUILD, "bin", "horizon-newer-layout")
        result = self.restart(server, "--to", newer)
        self.assertEqual(result.code, 1, result)
        self.assertIn("layout 3", result.err)
        self.assertIn("nothing was touched", result.err)
        for path, sentence in ((self.script("#!/bin/sh\necho nonsense\n"), "nonsense"), (__file__, "cannot be executed")):
            result = self.restart(server, "--to", path)
            self.assertEqual(result.code, 1, result)
            self.assertIn(sentence, result.err)
        load.join()
        self.assertEqual(load.wrong, [])
        self.assertEqual(self.manager(server)["generation"], 1)
        self.assertEqual([worker["processId"] for worker in server.workers() if worker["id"] == hook["id"]], [hook["processId"]])
        answer = server.call("POST", "/manager/restart", {})
        self.assertEqual(answer.status, 403, answer)  # over TCP nobody says which program runs

    def test_an_exec_that_fails_is_called_off(self):
        server = hz.Server(self.place, flows=flows())
        layout = self.manager(server)["layout"]
        server.start_worker("hook")
        load = Load(server)
        time.sleep(0.2)
        result = self.restart(server, "--to", self.script(f'#!/bin/sh\necho "{layout}"\nrm "$0"\n'))
        self.assertEqual(result.code, 1, result)
        self.assertIn("goes on as it was", result.err, server.process.text("err")[-3000:])
        time.sleep(0.2)
        load.join()
        self.assertEqual(load.wrong, [], server.process.text("err")[-2000:])
        self.assertEqual(set(self.ends(server, load.accepted).values()), {"success"})
        self.assertEqual(self.manager(server)["generation"], 1)
        self.clean_exit(self.restart(server))  # and the next one does it
        self.assertEqual(self.manager(server)["generation"], 2)

    def test_what_takes_longer_than_the_drain_goes_on_and_can_be_asked_for(self):
        late = hz.webhook_flow("late", "/late", "get", before=lambda f: (f.node("delay", "Espera", delay=3), "response"))
        server = hz.Server(self.place, flows={"late": late, "long": slow_flow("long", "none", "isolated", 0.3, 10)})
        server.start_worker("late")
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(hz.request(server.port, "GET", "/late"))),
                  threading.Thread(target=lambda: answers.append(server.call("POST", "/workflows/long/executions", {"wait": True})))]
        for thread in asking:
            thread.start()
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(f"POST /api/v1/workflows/long/executions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
                     "Content-Length: 100\r\n\r\n{".encode())
        hz.wait_for(lambda: len(server.call("GET", "/executions?state=running", expect=200)["executions"]) >= 2, what="both run")
        running = {row["workflowId"]: row["id"] for row in server.call("GET", "/executions?state=running", expect=200)["executions"]
                   if row["trigger"] in ("webhook", "api", "manual")}
        self.clean_exit(self.restart(server, "--drain", "0"))
        for thread in asking:
            thread.join()
        half.settimeout(10)
        text = half.recv(4096).decode()
        half.close()
        self.assertIn("HTTP/1.1 503", text)
        self.assertIn("Retry-After:", text)
        self.assertEqual(sorted(answer.status for answer in answers), [504, 504], answers)
        named = [answer.json["executionId"] for answer in answers if "executionId" in answer.json]
        self.assertEqual(named, [running["late"]])
        for execution in running.values():
            self.assertEqual(server.execution(execution)["state"], "running")
        self.assertEqual(set(self.ends(server, [(execution, "") for execution in running.values()], 20).values()), {"success"})

    def test_what_waits_waits_on(self):
        one = slow_flow("one", "none", "isolated", 0.1, 4)
        one["properties"]["horizon"]["concurrency"] = 1
        server = hz.Server(self.place, flows={"one": one})
        accepted = [(server.execute("one", wait=False)["executionId"], "one") for _ in range(5)]
        delayed = server.call("POST", "/workflows/one/executions", {"delayMs": 1500}, expect=202)["executionId"]
        self.clean_exit(self.restart(server))
        rows = [server.execution(execution) for execution, _ in accepted]
        self.assertIn("queued", [row["state"] for row in rows])
        self.assertEqual(server.execution(delayed)["state"], "waiting")
        states = self.ends(server, accepted + [(delayed, "one")])
        self.assertEqual(set(states.values()), {"success"})
        self.assertEqual({server.execution(execution)["attempt"] for execution in states}, {1})

    def write(self, server, name, content):
        """A file of the data directory, whole at once."""
        path = os.path.join(server.data, name)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        os.chmod(path + ".new", 0o600)
        os.rename(path + ".new", path)

    def test_a_file_that_a_start_would_not_do_with_refuses_the_restart(self):
        hook = hz.webhook_flow("hook", "/hook", "post", '{"n": {{input.data.body.n}}}')
        reads = hz.Flow("lee")
        reads.chain(reads.node("workflow_init", "Inicio"), "init", reads.node("reads_file", "Lee", path="/etc/hostname"))
        reads.json["properties"]["horizon"] = {"isolation": "resident"}
        granted = {"workflows": {"lee": {"fs:read": ["/etc"]}}}
        self.place.write("data/policy.json", granted)
        os.chmod(self.place.path("data/policy.json"), 0o600)
        server = hz.Server(self.place, flows={"hook": hook, "lee": reads.json},
                           env={"HORIZON_NODES": NODES, "HORIZON_RESTART_AFTER": 10})
        worker = server.start_worker("hook")
        process = next(w["processId"] for w in server.workers() if w["id"] == worker["id"])

        def goes_on(*words):
            result = self.restart(server)
            self.assertEqual(result.code, 1, result)
            for word in words:
                self.assertIn(word, result.err)
            self.assertTrue(server.process.running())
            self.assertEqual(self.manager(server)["generation"], 1)
            self.assertEqual(hz.request(server.port, "POST", "/hook", {"n": 3}).text, '{"n":3}')
            self.assertIn(process, [w["processId"] for w in server.workers()])

        for broken, sentence in (({"rules": {"disk": {"raise": 300}}}, "rules.disk.raise is 300"), ("{", "alerts.json")):
            self.write(server, "alerts.json", broken)
            goes_on("nothing was touched", sentence)
        self.write(server, "alerts.json", {})
        self.write(server, "policy.json", {"nodes": {"reads_file": {"fs:reed": ["/x"]}}})
        goes_on("nothing was touched", "fs:reed")
        self.write(server, "policy.json", granted)

        for _ in range(5):
            self.assertEqual(server.execute("lee")["state"], "success")
            pid = next(w["processId"] for w in server.workers() if w["workflowId"] == "lee")
            os.kill(pid, signal.SIGKILL)
            hz.wait_for(lambda pid=pid: pid not in [w["processId"] for w in server.workers()], what="its end")
        hz.wait_for(lambda: os.path.exists(os.path.join(server.data, "parked.json")), what="it is parked")
        self.write(server, "policy.json", {})
        goes_on("workflow lee, which is parked, cannot be loaded any more: release that first", "fs:read")
        self.clean_exit(server.cli("release", "lee"))
        self.clean_exit(self.restart(server))
        self.assertEqual(self.manager(server)["generation"], 2)
        self.assertIn(process, [w["processId"] for w in server.workers()])
        self.assertEqual(server.stop(), 0)

    def test_sigterm_at_any_moment_of_a_restart_ends_the_server_in_order(self):
        flow = hz.webhook_flow("hook", "/hook", "post", '{"n": {{input.data.body.n}}}')
        data = self.place.path("data")
        for turn in range(10):
            server = hz.Server(self.place, data=data, flows=None if turn else {"hook": flow})
            server.start_worker("hook")
            family = server.process.family() - {server.pid}
            body = b"{}"
            link = socket.socket(socket.AF_UNIX)
            link.connect(server.socket)
            link.sendall(b"POST /api/v1/manager/restart HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            wait = random.uniform(0, 0.15) * min(hz.SLOW, 4)
            time.sleep(wait)
            self.assertEqual(server.stop(30), 0, f"{wait * 1000:.1f} ms\n" + server.process.text()[-3000:])
            link.close()
            hz.wait_for(lambda family=family: not any(hz.alive(pid) for pid in family), what="the workers are gone, too")
            self.assertEqual(hz.segments(server.instance), [])

    def test_what_waits_for_room_in_a_workers_ring_is_sent_after_it(self):
        flow = hz.simple_flow("eco", '{"n": {{input.data.data.n}}}')
        flow["properties"]["horizon"] = {"isolation": "resident", "durability": "none", "segmentBytes": 131072}
        server = hz.Server(self.place, flows={"eco": flow})
        self.assertEqual(server.execute("eco", {"n": 0})["state"], "success")
        worker = next(w for w in server.workers() if w["workflowId"] == "eco")
        os.kill(worker["processId"], signal.SIGSTOP)
        try:
            accepted = [(server.execute("eco", {"n": n, "x": "x" * 50000}, wait=False)["executionId"], "eco") for n in range(20)]
            self.clean_exit(self.restart(server, "--drain", "0"))
            self.assertEqual({server.execution(execution)["state"] for execution, _ in accepted}, {"running"})
        finally:
            os.kill(worker["processId"], signal.SIGCONT)
        self.assertEqual(set(self.ends(server, accepted, 10).values()), {"success"})
        self.assertIn(worker["processId"], [w["processId"] for w in server.workers()])
        self.assertEqual(server.stop(), 0)

    def test_nobody_the_next_image_starts_has_what_was_handed_over(self):
        folder = self.place.path("nodes")
        os.makedirs(folder)
        shutil.copy(os.path.join(NODES, "sees_descriptors.so"), folder)
        server = hz.Server(self.place, flows=flows(), env={"HORIZON_NODES": folder})
        server.start_worker("hook")
        server.execute("none_resident")

        def seen():
            return server.call("GET", "/nodes/sees_descriptors", expect=200)["info"]["name"]

        self.assertEqual(seen(), "0 open")
        self.clean_exit(self.restart(server))
        self.assertEqual(seen(), "0 open")
        self.assertEqual(server.stop(), 0)

    def test_an_alert_under_way_is_delivered_first(self):
        log = self.place.path("told.log")
        command = {"argv": ["/bin/sh", "-c", f"echo begun >> {log}; sleep 0.3; echo done >> {log}"]}
        self.place.write("data/alerts.json", {"command": command})
        os.chmod(self.place.path("data/alerts.json"), 0o600)
        server = hz.Server(self.place, flows=flows())
        layout = self.manager(server)["layout"]

        def lines():
            return open(log, encoding="ascii").read().split() if os.path.exists(log) else []

        # The first is called off, so that the counts can be asked for.
        gone = self.script(f'#!/bin/sh\necho "{layout}"\nrm "$0"\n')
        for turn, program in ((1, ("--to", gone)), (2, ())):
            server.call("POST", "/alerts/test", {"rule": "disk"}, expect=202)
            hz.wait_for(lambda turn=turn: lines().count("begun") == turn, what="the command runs")
            self.clean_exit(self.restart(server, *program), 1 if program else 0)
            self.assertEqual(lines(), ["begun", "done"] * turn)
            target = server.call("GET", "/alerts", expect=200)["targets"][0]
            self.assertEqual((target["sent"], target["failed"]), (1 if program else 0, 0), target)  # counts are an image's own
        self.assertEqual(server.stop(), 0)

    def test_an_image_that_cannot_go_on_ends_and_the_next_start_recovers(self):
        server = hz.Server(self.place, flows={"again": slow_flow("again", "execution", "isolated", 0.2, 5, "restart")})
        layout = self.manager(server)["layout"]
        accepted = [(server.execute("again", wait=False)["executionId"], "again") for _ in range(3)]
        hz.wait_for(lambda: all(server.execution(e)["state"] == "running" for e, _ in accepted), what="they run")
        workers = [worker["processId"] for worker in server.workers()]
        program = self.script(f'#!/bin/sh\ntest "$1" = --layout-version && echo "{layout}" && exit 0\nexit 3\n')
        self.assertEqual(self.restart(server, "--to", program).code, 1)
        self.assertEqual(server.process.wait(10), 3)
        hz.wait_for(lambda: not any(hz.alive(pid) for pid in workers), what="the workers follow it")
        after = hz.Server(self.place, data=server.data)
        self.assertEqual(set(self.ends(after, accepted).values()), {"success"})


if __name__ == "__main__":
    hz.main()
