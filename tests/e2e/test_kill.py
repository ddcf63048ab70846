"""kill -9 of workers at random moments under load, and of the manager: everything is reported, nothing is left."""
import os
import random
import signal
import threading
import time

import hz

FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}


class Load:
    """Clients of a neighbour: every answer has to be right, whatever happens to the others."""

    def __init__(self, port, path, clients=2):
        self.port, self.path = port, path
        self.done, self.wrong, self.ending = 0, [], False
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        turn = number * 1_000_000
        while not self.ending:
            turn += 1
            try:
                answer = hz.request(self.port, "POST", self.path, {"n": turn}, timeout=30)
                if (answer.status, answer.text) != (200, '{"n":%d}' % turn):
                    self.wrong.append((turn, answer))
            except OSError as problem:
                self.wrong.append((turn, problem))
            self.done += 1
            time.sleep(0.002)

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()
        return self.done, self.wrong


def victim_flow(name, resident):
    """Half of its executions wait, half compute: data {"wait": seconds} or {"turns": n}."""
    flow = hz.Flow(name)
    start = flow.node("workflow_init", "Inicio")
    which = flow.node("conditional", "Cual", conditions=[hz.condition("espera", "input.data.data.wait > 0")])
    wait = flow.node("delay", "Espera", delay="{{input.data.data.wait}}")
    zero = flow.node("data_transformer", "Cero", mapping='{"n": 0, "hasta": {{input.data.data.turns}}}')
    more = flow.node("conditional", "Sigue", conditions=[hz.condition("mas", "input.data.n < input.data.hasta")])
    add = flow.node("data_transformer", "Suma", mapping='{"n": {{input.data.n + 1}}, "hasta": {{input.data.hasta}}}')
    flow.chain(start, "init", which, "espera", wait)
    flow.chain(which, "else", zero, "output", more, "mas", add, "output", more)
    flow.json["properties"]["horizon"] = {"isolation": "resident" if resident else "isolated"}
    return flow.json


class WorkerKills(hz.Case):
    rounds = hz.pick(30, 500)

    def setUp(self):
        super().setUp()
        flows = {"vecino": hz.webhook_flow("vecino", "/vecino", "post", '{"n": {{input.data.body.n}}}')}
        for number in range(self.rounds):
            flows[f"v{number}"] = victim_flow(f"v{number}", number % 3 != 2)
        self.server = hz.Server(self.place, flows=flows)
        self.server.start_worker("vecino")
        hz.wait_for(lambda: [w for w in self.server.workers() if w["status"] == "running"], what="the neighbour runs")

    def quiet(self):
        """Workers of victims stopped: only the neighbour is listed."""
        for worker in self.server.workers():
            if worker["workflowId"] != "vecino":
                self.server.call("POST", f"/workers/{worker['id']}/stop")
        return [w["workflowId"] for w in self.server.workers()] == ["vecino"]

    def round(self, number):
        name = f"v{number}"
        first = number * 7
        ids = [self.server.execute(name, {"wait": 30} if index % 2 else {"turns": 10 ** 9, "k": first + index},
                                   wait=False)["executionId"] for index in range(4)]
        workers = hz.wait_for(lambda: [w for w in self.server.workers()
                                       if w["workflowId"] == name and w["processId"] > 0], what=f"{name} has a worker")
        time.sleep(random.random() * random.choice((0.002, 0.02, 0.2)))
        pids = [worker["processId"] for worker in workers]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                self.fail(f"worker {pid} of {name} was gone before it was killed")
        killed_at = time.monotonic()
        hz.wait_for(lambda: not any(hz.alive(pid) for pid in pids), 5, what="the worker is gone")
        # executions of workers that were not killed go on: a stop ends them
        records = {}

        def all_final():
            for execution in ids:
                records[execution] = self.server.execution(execution)
            for worker in self.server.workers():
                if worker["workflowId"] == name and worker["processId"] not in pids and worker["processId"] > 0:
                    self.server.call("POST", f"/workers/{worker['id']}/stop")
            return all(record["state"] in FINAL for record in records.values())

        hz.wait_for(all_final, 20, 0.05, what=f"every execution of {name} is final")
        states = [record["state"] for record in records.values()]
        for record in records.values():
            if record["state"] in ("crashed", "interrupted"):
                text = str(record)
                self.assertTrue("SIGKILL" in text or "signal 9" in text or "señal 9" in text or "9" in str(record.get("error")),
                                f"names the signal: {record}")
        self.assertNotIn("success", states)
        self.assertTrue(any(state in ("crashed", "interrupted") for state in states), states)
        return states, time.monotonic() - killed_at

    def test_every_death_is_reported_and_nothing_is_left(self):
        baseline_segments = len(hz.segments(self.server.instance))
        load = Load(self.server.port, "/vecino")
        counts = {}
        time.sleep(0.2)
        baseline_fds = hz.fd_count(self.server.pid)
        try:
            for number in range(self.rounds):
                states, _ = self.round(number)
                for state in states:
                    counts[state] = counts.get(state, 0) + 1
            hz.wait_for(self.quiet, 30, 0.2, what="the victims' workers are stopped")
            time.sleep(2.5)  # a restart that was due comes now
            hz.wait_for(self.quiet, 30, 0.2, what="the victims' workers stay stopped")
        finally:
            done, wrong = load.end()
        print(f"{self.rounds} kills: {counts}; neighbour {done} answers")
        self.assertEqual(wrong, [])
        self.assertGreater(done, 50)
        self.assertGreater(counts.get("crashed", 0), 0, counts)
        self.assertGreater(counts.get("interrupted", 0), 0, counts)
        hz.wait_for(lambda: len(hz.segments(self.server.instance)) <= baseline_segments, 10,
                    what="no segment is left behind")
        hz.wait_for(lambda: hz.fd_count(self.server.pid) <= baseline_fds + 4, 10, what="no descriptor is left behind")
        states = [state for parent, _, state in hz.proc_table().values() if parent == self.server.pid]
        self.assertNotIn("Z", states, "no zombie")
        log = self.server.process.text()
        self.assertIn("terminó con código", log)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(hz.segments(self.server.instance), [])

    def test_only_the_execution_that_ran_is_crashed(self):
        """One thread, three executions wait, one computes: one crashed, three interrupted, node and signal named."""
        ids = [self.server.execute("v0", {"wait": 60}, wait=False)["executionId"] for _ in range(3)]
        time.sleep(0.3)
        ids.append(self.server.execute("v0", {"turns": 10 ** 9}, wait=False)["executionId"])
        worker = hz.wait_for(lambda: [w for w in self.server.workers() if w["workflowId"] == "v0"], what="a worker")[0]
        time.sleep(1.0)
        os.kill(worker["processId"], signal.SIGKILL)
        hz.wait_for(lambda: all(self.server.execution(i)["state"] in FINAL for i in ids), 10, what="final states")
        records = [self.server.execution(execution) for execution in ids]
        self.assertEqual([record["state"] for record in records], ["interrupted"] * 3 + ["crashed"])
        self.assertTrue("Suma" in str(records[3]) or "Sigue" in str(records[3]), f"names the node: {records[3]}")

    def test_in_flight_webhook_requests_end(self):
        """A client that waits for an answer of the dead worker hears of it at once."""
        flow = hz.webhook_flow("lento", "/lento", "post",
                               before=lambda f: (f.node("delay", "Espera", delay=20), "response"))
        self.server.add_flow("lento", flow)
        self.clean_exit(self.server.cli("import", os.path.join(self.server.data, "workflows", "lento")))
        worker = self.server.start_worker("lento")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            hz.request(self.server.port, "POST", "/lento", {}, timeout=15))) for _ in range(5)]
        hz.wait_for(lambda: [w for w in self.server.workers() if w["id"] == worker["id"] and w["status"] == "running"],
                    what="it runs")
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        pid = [w for w in self.server.workers() if w["id"] == worker["id"]][0]["processId"]
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - killed, 2 * hz.SLOW)
        self.assertEqual(len(answers), 5)
        self.assertTrue(all(answer.status in (500, 502, 503) for answer in answers), answers)


