"""What the manager says of workers that do not get on, of those that died, and what it does about them."""
import json
import os
import signal
import time

import hz
import openapi

PLACE = os.path.join(hz.BUILD, "tests", "badnodes")
NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")
EXEC = os.geteuid() == 0 and not hz.SANITIZE
EXEC_WHY = "needs root" if os.geteuid() else "the sanitizer's child wants to read files of its own"


def bad_flow(node, resident=False, **settings):
    """init -> the bad node -> console, with properties.horizon."""
    flow = hz.Flow(f"malo_{node}")
    flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node(f"bad_{node}", "Malo"), "response",
               flow.node("console_output", "Consola"))
    flow.json["properties"]["horizon"] = {"isolation": "resident" if resident else "isolated", **settings}
    return flow.json


def acting(name, kind, resident=False, limits=None, **properties):
    """init -> a node of the tests -> console."""
    flow = hz.Flow(name)
    flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node(kind, "Malo", **properties), "response", flow.node("console_output", "Consola"))
    flow.json["properties"]["horizon"] = {"isolation": "resident" if resident else "isolated", "limits": limits or {}}
    return flow.json


def grant(place, *names):
    """Lets these flows run programs."""
    os.chmod(place.dir, 0o755)
    os.chmod(place.write("data/policy.json", {"workflows": {name: {"exec": ["/bin/sh", "/bin/sleep", "/usr/bin/sleep"]} for name in names}}), 0o600)


def nodes(*names):
    return {"HORIZON_NODES": ":".join(os.path.join(PLACE, name) for name in names)}


class Progress(openapi.Case):
    def progress(self, server, workflow):
        for worker in server.workers():
            if worker["workflowId"] == workflow:
                return worker["progress"]
        return {"state": "none"}

    def until(self, server, workflow, state, seconds=15):
        started = time.monotonic()
        found = hz.wait_for(lambda: self.progress(server, workflow) if self.progress(server, workflow)["state"] == state
                            else None, seconds, what=f"{workflow} is {state}")
        print(f"{workflow}: {state} after {time.monotonic() - started:.1f} s: {found}")
        return found

    def test_blocked_and_stuck_are_named_with_their_node_and_nothing_runs_twice(self):
        flows = {name: bad_flow(name, resident=True, threads=1) for name in ("infinite_run", "deadlock")}
        flows["quieto"] = hz.webhook_flow("quieto", "/quieto")
        server = hz.Server(self.place, flows=flows, env={**nodes("infinite_run", "deadlock"), "HORIZON_STUCK_AFTER": "1000"})
        record = server.execute("infinite_run", wait=False)
        other = server.execute("deadlock", wait=False)
        found = self.until(server, "infinite_run", "blocked")
        self.assertEqual(found["node"], "Malo")
        self.assertIn("computing", found["text"])
        found = self.until(server, "deadlock", "blocked")
        self.assertEqual(found["node"], "Malo")
        self.assertIn("waiting", found["text"])
        table = server.cli("ps")
        self.clean_exit(table)
        self.assertIn("blocked (Malo)", table.out)
        watched = server.cli("top", "--once")
        self.clean_exit(watched)
        self.assertIn("blocked Malo", watched.out)
        server.execute("infinite_run", wait=False)  # work that waits behind it
        found = self.until(server, "infinite_run", "stuck")
        self.assertEqual(found["node"], "Malo")
        time.sleep(2)  # a state is no reason to run anything again
        for one in (record, other):
            row = server.execution(one["executionId"] if "executionId" in one else one["id"])
            self.assertEqual((row["state"], row["attempt"]), ("running", 1), row)
        self.assertEqual(len([w for w in server.workers()]), 2)
        server.stop()

    def test_a_stopped_worker_ends_by_its_deadline_or_by_a_stop(self):
        lento = bad_flow("deadlock", timeout=1500)
        server = hz.Server(self.place, flows={"quieto": hz.webhook_flow("quieto", "/quieto"), "lento": lento},
                           env={**nodes("deadlock"), "HORIZON_STOP_GRACE": "1000"})
        started = time.monotonic()
        run = server.execute("lento", wait=False)
        worker = hz.wait_for(lambda: next((w for w in server.workers() if w["workflowId"] == "lento" and w["status"] == "running"), None),
                             10, what="its worker runs")
        os.kill(worker["processId"], signal.SIGSTOP)
        self.assertIn("stopped by a signal", self.until(server, "lento", "stuck")["text"])
        record = hz.wait_for(lambda: next((r for r in [server.execution(run["executionId"])] if r["state"] not in ("queued", "running")), None),
                             20, what="the deadline ends it")
        self.assertEqual(record["state"], "timed_out", record)
        first = time.monotonic() - started
        report = hz.wait_for(lambda: server.call("GET", "/crashes?workflow=lento", expect=200)["crashes"], 10, what="its report")[0]
        self.assertEqual((report["kind"], report["node"]), ("time-out", "Malo"))
        self.assertIn("it was stopped by a signal", report["text"])
        worker = server.start_worker("quieto")
        os.kill(worker["processId"], signal.SIGSTOP)
        self.until(server, "quieto", "stuck")
        started = time.monotonic()
        self.assertEqual(server.call("POST", f"/workers/{worker['id']}/stop", expect=200)["how"], "kill")
        print(f"stopped by a signal: ended by its deadline of 1.5 s after {first:.2f} s, by a stop after {time.monotonic() - started:.2f} s")
        server.stop()

    def test_a_stopped_worker_is_stuck_and_goes_on(self):
        server = hz.Server(self.place, flows={"quieto": hz.webhook_flow("quieto", "/quieto")})
        worker = server.start_worker("quieto")
        self.until(server, "quieto", "idle")
        os.kill(worker["processId"], signal.SIGSTOP)
        found = self.until(server, "quieto", "stuck")
        self.assertIn("stopped by a signal", found["text"])
        os.kill(worker["processId"], signal.SIGCONT)
        self.until(server, "quieto", "idle")
        self.assertEqual(hz.request(server.port, "GET", "/quieto").status, 200)
        self.assertEqual([w["id"] for w in server.workers()], [worker["id"]])
        server.stop()


