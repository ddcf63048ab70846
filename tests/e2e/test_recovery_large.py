"""Recovery with much history and much left open: rows as a manager leaves them, kill -9 while they are taken up, every one has one end.

HZ_ROWS sets how many finished executions there are.
"""
import os
import random
import signal
import sqlite3
import time
import uuid

import hz

QUEUED, RUNNING, SUCCESS, INTERRUPTED = 1, 2, 4, 9
KINDS = {"otra": {"onInterrupt": "restart"}, "nunca": {"onInterrupt": "fail"}, "paso": {"durability": "checkpoint"}}


def flow_of(name, settings):
    flow = hz.Flow(name)
    start = flow.node("workflow_init", "Inicio")
    end = flow.node("data_transformer", "Fin", mapping='{"n": {{input.data.data.n}}}')
    flow.chain(start, "init", end)
    flow.json["properties"]["horizon"] = {"isolation": "resident", **settings}
    return flow.json


class Large(hz.Case):
    def fill(self, data, finished, opened):
        """Each kind has as many that were running as that were queued."""
        now = int(time.time() * 1000)
        db = sqlite3.connect(os.path.join(data, "horizon.db"))
        versions = dict(db.execute("SELECT id, version FROM workflows"))
        names = list(KINDS)

        def rows():
            for number in range(finished + opened):
                name = names[number % 3]
                state = SUCCESS if number < finished else (QUEUED, RUNNING)[number // 3 % 2]
                at = now - 3600_000 + number * 3600_000 // (finished + opened)
                yield (number + 1, uuid.uuid4().bytes, name, versions[name], "manual", state, 1, 0, at, at, at + 5 if state == SUCCESS else 0, "",
                       2, 1000, 4096)

        db.executemany("INSERT INTO executions (sequence,id,workflow_id,version,cause,state,attempt,is_activation,created_ms,"
                       "started_ms,ended_ms,worker_id,node_runs,cpu_ns,peak_bytes) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", rows())
        db.executemany("INSERT INTO payloads (sequence,input,result) VALUES (?,?,?)",
                       ((number + 1, '{"n":%d}' % number, '{"n":%d}' % number) for number in range(finished + opened)))
        db.commit()
        db.close()

    def states(self, data, finished):
        db = sqlite3.connect(f"file:{data}/horizon.db?mode=ro", uri=True)
        try:
            return {(name, state): count for name, state, count in db.execute(
                "SELECT workflow_id, state, count(*) FROM executions WHERE sequence > ? GROUP BY workflow_id, state", (finished,))}
        finally:
            db.close()

    def test_what_was_left_open_among_many_finished_ones_ends_once(self):
        finished = int(os.environ.get("HZ_ROWS", hz.pick(30_000, 1_000_000)))
        opened = hz.pick(6000, 10_002)
        env = {"HORIZON_HISTORY": "100000000", "HORIZON_STORE_MB": "16384"}
        server = hz.Server(self.place, flows={name: flow_of(name, settings) for name, settings in KINDS.items()}, env=env)
        self.assertEqual(server.stop(), 0)
        self.fill(server.data, finished, opened)
        ready, kills = [], hz.pick(3, 20)
        for turn in range(kills + 1):
            begun = time.monotonic()
            server = hz.Server(self.place, data=server.data, env=env)
            hz.wait_for(lambda: hz.request(server.port, "GET", "/readyz").status == 200, 60, 0.002, "ready")
            ready.append(time.monotonic() - begun)
            if turn < kills:
                time.sleep(random.random() * 0.05)
                os.kill(server.pid, signal.SIGKILL)
                server.process.wait(10)
        third = opened // 3
        wanted = {("otra", SUCCESS): third, ("paso", SUCCESS): third, ("nunca", SUCCESS): third // 2, ("nunca", INTERRUPTED): third // 2}
        begun = time.monotonic()
        hz.wait_for(lambda: hz.request(server.port, "GET", "/readyz").json["admitted"] == 0, 60, 0.02, "all have ended")
        took = time.monotonic() - begun
        self.assertEqual(server.stop(), 0)
        found = self.states(server.data, finished)
        # A kill may fall between two runs of one that its flow does not want run twice: it is interrupted, never run again.
        self.assertEqual(found.get(("nunca", SUCCESS), 0) + found[("nunca", INTERRUPTED)], third)
        self.assertGreaterEqual(found.pop(("nunca", INTERRUPTED)), wanted.pop(("nunca", INTERRUPTED)))
        found.pop(("nunca", SUCCESS), None), wanted.pop(("nunca", SUCCESS))
        self.assertEqual(found, wanted)
        ready.sort()
        print(f"{finished} finished, {opened} left open, {kills} kills: start until /readyz median {ready[len(ready) // 2]:.3f} s, "
              f"longest {ready[-1]:.3f} s; all over {took:.2f} s after the last start")


if __name__ == "__main__":
    hz.main()