class ManagerKills(hz.Case):
    rounds = hz.pick(5, 100)

    def test_all_die_with_it_and_the_next_start_cleans_up(self):
        flows = {f"w{number}": hz.webhook_flow(f"w{number}", f"/w{number}") for number in range(4)}
        flows["largo"] = hz.looping_flow("largo", 10 ** 9)
        data, left = None, 0
        for number in range(self.rounds):
            server = hz.Server(self.place, flows=flows if data is None else None, data=data)
            data = server.data
            instance = server.instance
            names = hz.segments(instance)
            for worker in server.workers():  # what an enabled workflow started again
                self.assertIn(worker["status"], ("running", "starting"))
            for flow in list(flows)[:-1]:
                threading.Thread(target=lambda flow=flow: self.swallow(server, "/workers", {"workflowId": flow})).start()
            self.swallow(server, "/workflows/largo/executions", {"wait": False})
            time.sleep(random.random() * 0.3)
            family = server.process.family() - {server.pid}
            os.kill(server.pid, signal.SIGKILL)
            killed = time.monotonic()
            server.process.popen.wait(5)
            family |= {pid for pid in family}
            hz.wait_for(lambda: not any(hz.alive(pid) for pid in family), 1, 0.005, what="zygote and workers end")
            took = time.monotonic() - killed
            self.assertLess(took, 1.0 * hz.SLOW)
            left += len(hz.segments(instance))
            self.assertEqual([name for pid, (_, name, state) in hz.proc_table().items()
                              if name.startswith("horizon") and state != "Z" and self.belongs(pid, data)], [])
            server.block.close()
            del names
        server = hz.Server(self.place, data=data)
        living = {worker["id"] for worker in server.workers()}
        self.assertEqual(server.stop(), 0)
        self.assertEqual(hz.segments(instance), [], f"living before the stop: {living}")
        print(f"{self.rounds} kills, {left} segments were left for the next start to clean")

    @staticmethod
    def belongs(pid, data):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                return data in file.read()
        except OSError:
            return False

    @staticmethod
    def swallow(server, path, body):
        try:
            server.call("POST", path, body, timeout=5)
        except (OSError, ValueError, AssertionError, hz.http.client.HTTPException):
            pass

    def test_unfinished_executions_are_interrupted_after_a_manager_crash(self):
        server = hz.Server(self.place, flows={"largo": hz.looping_flow("largo", 10 ** 9)})
        execution = server.execute("largo", wait=False)["executionId"]
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGKILL)
        server.process.popen.wait(5)
        server.block.close()
        again = hz.Server(self.place, data=server.data)
        self.assertEqual(again.execution(execution)["state"], "interrupted")


if __name__ == "__main__":
    hz.main()