@hz.unittest.skipIf(hz.SANITIZE, "sanitizers take the faults for themselves")
class Reports(openapi.Case):
    def test_the_same_death_is_counted_and_another_is_not(self):
        server = hz.Server(self.place, flows={"a": bad_flow("null_write"), "b": bad_flow("null_write")}, env=nodes("null_write"))
        for _ in range(3):
            server.execute("a")
        server.execute("b")
        listed = server.call("GET", "/crashes", expect=200)["crashes"]
        self.assertEqual([(c["workflowId"], c["seenBefore"]) for c in listed], [("b", 0), ("a", 2), ("a", 1), ("a", 0)])
        self.assertEqual(server.call("GET", "/crashes/00000000").status, 404)
        server.stop()
        again = hz.Server(self.place, data=server.data, env=nodes("null_write"))  # kept on disk
        self.assertEqual(len(again.call("GET", "/crashes", expect=200)["crashes"]), 4)
        again.stop()

    def test_the_manager_starts_the_error_flow_with_the_report(self):
        report = hz.Flow("aviso")
        report.chain(report.node("workflow_init", "Inicio"), "init",
                     report.node("data_transformer", "Paso", mapping='{"kind": "{{input.data.data.kind}}", "node": "{{input.data.data.node.name}}"}'),
                     "output", report.node("console_output", "Consola"))
        loop = bad_flow("aborts", onError="malo_mismo")
        flows = {"malo": bad_flow("null_write", onError="aviso"), "aviso": report.json, "malo_mismo": loop}
        server = hz.Server(self.place, flows=flows, env=nodes("null_write", "aborts"))
        server.execute("malo")

        def told():
            runs = server.call("GET", "/workflows/aviso/executions", expect=200)["executions"]
            return runs if runs and runs[0]["state"] == "success" else None

        runs = hz.wait_for(told, 10, what="the error flow ran")
        self.assertEqual((len(runs), runs[0]["trigger"]), (1, "error"))
        result = server.execution(runs[0]["id"])["result"]
        self.assertEqual((result["kind"], result["node"]), ("crash", "Malo"), result)
        server.execute("malo_mismo")  # its own error flow: not started for ever
        time.sleep(0.5)
        self.assertEqual(len(server.call("GET", "/workflows/malo_mismo/executions", expect=200)["executions"]), 1)
        server.stop()


