"""The store in trouble, as an operator meets it: a full disk, a read-only one, damage, a newer schema, two managers; `horizon db`."""
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

import hz

FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}


def echo_flow(name):
    flow = hz.Flow(name)
    start = flow.node("workflow_init", "Inicio")
    end = flow.node("data_transformer", "Fin", mapping='{"n": {{input.data.data.n}}}')
    flow.chain(start, "init", end)
    flow.json["properties"]["horizon"] = {"isolation": "resident"}
    return flow.json


class SmallDisk:
    """A tmpfs of its own; None where mounting is not allowed."""

    def __init__(self, case, folder, size):
        os.makedirs(folder, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], capture_output=True).returncode:
            raise unittest.SkipTest("mounting a small file system is not allowed here")
        self.folder = folder
        case.addCleanup(self.close)

    def remount(self, options):
        subprocess.run(["mount", "-o", "remount," + options, self.folder], check=True, capture_output=True)

    def close(self):
        subprocess.run(["umount", "-l", self.folder], capture_output=True)


class Load:
    """Clients that keep their own list of what was accepted."""

    def __init__(self, server, clients=3, padding=3000):
        self.server, self.padding = server, padding
        self.accepted, self.refused, self.other, self.ending = [], [], [], False
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        turn = number * 1_000_000
        noise = os.urandom(self.padding // 2).hex()
        while not self.ending:
            turn += 1
            try:
                answer = self.server.call("POST", "/workflows/eco/executions",
                                          {"wait": False, "data": {"n": turn, "x": noise}}, timeout=30)
            except OSError as problem:
                self.other.append(problem)
                time.sleep(0.05)
                continue
            if answer.status == 202:
                self.accepted.append(answer.json["executionId"])
            elif answer.status == 503:
                self.refused.append(answer)
                time.sleep(0.02)
            else:
                self.other.append(answer)

    def end(self):
        self.ending = True
        for thread in self.threads:
            thread.join()


class Trouble(hz.Case):
    def all_final(self, server, ids):
        for execution in ids:
            hz.wait_for(lambda: server.execution(execution)["state"] in FINAL, 20, what=f"{execution} is over")

    def test_a_full_disk_refuses_in_words_and_loses_nothing(self):
        data = self.place.path("data")
        disk = SmallDisk(self, data, "12m")
        server = hz.Server(self.place, data=data, flows={"eco": echo_flow("eco")})
        load = Load(server)
        hz.wait_for(lambda: load.refused, 60, what="the disk is full")
        before = len(load.accepted)
        time.sleep(0.5)
        hz.logged(server.process, "No space left on device")
        self.assertEqual(server.call("GET", "/workflows/eco/executions?limit=1").status, 200)  # reading goes on
        disk.remount("size=256m")
        hz.wait_for(lambda: len(load.accepted) > before + 50, 30, what="writing again")
        load.end()
        hz.logged(server.process, "writing again")
        self.assertEqual(load.other, [])
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(10)
        again = hz.Server(self.place, data=data)
        self.all_final(again, load.accepted)
        self.assertEqual(again.stop(), 0)
        self.assertIn("is sound", self.place.run("db", "check", "--data", data).out)

    def test_a_read_only_file_system_is_refused_until_it_is_writable(self):
        data = self.place.path("data")
        disk = SmallDisk(self, data, "128m")
        server = hz.Server(self.place, data=data, flows={"eco": echo_flow("eco")})
        first = server.execute("eco", {"n": 1}, wait=False)["executionId"]
        self.all_final(server, [first])
        self.assertEqual(server.stop(), 0)
        disk.remount("ro")
        refused = self.place.run("serve", "--data", data, env=server.env)
        self.assertEqual(refused.code, 1)
        self.assertIn("Read-only file system", refused.err)
        disk.remount("rw")
        again = hz.Server(self.place, data=data)
        self.assertIn(again.execution(first)["state"], FINAL)

    def test_a_corrupted_page_is_refused_and_a_backup_puts_it_right(self):
        server = hz.Server(self.place, flows={"eco": echo_flow("eco")})
        ids = [server.execute("eco", {"n": n}, wait=False)["executionId"] for n in range(30)]
        self.all_final(server, ids)
        copy = self.place.path("copy.db")
        self.assertEqual(server.cli("db", "backup", copy).code, 0)
        self.assertEqual(server.cli("db", "backup", copy).code, 1)  # it never replaces
        stopped = server.cli("db", "restore", copy)
        self.assertEqual((stopped.code, "in use by another manager" in stopped.err), (1, True), stopped)
        self.assertEqual(server.stop(), 0)
        path = os.path.join(server.data, "horizon.db")
        with sqlite3.connect(path) as db:
            page = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'executions'").fetchone()[0]
        db.close()
        with open(path, "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)
        refused = server.cli("serve")
        self.assertEqual(refused.code, 1)
        self.assertRegex(refused.err, "horizon.db is damaged .*horizon db check.*horizon db restore")
        self.assertEqual(server.cli("db", "check").code, 1)
        self.assertEqual(server.cli("db", "restore", copy).code, 0)
        self.assertIn("is sound", server.cli("db", "check").out)
        again = hz.Server(self.place, data=server.data)
        self.all_final(again, ids)

    def test_a_newer_schema_is_refused_and_left_as_it_is(self):
        server = hz.Server(self.place, flows={"eco": echo_flow("eco")})
        server.stop()
        path = os.path.join(server.data, "horizon.db")
        db = sqlite3.connect(path)
        known = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("PRAGMA user_version = 900")
        db.close()
        refused = server.cli("serve")
        self.assertEqual(refused.code, 1)
        self.assertIn(f"schema version 900, this program knows up to {known}", refused.err)
        db = sqlite3.connect(path)
        self.assertEqual(db.execute("PRAGMA user_version").fetchone()[0], 900)
        db.close()

    def test_two_managers_on_one_data_directory(self):
        server = hz.Server(self.place, flows={"eco": echo_flow("eco")})
        second = self.place.run("serve", "--data", server.data, env={**server.env, "SERVER_PORT": 0})
        self.assertEqual(second.code, 1)
        self.assertIn("is in use by another manager", second.err)
        self.assertIn(server.execution(server.execute("eco", {"n": 1}, wait=False)["executionId"])["state"],
                      FINAL | {"queued", "running"})

    def test_stats_backup_and_check_beside_a_running_server_under_load(self):
        server = hz.Server(self.place, flows={"eco": echo_flow("eco")})
        load = Load(server, clients=2)
        hz.wait_for(lambda: len(load.accepted) > 100, 30, what="load")
        sure = list(load.accepted)
        copy = self.place.path("copy.db")
        self.assertEqual(server.cli("db", "backup", copy).code, 0)
        self.assertEqual(server.cli("db", "check").code, 0)
        stats = server.cli("db", "stats").out
        load.end()
        self.assertEqual(load.other + load.refused, [])
        self.assertRegex(stats, r"executions +\d+")
        db = sqlite3.connect(copy)
        kept = {row[0] for row in db.execute("SELECT lower(hex(id)) FROM executions")}
        db.close()
        self.assertEqual([one for one in sure if re.sub("-", "", one) not in kept], [])
        self.assertEqual(self.place.run("db", "check", copy).code, 0)
        self.assertEqual(self.place.run("db", "sweep").code, 2)
        self.assertEqual(self.place.run("db", "backup").code, 2)


class History(hz.Case):
    def test_a_flow_chooses_what_is_kept(self):
        flows = {}
        for name, history in (("todo", "all"), ("nada", "counters")):
            flows[name] = echo_flow(name)
            flows[name]["properties"]["horizon"]["history"] = history
        server = hz.Server(self.place, flows=flows)
        for name in flows:
            for turn in range(5):
                server.execute(name, {"n": turn})
        hz.wait_for(lambda: server.call("GET", "/workflows/todo/executions", expect=200)["executions"].__len__() == 5, 5,
                    what="five are kept")
        self.assertEqual(server.call("GET", "/workflows/nada/executions", expect=200)["executions"], [])
        server.stop()
        db = sqlite3.connect(os.path.join(server.data, "horizon.db"))
        self.assertEqual(db.execute("SELECT workflow_id, SUM(count) FROM counters GROUP BY 1").fetchall(), [("nada", 5)])
        db.close()


if __name__ == "__main__":
    hz.main()
