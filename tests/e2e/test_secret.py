"""Secrets: set, listed, removed, their key rotated; they reach the flow that names them and are found nowhere else."""
import json
import os
import re
import sqlite3
import time

import hz
import openapi

VALUE = "s3cr3t-" + "Zq" * 12 + '-"x'
ESCAPED = json.dumps(VALUE)[1:-1]


def flow(name, expression, secrets):
    made = hz.Flow(name)
    made.json["secrets"] = secrets
    made.chain(made.node("workflow_init", "Inicio"), "init",
               made.node("data_transformer", "Paso", mapping='{"largo": {{_length(%s)}}, "ve": "{{%s}}"}' % (expression, expression)),
               "output", made.node("console_output", "Consola"))
    return made.json


def traces(place, server, pids):
    """Where the value can be read: files of the place, segments, memory maps' names, environments and command lines."""
    found = []
    needles = [VALUE.encode(), ESCAPED.encode()]

    def look(name, data):
        if any(needle in data for needle in needles):
            found.append(name)

    for folder, _, files in os.walk(place.dir):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    look(path, file.read())
    for name in hz.segments(server.instance):
        with open("/dev/shm/" + name, "rb") as file:
            look(name, file.read())
    for pid in pids:
        for part in ("environ", "cmdline"):
            try:
                with open(f"/proc/{pid}/{part}", "rb") as file:
                    look(f"{pid} {part}", file.read())
            except OSError:
                pass
    look("output", server.process.text().encode())
    return found