class Limits(openapi.Case):
    def reach_all(self, server, rows):
        """Runs each workflow of {name: (word, kind)}: while it lives there is a warning at 80 %, at 100 % it ends, both named."""
        started, runs, warned, ended = time.monotonic(), {name: server.execute(name, wait=False)["executionId"] for name in rows}, {}, {}

        def look():
            for worker in server.workers():
                if worker["workflowId"] in rows and worker.get("warning"):
                    warned.setdefault(worker["workflowId"], (time.monotonic() - started, worker["warning"]))
            for name, run in runs.items():
                if name in warned and name not in ended:
                    record = server.execution(run)
                    if record["state"] not in ("queued", "running"):
                        ended[name] = (time.monotonic() - started, record)
            return len(ended) == len(rows)

        hz.wait_for(look, 40, every=0.01, what="a warning, then the end of each")
        for name, (word, kind) in rows.items():
            with self.subTest(name=name):
                self.assertIn(f"near its limit, {word}: ", warned[name][1])
                record = ended[name][1]
                self.assertEqual(record["state"], "crashed", record)
                self.assertIn(f"limit reached, {word}: ", record["error"]["message"])
                self.assertIn("Malo", record["error"]["message"])
                report = server.call("GET", f"/crashes?workflow={name}", expect=200)["crashes"][0]
                self.assertEqual((report["kind"], report["node"]), (kind, "Malo"))
                print(f"{name}: warned after {warned[name][0]:.2f} s ({warned[name][1]}), ended after {ended[name][0]:.2f} s: {report['text'][:50]}")

    def test_warning_at_80_percent_and_the_end_at_100(self):
        flows = {"memoria": bad_flow("leaks", limits={"memory": 160 << 20}), "cpu": bad_flow("infinite_run", limits={"cpu": 1000}),
                 "reloj": bad_flow("deadlock", limits={"wallClock": 1500}), "archivos": acting("archivos", "opens_files", limits={"openFiles": 40})}
        rows = {"memoria": ("memory", "out of memory"), "cpu": ("CPU time", "limit"), "reloj": ("wall clock", "limit"), "archivos": ("open files", "limit")}
        if hz.SANITIZE:
            del flows["memoria"], rows["memoria"]  # the shadow is resident too
        server = hz.Server(self.place, flows=flows, env={"HORIZON_NODES": nodes("leaks", "infinite_run", "deadlock")["HORIZON_NODES"] + ":" + NODES})
        self.reach_all(server, rows)
        server.stop()

    def test_a_limit_that_is_misspelt_is_refused_by_name(self):
        for limits, word in (({"memry": 1}, "limits.memry"), ({"memory": 5}, "limits.memory"), ([], "limits")):
            flow = hz.simple_flow("x")
            flow["properties"]["horizon"] = {"limits": limits}
            self.place.write("x/flow.json", flow)
            server = hz.Server(self.place, data=self.place.path("data" + word), flows={})
            answer = server.call("PUT", "/workflows/x", json.dumps(flow))
            started = server.call("POST", "/workflows/x/executions", {}) if answer.status < 300 else answer
            self.assertGreaterEqual(started.status, 400)
            self.assertIn(word, started.text)
            server.stop()


    @hz.unittest.skipUnless(EXEC, EXEC_WHY)
    def test_processes_are_warned_of_and_ended_at_and_none_is_left(self):
        flow = acting("procesos", "runs_program", limits={"processes": 15},
                      command="for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 77 & sleep 0.05; done; wait")
        grant(self.place, "procesos")
        server = hz.Server(self.place, flows={"procesos": flow}, env={"HORIZON_NODES": NODES})
        self.reach_all(server, {"procesos": ("processes", "limit")})
        hz.wait_for(lambda: not [pid for pid in hz.descendants(server.pid) if hz.proc_table().get(pid, (0, ""))[1] == "sleep"], 5,
                    what="its processes are gone")
        server.stop()


