"""Capabilities: what the policy does not grant is refused by name, what it grants works and reaches no further."""
import json
import os
import time
import unittest

import hz

NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")
ENV = {"HORIZON_NODES": NODES}
ROOT = os.geteuid() == 0


def flow(name, kind, **properties):
    made = hz.Flow(name)
    made.chain(made.node("workflow_init", "Inicio"), "init", made.node(kind, "Actor", **properties), "response",
               made.node("console_output", "Consola"))
    return made.json


def write_policy(place, policy, name="data/policy.json"):
    path = place.write(name, policy)
    os.chmod(path, 0o600)
    return path


class Policy(hz.Case):
    def setUp(self):
        super().setUp()
        self.open_dir = self.place.path("open")
        os.makedirs(self.open_dir)
        os.chmod(self.place.dir, 0o755)
        self.file = self.place.write("open/text", "hello")

    def answer(self, server, workflow):
        record = server.execute(workflow)
        self.assertEqual(record["state"], "success", record)
        logs = server.call("GET", f"/workers/{record['workerId']}/logs?lines=100", expect=200)["logs"]
        return next(json.loads(line[line.index("{"):]) for line in logs if "[console]" in line or '{"' in line)

    def test_check_import_start_and_run_refuse_by_name(self):
        path = self.place.write("lee/flow.json", flow("lee", "reads_file", path=self.file))
        for words in (("check", path), ("import", path, "--data", "data"), ("run", path)):
            with self.subTest(words=words):
                result = self.place.run(*words, env=ENV)
                self.clean_exit(result, 2)
                for part in ("Actor", "fs:read", "not granted", "policy.json"):
                    self.assertIn(part, result.err)
        write_policy(self.place, {"workflows": {"lee": {"fs:read": [self.open_dir]}}})
        self.clean_exit(self.place.run("check", path, "--data", "data", env=ENV))
        self.clean_exit(self.place.run("run", path, env={**ENV, "HORIZON_POLICY": self.place.path("data/policy.json")}))

    def test_a_granted_path_is_read_and_nothing_else(self):
        write_policy(self.place, {"nodes": {"reads_file": {"fs:read": [self.open_dir]}}})
        secret = self.place.write("private", "x")
        flows = {"lee": flow("lee", "reads_file", path=self.file), "otro": flow("otro", "reads_file", path=secret),
                 "base": flow("base", "reads_file", path=self.place.path("data/horizon.db")),
                 "mem": flow("mem", "reads_file", path="/dev/shm")}
        server = hz.Server(self.place, flows=flows, env=ENV)
        self.assertEqual(self.answer(server, "lee")["errno"], 0)
        for name in ("otro", "base", "mem"):
            self.assertEqual(self.answer(server, name)["errno"], 13, name)
        self.assertEqual(server.stop(), 0)

    def test_a_right_that_is_taken_away_stops_the_next_start(self):
        write_policy(self.place, {"nodes": {"reads_file": {"fs:read": [self.open_dir]}}})
        server = hz.Server(self.place, flows={"lee": flow("lee", "reads_file", path=self.file)}, env=ENV)
        self.assertEqual(self.answer(server, "lee")["errno"], 0)
        write_policy(self.place, {})
        time.sleep(1.2)
        answer = server.call("POST", "/workflows/lee/executions", {"wait": True})
        self.assertGreaterEqual(answer.status, 400, answer)
        self.assertIn("fs:read", answer.text)
        self.assertEqual(server.stop(), 0)

    def test_a_broken_policy_keeps_the_server_from_starting(self):
        write_policy(self.place, {"nodes": {"reads_file": {"fs:reed": ["/x"]}}})
        result = self.place.run("serve", "--data", "data", env=ENV)
        self.clean_exit(result, 1)
        self.assertIn("fs:reed", result.err)
        result = self.place.run("doctor", "--data", "data", env=ENV)
        self.assertRegex(result.out, r"wrong +policy .*fs:reed")

    def test_doctor_shows_policy_and_users(self):
        write_policy(self.place, {"workflows": {"lee": {"fs:read": ["/srv"]}}})
        result = self.place.run("doctor", "--data", "data", env=ENV)
        self.assertRegex(result.out, r"ok +policy .*policy.json; built-in nodes: net; other nodes: nothing; workflow lee: fs:read")
        self.assertRegex(result.out, r"users +each worker runs as a user of its own" if ROOT else r"users +workers run as")

    def test_exec_gives_no_namespaces_and_no_children_of_the_manager(self):
        if hz.SANITIZE or not ROOT:
            self.skipTest("as the next")
        flags = {"fs": 0x200, "user": 0x10000000, "net": 0x40000000, "pid": 0x20000000, "mount": 0x20000, "parent": 0x8000}
        write_policy(self.place, {"workflows": {name: {"exec": ["/bin/sh"]} for name in flags}})
        server = hz.Server(self.place, flows={name: flow(name, "runs_program", flags=value) for name, value in flags.items()},
                           env=ENV)
        for name in flags:
            wanted = {"status": 0, "errno": 0} if name == "fs" else {"status": -1, "errno": 1}
            self.assertEqual(self.answer(server, name), wanted, name)
        self.assertEqual(server.stop(), 0)

    def test_exec_runs_what_is_granted(self):
        if hz.SANITIZE:
            self.skipTest("the sanitizer's child wants to read files of its own")
        if not ROOT:
            self.skipTest("needs root")
        write_policy(self.place, {"workflows": {"corre": {"exec": ["/bin/sh"]}, "mata": {"exec": ["/bin/sh"]},
                                                "bomba": {"exec": ["/bin/sh"]}}})
        server = hz.Server(self.place, flows={
            "corre": flow("corre", "runs_program", command="exit 7"),
            "bomba": flow("bomba", "runs_program", command="b() { b | b & }; b"),
            "mata": flow("mata", "runs_program", command="kill -9 $PPID; kill -9 -1")}, env=ENV)
        self.assertEqual(self.answer(server, "corre"), {"status": 7, "errno": 0})
        server.execute("mata")
        server.execute("bomba")
        self.assertEqual(hz.request(server.port, "GET", "/health").status, 200)
        hz.wait_for(lambda: not [pid for pid, (_, name, _) in hz.proc_table().items()
                                 if name == "sh" and (hz.status_value(pid, "Uid") or 0) >= 2000000000], 20,
                    what="nothing of the bomb is left")
        self.assertEqual(self.answer(server, "corre"), {"status": 7, "errno": 0})
        self.assertEqual(server.stop(), 0)