class Secret(openapi.Case):
    def test_a_flow_that_names_it_gets_it_and_nothing_else_shows_it(self):
        flows = {"usa": flow("usa", "env.CLAVE", ["CLAVE"]), "no_usa": flow("no_usa", "String(env.CLAVE)", []),
                 "web": hz.webhook_flow("web", "/web", mapping='{"n": {{_length(env.CLAVE)}}}')}
        flows["web"]["secrets"] = ["CLAVE"]
        server = hz.Server(self.place, flows=flows)
        self.clean_exit(server.cli("secret", "set", "CLAVE", stdin=VALUE + "\n"))
        listed = server.cli("secret", "list")
        self.assertIn("CLAVE", listed.out)
        self.assertNotIn(VALUE, listed.out)
        server.start_worker("web")
        hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"])
        self.assertEqual(hz.request(server.port, "GET", "/web").json, {"n": len(VALUE)})
        record = server.execute("usa")
        self.assertEqual(record["state"], "success", record)
        lines = server.call("GET", f"/workers/{record['workerId']}/logs?lines=100", expect=200)["logs"]
        self.assertTrue([line for line in lines if '"ve":"***"' in line and f'"largo":{len(VALUE)}' in line], lines)
        other = server.execute("no_usa")
        lines = server.call("GET", f"/workers/{other['workerId']}/logs?lines=100", expect=200)["logs"]
        self.assertTrue([line for line in lines if "undefined" in line], lines)
        for answer in (record, other, server.workers(), server.call("GET", "/dashboard", expect=200)):
            self.assertNotIn(ESCAPED, json.dumps(answer, ensure_ascii=False))
        self.assertEqual(traces(self.place, server, server.process.family()), [])
        self.assertEqual(server.stop(), 0)
        self.assertEqual(traces(self.place, server, []), [])
        self.assertEqual(os.stat(self.place.path("data/secret.key")).st_mode & 0o777, 0o600)

    def test_a_worker_that_dies_leaves_no_trace_of_it(self):
        made = hz.Flow("muere")
        made.json["secrets"] = ["CLAVE"]
        bad = os.path.join(hz.BUILD, "tests", "badnodes", "aborts")
        made.chain(made.node("workflow_init", "Inicio"), "init", made.node("data_transformer", "Paso", mapping="{}"), "output",
                   made.node("bad_aborts", "Malo"))
        server = hz.Server(self.place, flows={"muere": made.json}, env={"HORIZON_NODES": bad})
        self.clean_exit(server.cli("secret", "set", "CLAVE", stdin=VALUE))
        record = server.execute("muere")
        self.assertEqual(record["state"], "crashed", record)
        self.assertNotIn(ESCAPED, json.dumps(record, ensure_ascii=False))
        self.assertEqual(traces(self.place, server, server.process.family()), [])
        self.assertEqual(server.stop(), 0)

    def test_a_checkpoint_holds_it_sealed_and_goes_on_with_it(self):
        """Through a kill -9 of the manager and a new key."""
        made = hz.Flow("sigue")
        made.json["secrets"] = ["CLAVE"]
        made.chain(made.node("workflow_init", "Inicio"), "init",
                   made.node("data_transformer", "Paso", mapping='{"ve": "{{env.CLAVE}}", "cuando": {{Date.now()}}}'), "output",
                   made.node("delay", "Espera", delay=3), "response",
                   made.node("data_transformer", "Fin", mapping='{"largo": {{_length(input.data.ve)}}, "cuando": {{input.data.cuando}}}'))
        made.json["properties"]["horizon"] = {"durability": "checkpoint", "isolation": "isolated"}
        server = hz.Server(self.place, flows={"sigue": made.json})
        self.clean_exit(server.cli("secret", "set", "CLAVE", stdin=VALUE))
        run = server.execute("sigue", wait=False)["executionId"]
        hz.wait_for(lambda: self.checkpoints(), 20, what="its checkpoint is kept")
        self.assertNotIn("_horizon", server.cli("secret", "list").out)
        time.sleep(0.5)  # in the delay
        self.assertEqual(self.files_with_it(server, server.process.family()), [])
        killed = time.time() * 1000
        os.kill(server.pid, 9)
        server.process.wait(10)
        self.assertEqual(self.files_with_it(server, []), [])
        rotated = self.place.run("secret", "rotate-key", "--data", server.data)
        self.clean_exit(rotated)
        self.assertIn("1 secret", rotated.out)
        again = hz.Server(self.place, data=server.data)
        record = hz.wait_for(lambda: next((r for r in [again.execution(run)] if r["state"] not in ("queued", "running", "waiting")), None), 30,
                             what="it goes on")
        self.assertEqual((record["state"], record["result"]["largo"]), ("success", len(VALUE)), record)
        self.assertLess(record["result"]["cuando"], killed)  # what was done before is not done again
        self.assertEqual(again.stop(), 0)
        self.assertEqual(traces(self.place, again, []), [])

    def files_with_it(self, server, pids):
        """Without the segment, over which the worker hands its state to the manager; it goes with the worker, or at the next start."""
        return [name for name in traces(self.place, server, pids) if not name.startswith("horizon-")]

    def checkpoints(self):
        link = sqlite3.connect(f"file:{self.place.path('data/horizon.db')}?mode=ro", uri=True)
        try:
            return link.execute("SELECT count(*) FROM checkpoints").fetchone()[0]
        finally:
            link.close()

    def test_the_api_on_the_network_does_not_serve_them(self):
        server = hz.Server(self.place)
        for method, path in (("GET", "/secrets"), ("PUT", "/secrets/CLAVE"), ("DELETE", "/secrets/CLAVE"), ("POST", "/secret-key")):
            self.assertEqual(server.call(method, path, {} if method in ("PUT", "POST") else None).status, 403, path)
        self.assertEqual(server.stop(), 0)

    def test_without_a_server_and_what_is_refused(self):
        for name, value, text in (("9x", "value", "name"), ("a-b", "value", "name"), ("OK", "abc", "4 to 65536"),
                                  ("OK", "a\0bcd", "without NUL"), ("OK", "x" * 65537, "4 to 65536")):
            result = self.place.run("secret", "set", name, stdin=value)
            self.clean_exit(result, 2)
            self.assertIn(text, result.err)
        self.clean_exit(self.place.run("secret", "set", "UNO", stdin=VALUE))
        self.clean_exit(self.place.run("secret", "set", "DOS", stdin="otro valor"))
        key = self.read("data/secret.key")
        result = self.place.run("secret", "rotate-key")
        self.clean_exit(result)
        self.assertIn("2 secrets", result.out)
        self.assertNotEqual(self.read("data/secret.key"), key)
        self.assertEqual(len(self.read("data/secret.key").split()), 1)
        server = hz.Server(self.place, flows={"usa": flow("usa", "env.UNO", ["UNO", "NADA"])})
        record = server.execute("usa")
        lines = server.call("GET", f"/workers/{record['workerId']}/logs?lines=100", expect=200)["logs"]
        self.assertTrue([line for line in lines if f'"largo":{len(VALUE)}' in line], lines)
        hz.logged(server.process, "secret NADA, which is not set")
        result = server.cli("secret", "rotate-key")
        self.clean_exit(result)
        self.assertEqual(server.execute("usa")["state"], "success")
        self.clean_exit(server.cli("secret", "rm", "UNO"))
        self.clean_exit(server.cli("secret", "rm", "UNO"), 1)
        self.assertNotIn("UNO", server.cli("secret", "list").out)
        self.assertEqual(server.stop(), 0)

    def read(self, name):
        with open(self.place.path(name), encoding="ascii") as file:
            return file.read()

    def test_a_key_of_the_service_manager_wins_and_a_lost_key_is_said(self):
        self.place.write("cred/horizon-key", os.urandom(32).hex() + "\n")
        env = {"CREDENTIALS_DIRECTORY": self.place.path("cred")}
        self.clean_exit(self.place.run("secret", "set", "UNO", stdin=VALUE, env=env))
        self.assertFalse(os.path.exists(self.place.path("data/secret.key")))
        os.rename(self.place.path("cred/horizon-key"), self.place.path("cred/horizon-key-old"))
        self.place.write("cred/horizon-key", os.urandom(32).hex() + "\n")
        self.clean_exit(self.place.run("secret", "rotate-key", env=env))
        os.unlink(self.place.path("cred/horizon-key-old"))
        server = hz.Server(self.place, flows={"usa": flow("usa", "env.UNO", ["UNO"])}, env=env)
        self.assertEqual(server.execute("usa")["state"], "success")
        self.assertEqual(server.stop(), 0)
        self.place.write("cred/horizon-key", os.urandom(32).hex() + "\n")
        server = hz.Server(self.place, env=env)
        answer = server.call("POST", "/workflows/usa/executions", {"wait": True})
        if "the key at hand does not open it" not in answer.text:
            hz.logged(server.process, "the key at hand does not open it")
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    hz.main()