class Strays(hz.Case):
    """What workers leave behind: ended, and how soon."""

    @hz.unittest.skipUnless(EXEC, EXEC_WHY)
    def test_orphans_and_zombies_of_living_and_dead_workers(self):
        names = ("vivo", "muerto", "zombi")
        flows = {name: acting(name, "runs_program", resident=name != "muerto",
                              command="(sleep 0.4 &) ; exit 0" if name == "zombi" else "(sleep 78 &) ; exit 0") for name in names}
        grant(self.place, *names)
        server = hz.Server(self.place, flows=flows, env={"HORIZON_NODES": NODES, "HORIZON_STRAYS_EVERY": "2000"})

        def sleepers():
            return [pid for pid, (parent, name, _) in hz.proc_table().items() if parent == server.pid and name == "sleep"]

        for name, most in (("vivo", 2), ("muerto", 0), ("zombi", 0.4)):
            with self.subTest(name=name):
                self.assertEqual(server.execute(name)["state"], "success")
                started = time.monotonic()
                hz.wait_for(lambda: not sleepers(), 20, every=0.01, what="the orphan is ended")
                took = time.monotonic() - started
                print(f"{name}: nothing left after {took:.2f} s")
                self.assertLess(took, (most + 3) * hz.SLOW)
        living = {w["workflowId"] for w in server.workers()}
        self.assertLessEqual({"vivo", "zombi"}, living)  # the workers themselves were left alone
        server.stop()


