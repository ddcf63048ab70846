"""`--json` of each command is the object that REST answers for the same operation, through the Unix socket; completion for bash."""
import json
import os
import re
import shutil
import subprocess
import time

import hz
import openapi

# Commands whose operation is not the server's: they read files, or shared memory, with or without a server.
LOCAL = {"check", "doctor", "db", "top", "node", "run"}


def shape(value):
    """Keys and types; of a list the shapes of what is in it."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(member), sort_keys=True) for member in value})
    return "number" if type(value) in (int, float) else type(value).__name__


class Json(openapi.Case):
    def setUp(self):
        super().setUp()
        parked = {"reason": "too often", "crashId": "", "since": 1}
        self.place.write("data/parked.json", {"uno": parked, "dos": parked})
        self.server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook"), "once": hz.simple_flow("once"),
                                                   "bad": self.failing("bad")}, env={"HORIZON_SPARES": "0"})

    @staticmethod
    def failing(name):
        flow = hz.simple_flow(name, '{"x": {{nada.nada}}}')
        flow["properties"]["horizon"] = {"retry": {"times": 0}}
        return flow

    def rest(self, method, path, body=None):
        answer = hz.request(self.server.socket, method, "/api/v1" + path, body)
        self.assertIn(answer.status, (200, 201, 202), (path, answer))
        return answer.json

    def cli(self, *words, stdin=None):
        run = self.place.run if words[0] == "nodes" else self.server.cli  # the one without --data
        result = run(*words, "--json", stdin=stdin)
        self.clean_exit(result)
        self.tried.add(words[0])
        return json.loads(result.out)

    tried = None

    def same(self, path, *words):
        """Leaf by leaf: what REST says before and after has to be what the command says; what changes meanwhile is of one type."""
        before, said, after = self.rest("GET", path), self.cli(*words), self.rest("GET", path)

        def compare(a, b, c, where):
            if isinstance(a, dict) and isinstance(c, dict):
                self.assertEqual(set(b), set(a), where)
                for key in a:
                    compare(a[key], b[key], c.get(key), f"{where}.{key}")
            elif isinstance(a, list) and isinstance(c, list) and len(a) == len(c):
                self.assertEqual(len(b), len(a), where)
                for number, entry in enumerate(a):
                    compare(entry, b[number], c[number], f"{where}[{number}]")
            elif a == c:
                self.assertEqual((type(b), b), (type(a), a), where)
            else:
                self.assertIn(shape(b), (shape(a), shape(c)), where)
        compare(before, said, after, " ".join(words))
        return said

    def alike(self, said, rest):
        self.assertEqual(shape(said), shape(rest))

    def test_every_command_says_what_rest_says(self):
        self.tried = set()
        server = self.server
        # ---- workers
        mine = self.cli("start", "hook")
        other = self.rest("POST", "/workers", {"workflowId": "hook"})
        self.alike(mine, other)
        self.same("/workers", "ps")
        hz.wait_for(lambda: self.rest("GET", f"/workers/{mine['id']}/logs")["logs"], what="a line")
        self.same(f"/workers/{mine['id']}/logs", "logs", mine["id"])
        self.assertEqual(self.cli("send", mine["id"], "worker:status").keys(),
                         self.rest("POST", f"/workers/{mine['id']}/messages", {"route": "worker:status"}).keys())
        lines = self.rest("GET", f"/logs?worker={mine['id']}&limit=2")
        said = self.cli("logs", mine["id"], "--since", "1h", "-n", "2")
        self.alike(said, lines)
        self.assertEqual(self.cli("logs", "--level", "error", "--since", "1m").keys(), lines.keys())
        self.alike(self.cli("restart", mine["id"]), self.rest("POST", f"/workers/{other['id']}/restart"))
        first, second = [worker["id"] for worker in server.workers()]
        self.alike(self.cli("stop", first), self.rest("POST", f"/workers/{second}/stop"))
        hz.wait_for(lambda: self.rest("GET", "/workers/manager/metrics")["samples"], 10, what="samples")
        start = int(time.time() * 1000) - 3600000
        samples = self.rest("GET", f"/workers/manager/metrics?from={start}&step=1")
        said = self.cli("metrics", "manager", "--since", "1h", "--step", "1")
        self.assertEqual(said["samples"][:len(samples["samples"]) - 1], samples["samples"][:-1])
        self.assertEqual(said.keys(), samples.keys())
        # ---- executions
        once = self.cli("exec", "once", '{"n": 1}', "--wait")
        record = self.rest("POST", "/workflows/once/executions", {"data": {"n": 1}, "wait": True})
        self.alike(once, record)
        self.assertEqual({**once, "progress": None}, self.rest("GET", f"/executions/{once['id']}"))
        self.alike(self.cli("exec", "once"), self.rest("POST", "/workflows/once/executions", {}))
        self.alike(self.cli("exec", "once", "--delay", "600000"), self.rest("POST", "/workflows/once/executions", {"delayMs": 600000}))
        hz.wait_for(lambda: len(self.rest("GET", "/executions?workflowId=once&state=success")["executions"]) == 4, what="they are over")
        self.same("/executions", "executions")
        waiting = self.same("/executions?workflowId=once&state=waiting&limit=5", "executions", "once", "--state", "waiting", "--limit", "5")
        one, two = [row["id"] for row in waiting["executions"]]
        self.alike(self.cli("cancel", one), self.rest("POST", f"/executions/{two}/cancel"))
        # ---- dead letters, parked, crashes, alerts
        for _ in range(2):
            self.rest("POST", "/workflows/bad/executions", {"wait": True})
        dead = self.same("/dead", "dead")["executions"]
        self.assertEqual(len(dead), 2)
        self.alike(self.cli("dead", "redrive", dead[0]["id"]), self.rest("POST", f"/dead/{dead[1]['id']}/redrive"))
        self.same("/parked", "release")
        self.alike(self.cli("release", "uno"), self.rest("POST", "/workflows/dos/release"))
        self.same("/crashes", "crash")
        self.same("/alerts", "alerts")
        self.same("/alerts?state=all&limit=1000", "alerts", "list", "--all")
        self.alike(self.cli("alerts", "silence", "disk", "--for", "5"), self.rest("POST", "/alerts/silence", {"rule": "disk", "minutes": 5}))
        self.alike(self.cli("alerts", "unsilence", "disk"),
                   self.rest("POST", "/alerts/silence", {"rule": "disk", "minutes": 5}) and self.rest("POST", "/alerts/unsilence", {"rule": "disk"}))
        self.alike(self.cli("alerts", "test", "disk"), self.rest("POST", "/alerts/test", {"rule": "disk"}))
        # ---- accounts
        self.alike(self.cli("token", "create", "t1", "--role", "viewer"), self.rest("POST", "/tokens", {"name": "t2", "role": "Viewer"}))
        self.alike(self.cli("token", "create", "t3", "--role", "viewer", "--expires", "1h"),
                   self.rest("POST", "/tokens", {"name": "t4", "role": "Viewer", "expiresDays": 1}))
        self.same("/tokens", "token", "list")
        self.assertEqual(self.server.cli("token", "revoke", "t1", "--json").out, "")  # 204
        eva = self.cli("user", "add", "eva@example.org", "--role", "viewer", stdin="secret-1234\n")
        self.alike(eva, self.rest("POST", "/users", {"email": "ana@example.org", "role": "Viewer", "password": "secret-1234"}))
        self.same("/users", "user", "list")
        for words in ("role", "eva@example.org", "user"), ("disable", "eva@example.org"), ("enable", "eva@example.org"):
            self.assertEqual(self.cli("user", *words), self.rest("GET", "/users/eva@example.org"))
        self.assertEqual(self.cli("user", "password", "eva@example.org", stdin="secret-5678\n"), self.rest("GET", "/users/eva@example.org"))
        self.alike(self.cli("login"), self.rest("POST", "/login-codes", {}))
        self.same("/audit?limit=50", "audit")
        self.same("/audit?limit=5&action=users:create", "audit", "--lines", "5", "--action", "users:create")
        # ---- secrets, nodes, flows, the server
        self.assertEqual(self.cli("secret", "set", "UNO", stdin="valor-largo"), hz.request(server.socket, "PUT", "/api/v1/secrets/UNO", "valor-dos").json)
        self.same("/secrets", "secret", "list")
        self.assertEqual(self.cli("secret", "rm", "UNO"), {"name": "UNO"})
        self.alike(self.cli("secret", "rotate-key"), self.rest("POST", "/secret-key"))
        self.same("/nodes", "nodes")
        flow = hz.simple_flow("suma")
        file = self.place.write("flows/suma/flow.json", flow)
        self.assertEqual(self.cli("import", file), [self.rest("PUT", "/workflows/suma", flow)])
        # ---- all of them?
        listed = re.findall(r"^  ([a-z]+) ", self.place.run("help").out.split("options:")[0], re.M)
        with_json = {name for name in listed if "--json" in self.place.run("help", name).out}
        self.assertEqual(with_json - LOCAL, self.tried)

    def test_without_a_server_the_objects_are_the_same(self):
        self.tried = set()
        eva = self.cli("user", "add", "eva@example.org", "--role", "viewer", stdin="secret-1234\n")
        token = self.cli("token", "create", "t1", "--role", "viewer")
        self.cli("secret", "set", "UNO", stdin="valor-largo")
        secrets = self.cli("secret", "list")
        self.server.stop()
        self.alike(self.cli("user", "add", "ana@example.org", "--role", "viewer", stdin="secret-1234\n"), eva)
        self.assertEqual(self.cli("user", "disable", "eva@example.org")["status"], "inactive")
        self.alike(self.cli("token", "create", "t2", "--role", "viewer"), token)
        self.assertEqual(self.cli("secret", "list"), secrets)
        self.assertEqual(self.cli("secret", "rm", "UNO"), {"name": "UNO"})


class Completion(hz.Case):
    def complete(self, server, line, cwd=None):
        """What bash offers at the end of the line."""
        words = line.split(" ")
        script = f"""set -u
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_horizon
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        words = [hz.HORIZON if word == "horizon" else server.data if word == "DATA" else word for word in words]
        result = subprocess.run(["bash", "--norc", "-c", script, "bash", os.path.join(hz.SOURCE, "core", "cli", "horizon.bash"), *words],
                                capture_output=True, text=True, timeout=30 * hz.SLOW, cwd=cwd or self.place.dir, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""), line)
        return [line for line in result.stdout.splitlines() if line]

    def test_bash_completes_commands_options_roles_and_ids(self):
        if not shutil.which("bash"):
            self.skipTest("bash is not installed")
        server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook"), "suma": hz.simple_flow("suma")})
        worker = server.start_worker("hook")["id"]
        server.execute("suma")
        server.call("POST", "/users", {"email": "eva@example.org", "role": "Viewer", "password": "secret-1234"}, expect=201)
        server.new_token(name="deploy")
        done = server.call("GET", "/executions?workflowId=suma", expect=200)["executions"][0]["id"]
        told = lambda line: self.complete(server, line)
        self.assertEqual(set(told("horizon re")), {"restart", "release"})
        self.assertEqual(set(told("horizon ")) - {"--help", "--version"},
                         set(re.findall(r"^  ([a-z]+) ", self.place.run("help").out.split("options:")[0], re.M)))
        self.assertEqual(told("horizon token create x --ro"), ["--role"])
        self.assertEqual(set(told("horizon exec suma --")), {"--wait", "--priority", "--delay", "--at", "--deadline", "--key", "--data", "--json", "--help"})
        self.assertEqual(told("horizon user add eva@x --role V"), ["Viewer"])
        self.assertEqual(told("horizon user add eva@x --role = Su"), ["SuperAdmin"])  # as bash splits --role=Su
        self.assertEqual(told("horizon user role eva@x Ma"), ["Manager"])
        self.assertEqual(set(told("horizon token ")), {"create", "list", "revoke"})
        self.assertEqual(set(told("horizon user ")), {"add", "list", "password", "role", "disable", "enable"})
        self.assertEqual(set(told("horizon alerts ")), {"list", "silence", "unsilence", "test"})
        self.assertEqual(set(told("horizon secret r")), {"rm", "rotate-key"})
        self.assertEqual(told("horizon logs --level w"), ["warn"])
        self.assertEqual(told("horizon executions --data DATA --state cr"), ["crashed"])
        for command in "stop", "restart", "send", "logs", "metrics":
            self.assertEqual(told(f"horizon {command} --data DATA {worker[:6]}"), [worker])
        self.assertEqual(set(told("horizon exec --data DATA ")), {"hook", "suma"})
        self.assertEqual(told("horizon start --data DATA s"), ["suma"])
        self.assertEqual(told(f"horizon cancel --data DATA {done[:6]}"), [done])
        self.assertEqual(told("horizon user password --data DATA e"), ["eva@example.org"])
        self.assertEqual(told("horizon token revoke --data DATA de"), ["deploy"])
        self.assertEqual(told("horizon exec suma --key "), [])
        self.assertEqual(told("horizon stop --data DATA " + worker + " "), [])
        self.place.write("flows/x/flow.json", "{}")
        self.assertEqual(told("horizon check fl"), ["flows"])
        # no server, no data directory: nothing, and at once
        self.assertEqual(told("horizon stop --data nowhere "), [])


if __name__ == "__main__":
    hz.main()
