"""The kill campaign: rounds with 200 executions in flight, kill -9 of manager, zygote or a worker at a random moment.

The client here keeps its own list of what was acknowledged; a sink outside logs the idempotency key of every effect. A
table per durability and victim says what became of them. HZ_ROUNDS sets how many rounds.
"""
import collections
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
import unittest

import hz
from sink import Sink

FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}
EXECUTIONS = 200
MOST = 400  # accepted in a round: the clients go on until the kill, so that it also falls between commit and answer
ENOUGH = 100  # unfinished at the kill, else the round does not count
STEPS = ("/slow/a", "/slow/b", "/slow/c")
KINDS = {f"{durability[:2]}_{isolation[:3]}": (durability, isolation)
         for durability in ("none", "execution", "checkpoint") for isolation in ("isolated", "resident")}


def flow_of(name, sink, durability, isolation):
    flow = hz.Flow(name)
    last, output = flow.node("workflow_init", "Inicio"), "init"
    for number, path in enumerate(STEPS):
        post = flow.node("http_request", f"Paso {number}", type="post", url=sink.url(path), body='{"n": 1}')
        flow.link(last, output, post)
        last, output = post, "response"
    flow.json["properties"]["horizon"] = {"durability": durability, "isolation": isolation}
    if durability != "checkpoint":  # isolated: fail, resident: run again; checkpoint goes on by itself
        flow.json["properties"]["horizon"]["onInterrupt"] = "fail" if isolation == "isolated" else "restart"
    return flow.json


class Client:
    """Submits from a few threads until told to stop or enough are accepted; remembers what was acknowledged."""

    def __init__(self, server, count, threads=4):
        self.port, self.headers = server.port, server.signed
        self.left, self.accepted, self.stop = count, [], False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        kinds = list(KINDS)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        turn = number
        try:
            while not self.stop:
                with self.lock:
                    if self.left <= 0:
                        return
                    self.left -= 1
                turn += 1
                name = kinds[turn % len(kinds)]
                connection.request("POST", f"/api/v1/workflows/{name}/executions", body='{"data": {"n": 1}}',
                                   headers=self.headers)
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 202:
                    self.accepted.append((json.loads(body)["executionId"], name))
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()

    def join(self):
        self.stop = True
        for thread in self.threads:
            thread.join()