class Restart(openapi.Case):
    def end_worker(self, server, name, number=signal.SIGKILL):
        worker = hz.wait_for(lambda: next((w for w in server.workers() if w["workflowId"] == name and w["status"] == "running"), None),
                             30, what=f"a worker of {name}")
        self.killed = time.monotonic()
        os.kill(worker["processId"], number)
        hz.wait_for(lambda: all(w["id"] != worker["id"] for w in server.workers()), 10, what="its end")
        return worker

    def test_the_policy_decides_whether_another_follows(self):
        flows = {}
        for policy in ("never", "on-failure", "always"):
            flow = hz.webhook_flow(policy, f"/{policy}")
            flow["properties"]["horizon"] = {"restart": policy}
            flows[policy] = flow
        server = hz.Server(self.place, flows=flows, env={"HORIZON_RESTART_AFTER": "200"})
        for policy in flows:
            server.start_worker(policy)
        self.end_worker(server, "never")
        self.end_worker(server, "on-failure")
        self.end_worker(server, "always", signal.SIGTERM)  # it ends in order, by itself
        back = hz.wait_for(lambda: {w["workflowId"]: w["restarts"] for w in server.workers() if w["status"] == "running"}
                           if len(server.workers()) == 2 else None, 10, what="two of them are back")
        time.sleep(1.5)
        self.assertEqual({w["workflowId"] for w in server.workers()}, {"on-failure", "always"}, back)
        self.end_worker(server, "on-failure", signal.SIGTERM)
        time.sleep(1.5)
        self.assertEqual({w["workflowId"] for w in server.workers()}, {"always"})
        server.stop()

    def test_parked_after_the_fifth_end_until_a_person_releases_it(self):
        flow = hz.webhook_flow("malo", "/malo")
        server = hz.Server(self.place, flows={"malo": flow}, env={"HORIZON_RESTART_AFTER": "300"})
        server.start_worker("malo")
        times, workers, started = [], [], time.monotonic()
        for turn in range(5):
            worker = self.end_worker(server, "malo")
            times.append(self.killed - started)
            workers.append(worker["id"])
            if turn:  # each new one says whose place it takes
                line = f"workers:restarted {workers[-1]} of malo takes the place of {workers[-2]}, restart {turn}"
                hz.wait_for(lambda: line in server.process.text("err"), 5, what=line)
                logs = server.call("GET", f"/workers/{workers[-1]}/logs?lines=100", expect=200)["logs"]
                self.assertTrue(any(line in one for one in logs), logs)
        waits = [later - sooner for sooner, later in zip(times, times[1:])]
        print("killed at", [f"{one:.1f}" for one in times], "s; waits", [f"{one:.2f}" for one in waits])
        for wait, least in zip(waits, (0.3, 0.6, 1.2, 2.4)):
            self.assertTrue(least <= wait < least + 3 * hz.SLOW, waits)
        self.assertEqual(worker["restarts"], 4)
        parked = hz.wait_for(lambda: server.call("GET", "/parked", expect=200)["parked"], 5, what="it is parked")
        self.assertEqual([row["workflowId"] for row in parked], ["malo"])
        self.assertEqual(server.call("GET", f"/crashes/{parked[0]['crashId']}", expect=200)["kind"], "killed")
        refused = server.call("POST", "/workers", {"workflowId": "malo"})
        self.assertEqual(refused.status, 409)
        self.assertIn("horizon release malo", refused.text)
        server.stop()
        again = hz.Server(self.place, data=server.data, arguments=("--safe",))  # a restart is no release
        self.assertEqual(again.workers(), [])
        listed = again.cli("release")
        self.assertIn("malo", listed.out)
        self.clean_exit(again.cli("release", "malo"))
        self.assertEqual(again.call("POST", "/workflows/malo/release").status, 404)
        again.start_worker("malo")
        self.assertEqual(hz.request(again.port, "GET", "/malo").status, 200)
        again.stop()

    def test_a_stray_of_a_former_manager_is_ended_at_the_start(self):
        server = hz.Server(self.place)
        instance = server.instance
        server.stop()
        stray = hz.subprocess.Popen(["sleep", "300"], env={"HORIZON_INSTANCE": instance, "PATH": os.environ["PATH"]})
        other = hz.subprocess.Popen(["sleep", "300"], env={"HORIZON_INSTANCE": "00000000", "PATH": os.environ["PATH"]})
        try:
            again = hz.Server(self.place, data=server.data)
            self.assertEqual(stray.wait(5), -signal.SIGKILL)
            self.assertIsNone(other.poll())
            again.stop()
        finally:
            other.kill()
            other.wait()
            if stray.poll() is None:
                stray.kill()
            stray.wait()


class Bill(openapi.Case):
    def test_the_executions_pay_for_what_the_worker_used(self):
        """The sum over the executions is within 5 % of the process's CPU time, trivial and heavy ones alike."""
        flow = hz.simple_flow("cuenta", '{"n": {{input.data}}}')
        flow["properties"]["horizon"] = {"isolation": "resident", "threads": 1, "durability": "execution"}
        server = hz.Server(self.place, flows={"cuenta": flow})
        ids = [server.execute("cuenta", {"k": "x" * 2000}, wait=False)["executionId"] for _ in range(300)]
        hz.wait_for(lambda: server.execution(ids[-1])["state"] == "success", 30, what="the last one")
        time.sleep(0.5)
        worker = next(w for w in server.workers() if w["workflowId"] == "cuenta")
        with open(f"/proc/{worker['processId']}/schedstat", encoding="ascii") as file:
            used = int(file.read().split()[0])
        records = [server.execution(one) for one in ids]
        paid = sum(record["bill"]["cpuNs"] for record in records)
        print(f"{len(ids)} executions paid {paid / 1e6:.2f} ms, the process used {used / 1e6:.2f} ms: {paid / used:.3f}")
        self.assertTrue(all(record["bill"]["bytesIn"] > 2000 for record in records), records[0])
        self.assertTrue(all(record["bill"]["bytesOut"] > 0 for record in records), records[0])
        self.assertTrue(0.95 <= paid / used <= 1.05, (paid, used))
        server.stop()


if __name__ == "__main__":
    hz.main()