@unittest.skipUnless(ROOT, "needs root")
class Users(hz.Case):
    def setUp(self):
        super().setUp()
        os.chmod(self.place.dir, 0o755)
        write_policy(self.place, {"plugins": {"fs:read": ["/etc"]}, "workflows": {"propio": {"uid": 4321}}})
        self.flows = {name: flow(name, "reads_file", path="/etc/shadow") for name in ("uno", "propio")}
        self.flows["vecino"] = hz.webhook_flow("vecino", "/vecino")

    def test_each_worker_is_somebody_else(self):
        server = hz.Server(self.place, flows=self.flows, env=ENV)
        uids = []
        for name in ("uno", "uno", "propio"):
            answer = Policy.answer(self, server, name)
            self.assertEqual(answer["errno"], 13, answer)
            uids.append(answer["uid"])
        self.assertNotEqual(uids[0], uids[1])
        self.assertTrue(all(2000000000 <= uid <= 2000065535 for uid in uids[:2]), uids)
        self.assertEqual(uids[2], 4321)
        for _ in range(3):
            server.start_worker("vecino")
        hz.wait_for(lambda: len([w for w in server.workers() if w["status"] == "running"]) == 3)
        pids = hz.descendants(server.pid)
        users = [uid for uid in (hz.status_value(pid, "Uid") for pid in pids) if uid]  # the zygotes stay root
        self.assertGreaterEqual(len(users), 3)
        self.assertEqual(len(set(users)), len(users), users)
        self.assertEqual(hz.request(server.port, "GET", "/vecino").status, 200)
        os.kill(server.pid, 9)
        hz.wait_for(lambda: not any(hz.alive(pid) for pid in pids), 5, what="they die with their manager")

    def test_off_one_user_and_a_range(self):
        for value, check in (("off", lambda u: u == 0), ("4444", lambda u: u == 4444), ("5000-5009", lambda u: 5000 <= u <= 5009)):
            with self.subTest(value=value):
                server = hz.Server(self.place, flows=self.flows, env={**ENV, "HORIZON_WORKER_UID": value},
                                   data=self.place.path("data"))
                server.start_worker("vecino")
                hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"])
                users = [uid for uid in map(lambda pid: hz.status_value(pid, "Uid"), hz.descendants(server.pid))
                         if uid is not None]
                self.assertTrue([uid for uid in users if uid != 0] or value == "off", users)
                self.assertTrue(all(uid == 0 or check(uid) for uid in users), users)
                self.assertEqual(hz.request(server.port, "GET", "/vecino").status, 200)
                self.assertEqual(server.stop(), 0)
        result = self.place.run("serve", env={"HORIZON_WORKER_UID": "-3"})
        self.clean_exit(result, 2)
        self.assertIn("HORIZON_WORKER_UID", result.err)

    def test_who_is_not_root_serves_as_himself_and_says_so_when_asked_for_more(self):
        os.makedirs(self.place.path("mine"))
        os.chown(self.place.path("mine"), 4711, 4711)
        wrapper = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
        result = self.place.run("serve", "--data", "mine", env={"HORIZON_WORKER_UID": "5000"}, wrapper=wrapper)
        self.clean_exit(result, 1)
        self.assertIn("HORIZON_WORKER_UID: workers run as the server's own user 4711", result.err)
        server = hz.Server(self.place, data=self.place.path("mine"), wrapper=wrapper)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    hz.main()