class Campaign(hz.Case):
    def setUp(self):
        super().setUp()
        self.block = hz.PortBlock(1)
        self.addCleanup(self.block.close)
        self.sink = Sink(self.place, self.block.base)
        self.table = collections.defaultdict(collections.Counter)
        self.recovery = collections.defaultdict(list)
        self.seen = {}  # the round before: id -> final state
        self.effects_read = 0
        self.effects = collections.Counter()

    def serve(self, program=None, data=None, flows=None):
        return hz.Server(self.place, flows=flows, data=data, program=program)

    def victims(self, server, victim):
        if victim == "manager":
            return [server.pid]
        workers = {worker["processId"] for worker in server.workers() if worker["processId"] > 0}
        if victim == "worker":
            return random.sample(sorted(workers), len(workers))
        names = hz.proc_table()
        zygotes = [pid for pid, (parent, name, state) in names.items()
                   if parent == server.pid and pid not in workers and state != "Z" and "zygote" in self.command(pid)]
        return random.sample(zygotes, len(zygotes))

    @staticmethod
    def command(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as name, open(f"/proc/{pid}/cmdline", "rb") as line:
                return name.read() + line.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def rows(self, server):
        rows = {}
        for name in KINDS:
            for row in server.call("GET", f"/workflows/{name}/executions?limit=400", expect=200)["executions"]:
                rows[row["id"]] = row
        return rows

    def read_effects(self):
        effects = self.sink.effects()
        for key, _ in effects[self.effects_read:]:
            self.effects[key.rsplit(":", 2)[0], key] += 1
        self.effects_read = len(effects)

    def kill(self, server, victim):
        """Kills the first of the victims that still lives. Returns the server that goes on, how many were unfinished, seconds until it was ready again."""
        unfinished = hz.request(server.port, "GET", "/readyz", timeout=5).json["admitted"]
        pids = self.victims(server, victim)
        family = server.process.family()
        pids = [pid for pid in pids if pid in family]  # those that live are still who they were
        killed = False
        while pids and not killed:
            try:
                os.kill(pids.pop(0), signal.SIGKILL)
                killed = True
            except ProcessLookupError:  # it had ended by itself
                pass
        begun = time.monotonic()
        if victim != "manager":
            return server, unfinished if killed else 0, None
        server.process.wait(10)
        server.block.close()
        program = server.program_of_test
        server = self.serve(program, server.data)
        server.program_of_test = program
        hz.wait_for(lambda: hz.request(server.port, "GET", "/readyz").status == 200, 30, 0.002, "ready again")
        return server, unfinished, time.monotonic() - begun

    def round(self, server, victim, linger=True):
        client = Client(server, MOST)
        moment = random.randint(ENOUGH + 10, EXECUTIONS)
        hz.wait_for(lambda: len(client.accepted) >= moment or not any(t.is_alive() for t in client.threads), 30, 0.001,
                    "executions are accepted")
        if linger and random.random() < 0.5:
            time.sleep(random.random() * 0.3)
        begun = time.monotonic()
        server, unfinished, ready = self.kill(server, victim)
        client.join()
        accepted = dict(client.accepted)

        def quiet():
            rows = self.rows(server)
            return rows if all(row["state"] in FINAL for row in rows.values()) else None

        try:
            rows = hz.wait_for(quiet, 60, 0.1, "every execution ends")
        except AssertionError:
            rows = self.rows(server)
        self.read_effects()
        counted = unfinished >= ENOUGH
        self.judge(victim, accepted, rows, counted)
        if counted:
            self.recovery[victim].append(ready if ready is not None else time.monotonic() - begun)
        for execution, state in self.seen.items():  # those of the round before: still as they were
            if execution in rows and rows[execution]["state"] != state:
                self.table["all", victim]["finished twice"] += 1
        self.seen = {execution: rows[execution]["state"] for execution in accepted if execution in rows}
        return server, counted

    def judge(self, victim, accepted, rows, counted):
        keys = collections.defaultdict(collections.Counter)
        for (execution, key), count in self.effects.items():
            keys[execution][key] = count
        self.effects.clear()
        for durability in ("none", "execution", "checkpoint"):
            line = self.table[durability, victim]
            line["rounds"] += counted
            for execution, name in accepted.items():
                if KINDS[name][0] != durability:
                    continue
                line["accepted"] += 1
                row = rows.get(execution)
                if row is None:
                    line["lost"] += 1
                elif row["state"] not in FINAL:
                    line["still running"] += 1
                elif row["state"] in ("interrupted", "crashed"):
                    line["interrupted"] += 1
                else:
                    line["finished"] += 1
                    line["failed"] += row["state"] != "success"
                if row and row["state"] == "success" and len(keys[execution]) != len(STEPS):
                    line["success without its effects"] += 1
                repeats = sum(keys[execution].values()) - len(keys[execution])
                line["effects repeated"] += repeats
                if durability == "checkpoint" and row and repeats > row["attempt"] - 1:
                    line["repeated beyond the step cut off"] += 1

    def print_table(self):
        columns = ("rounds", "accepted", "finished", "failed", "interrupted", "lost", "finished twice", "still running",
                   "effects repeated", "success without its effects", "repeated beyond the step cut off")
        print("| durability | victim | " + " | ".join(columns) + " |")
        for (durability, victim), line in sorted(self.table.items()):
            print(f"| {durability} | {victim} | " + " | ".join(str(line[column]) for column in columns) + " |")
        for victim, seconds in sorted(self.recovery.items()):
            seconds.sort()
            what = "until /readyz" if victim == "manager" else "until all have ended"
            print(f"{victim}: recovery {what} p50 {seconds[len(seconds) // 2]:.3f} s, "
                  f"p99 {seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]:.3f} s")

    def flows(self):
        return {name: flow_of(name, self.sink, *kind) for name, kind in KINDS.items()}

    def campaign(self, rounds, program=None, victims=("manager", "zygote", "worker"), linger=True):
        server = self.serve(program, flows=self.flows())
        server.program_of_test = program
        done = tried = 0
        while done < rounds and tried < rounds * 2 + 4:
            server, counted = self.round(server, victims[done % len(victims)], linger)
            done += counted
            tried += 1
        self.print_table()
        print(f"{done} rounds of {tried}, seed {hz.SEED}", flush=True)
        return done

    def test_nothing_accepted_is_lost_and_nothing_ends_twice(self):
        rounds = int(os.environ.get("HZ_ROUNDS", hz.pick(6, 1000)))
        self.assertEqual(self.campaign(rounds), rounds, "rounds with enough executions in flight")
        for (durability, victim), line in self.table.items():
            for what in ("lost", "still running", "finished twice", "success without its effects",
                         "repeated beyond the step cut off"):
                if durability != "none" or what != "lost":
                    self.assertEqual(line[what], 0, (durability, victim, what))

    @unittest.skipIf(hz.SANITIZE, "about the campaign itself, which is the same in every preset")
    def test_it_notices_a_manager_that_acknowledges_before_the_commit(self):
        program = os.path.join(hz.BUILD, "bin", "horizon-ack-early")
        lost = 0
        for _ in range(40):
            self.setUp()
            self.campaign(1, program, ("manager",), linger=False)
            lost = sum(line["lost"] for (durability, _), line in self.table.items() if durability != "none")
            if lost:
                break
        self.assertGreater(lost, 0, "a broken manager passes the campaign: the campaign proves nothing")


if __name__ == "__main__":
    hz.main()
