"""What was: samples and lines of workers and manager, found again later, also after a death and a restart."""
import json
import os
import signal
import time
import urllib.parse

import hz
import openapi


def resident(name, threads=1, mapping='{"n": {{input.data}}}', **settings):
    flow = hz.simple_flow(name, mapping)
    flow["properties"]["horizon"] = {"isolation": "resident", "threads": threads, **settings}
    return flow


class History(openapi.Case):
    def logs(self, server, **query):
        return server.call("GET", "/logs?" + urllib.parse.urlencode({"limit": 1000, **query}), expect=200)["logs"]

    def samples(self, server, worker, **query):
        return server.call("GET", f"/workers/{worker}/metrics?" + urllib.parse.urlencode(query), expect=200)

    def worker_of(self, server, workflow):
        return hz.wait_for(lambda: next((w for w in server.workers() if w["workflowId"] == workflow), None), 15,
                           what=f"a worker of {workflow}")

    def test_lines_are_found_by_what_was_asked(self):
        server = hz.Server(self.place, flows={"eco": resident("eco"), "otro": resident("otro")})
        record = server.execute("eco", {"palabra": "Aguja"})
        for number in range(5):
            server.execute("eco", {"palabra": f"paja {number}"})
        server.execute("otro", {"palabra": "Aguja"})
        worker = self.worker_of(server, "eco")["id"]
        found = hz.wait_for(lambda: self.logs(server, text="aguja", workflow="eco"), 10, what="the line")
        self.assertEqual(len(found), 1, found)
        self.assertEqual(found[0]["workflowId"], "eco")
        self.assertEqual(found[0]["workerId"], worker)
        self.assertEqual(found[0]["executionId"], record["id"])
        self.assertIn("Aguja", found[0]["text"])
        self.assertEqual(self.logs(server, execution=record["id"]), found)
        hz.wait_for(lambda: len(self.logs(server, text="Aguja")) == 2, 10, what="both flows' lines")
        hz.wait_for(lambda: len(self.logs(server, worker=worker, text="paja")) == 5, 10, what="all lines of the worker")
        everything = self.logs(server, worker=worker)
        self.assertTrue(all(line["workerId"] == worker for line in everything))
        self.assertTrue(self.logs(server, worker="manager", text=f"Worker {worker} iniciado"))
        self.assertEqual([l for l in self.logs(server, level="error") if l["level"] != "error"], [])
        # pages: two at a time are all of them, in the same order, none twice
        pages, cursor = [], {}
        while True:
            query = {"limit": 2, "worker": worker, "to": everything[0]["time"], **cursor}
            path = "/logs?" + urllib.parse.urlencode(query)
            answer = server.call("GET", path, expect=200)
            pages += answer["logs"]
            if answer["next"] is None:
                break
            cursor = {"cursor": answer["next"]}
        older = [line for line in everything if line["time"] < everything[0]["time"]]
        self.assertEqual(pages, older)
        self.assertEqual(self.logs(server, worker=worker, to="2020-01-01T00:00:00Z"), [])
        self.commands(server, worker, record)
        # all of it is there after a restart
        self.assertEqual(server.stop(), 0)
        again = hz.Server(self.place, data=server.data)
        self.assertEqual(len(self.logs(again, text="aguja", workflow="eco")), 1)
        self.assertTrue(self.samples(again, worker)["samples"])
        self.assertTrue(self.samples(again, "manager")["samples"])
        again.stop()

    def commands(self, server, worker, record):
        found = server.cli("logs", "--grep", "aguja", "--workflow", "eco", "--since", "10m")
        self.clean_exit(found)
        self.assertEqual(len(found.out.strip().splitlines()), 1, found.out)
        self.assertIn(f"eco {worker[:8]}", found.out)
        found = server.cli("logs", worker, "--level", "info", "--json", "-n", "3")
        self.clean_exit(found)
        lines = json.loads(found.out)["logs"]
        self.assertEqual(len(lines), 3)
        self.assertGreaterEqual(lines[0]["time"], lines[2]["time"])  # newest first, as REST
        many = json.loads(server.cli("logs", worker, "--level", "info", "--json", "-n", "1001").out)["logs"]  # more than a page
        self.assertIn(lines[0], many)
        self.clean_exit(server.cli("logs", worker))  # the last lines, as before
        for words, expected in ((("logs",), "needs the ID"), (("logs", "--since", "gestern"), "expected a span"),
                                (("logs", "--grep", "x", "-f"), "--follow shows what comes"),
                                (("metrics", worker, "--step", "7"), "1, 60 or 900")):
            wrong = server.cli(*words)
            self.assertEqual(wrong.code, 2, wrong)
            self.assertIn(expected, wrong.err)
        wrong = server.cli("logs", "--level", "grave")
        self.assertEqual(wrong.code, 1, wrong)
        self.assertIn("level: expected debug, info, warn or error, not `grave`", wrong.err)
        hz.wait_for(lambda: self.samples(server, worker)["samples"], 10, what="samples")
        table = server.cli("metrics", worker[:8], "--since", "5m", "--step", "1")
        self.clean_exit(table)
        self.assertIn("NODE RUNS", table.out)
        self.assertGreaterEqual(len(table.out.strip().splitlines()), 2)
        table = server.cli("metrics", "manager", "--json")
        self.clean_exit(table)
        self.assertIn("storeLagMs", json.loads(table.out)["samples"][0])
        self.assertNotEqual(server.cli("metrics", "0123").code, 0)

    def test_a_wrong_parameter_is_named(self):
        server = hz.Server(self.place, flows={"eco": resident("eco")})
        server.execute("eco", {})
        worker = self.worker_of(server, "eco")["id"]
        nobody = "01234567-89ab-4cde-8f01-23456789abcd"
        week = "from=2026-01-01T00:00:00Z&to=2026-01-09T00:00:00Z"
        wrong = [
            ("logs?from=gestern", "from: expected a time"), ("logs?to=2026-02-31T00:00:00Z", "to: expected a time"),
            ("logs?level=grave", "level: expected debug"),
            ("logs?limit=0", "limit: expected a whole number from 1 to 1000"),
            ("logs?limit=1001", "limit:"), ("logs?worker=zz", "worker:"), ("logs?execution=1", "execution:"),
            ("logs?workflow=..%2Fx", "workflow:"), ("logs?text=", "text:"), ("logs?text=" + "x" * 257, "text:"),
            ("logs?cursor=7", "cursor:"), (f"logs?text=a&{week}", "from: expected a time at most 7 days"),
            ("logs?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from: expected a time before to"),
            (f"workers/{worker}/metrics?step=2", "step: expected 1, 60 or 900"),
            (f"workers/{worker}/metrics?limit=x", "limit:"), (f"workers/{worker}/metrics?from=x", "from:"),
            (f"workers/{nobody}/metrics", "Worker no encontrado"), ("workers/zzzz/metrics", "Worker no encontrado")]
        for path, name in wrong:
            status = 404 if name.endswith("encontrado") else 400
            answer = server.call("GET", "/" + path)
            self.assertEqual(answer.status, status, (path, answer))
            self.assertIn(name, answer.json["detail"], path)
        server.stop()

    def test_a_killed_worker_keeps_its_last_minute(self):
        flows = {"eco": resident("eco", mapping='{"n": 1}'), "quieto": hz.webhook_flow("quieto", "/quieto")}
        server = hz.Server(self.place, flows=flows)
        server.start_worker("quieto")
        until = time.monotonic() + 3
        sent = 0
        while time.monotonic() < until:
            server.execute("eco", {"k": "x" * 100})
            sent += 1
        worker = self.worker_of(server, "eco")
        os.kill(worker["processId"], signal.SIGKILL)
        gone = hz.wait_for(lambda: self.logs(server, worker=worker["id"], level="error"), 15,
                           what="the line of its death")
        self.assertIn("SIGKILL", " ".join(line["text"] for line in gone))
        def kept():
            return self.samples(server, worker["id"], step=1)["samples"]

        hz.wait_for(lambda: sum(s["executions"] for s in kept()) == sent, 10, what=f"{sent} executions in its samples")
        samples = kept()
        self.assertGreaterEqual(len(samples), 3)
        times = [s["time"] for s in samples]
        self.assertEqual(times, sorted(set(times)))
        self.assertGreater(max(s["cpuPercent"] for s in samples), 0)
        self.assertGreater(max(s["memoryBytes"] for s in samples), 500000)
        self.assertGreater(max(s["latencyP99Us"] for s in samples), 0)
        self.assertGreaterEqual(sum(s["nodeRuns"] for s in samples), 2 * sent)
        first = self.samples(server, worker["id"], step=1, limit=2)
        rest = self.samples(server, worker["id"], step=1, **{"from": first["next"]})
        self.assertEqual((first["samples"] + rest["samples"]), samples)
        own = self.samples(server, "manager", step=1)["samples"]
        self.assertGreaterEqual(sum(s["executions"] for s in own), 1)
        self.assertGreater(own[-1]["memoryBytes"], 1e6)
        # one that rests leaves a sample now and then, and a reader finds every second up to the last of them
        rests = self.worker_of(server, "quieto")["id"]
        self.assertTrue(self.samples(server, rests, step=1)["samples"])
        server.stop()

    def test_a_flood_of_lines_is_cut_and_said_once(self):
        flow = hz.looping_flow("charla", 3000)
        for node in flow["nodes"].values() if isinstance(flow["nodes"], dict) else flow["nodes"]:
            if node.get("type") == "data_transformer":
                node.setdefault("meta", {})["logs"] = {"exec": {"type": "warn", "value": "una línea más"}}
        flow["properties"]["horizon"] = {"isolation": "resident", "threads": 1}
        server = hz.Server(self.place, flows={"charla": flow})
        server.execute("charla", {})
        worker = self.worker_of(server, "charla")["id"]
        lines = server.call("GET", f"/workers/{worker}/logs?lines=10000", expect=200)["logs"]
        self.assertGreater(len(lines), 2000)
        said = hz.wait_for(lambda: self.logs(server, worker=worker, text="is not kept in the history"), 10,
                           what="the complaint")
        self.assertEqual(len(said), 1)
        kept = self.logs(server, worker=worker)
        print(f"{len(lines)} lines said, {len(kept)} in the history")
        self.assertLess(len(kept), len(lines) // 2)
        server.stop()


class Nodes(openapi.Case):
    def test_what_each_node_did_is_kept_where_it_is_asked_for(self):
        turns = 500
        flow = hz.looping_flow("vueltas", turns)
        flow["properties"]["horizon"] = {"isolation": "resident", "threads": 2, "nodeStats": True}
        without = hz.looping_flow("sin", 3)
        without["properties"]["horizon"] = {"isolation": "resident"}
        failing = hz.simple_flow("falla", '{"n": {{input.data.nada.aqui}}}')
        failing["properties"]["horizon"] = {"nodeStats": True}
        server = hz.Server(self.place, flows={"vueltas": flow, "sin": without, "falla": failing})
        record = server.execute("vueltas", {})
        path = f"/executions/{record['id']}/nodes"
        hz.wait_for(lambda: server.call("GET", path).status == 200, 10, what="its nodes")
        nodes = {node["name"]: node for node in server.call("GET", path, expect=200)["nodes"]}
        self.assertEqual({name: node["runs"] for name, node in nodes.items()},
                         {"Inicio": 1, "Cero": 1, "Sigue": turns + 1, "Suma": turns, "Fin": 1})
        self.assertEqual(nodes["Suma"]["type"], "data_transformer")
        self.assertEqual(sum(node["runs"] for node in nodes.values()), record["bill"]["nodeRuns"])
        self.assertTrue(all(node["errors"] == 0 and node["timeNs"] > 0 for node in nodes.values()), nodes)
        self.assertTrue(any(node["peakBytes"] > 0 for node in nodes.values()), nodes)
        failed = server.execute("falla", {})["id"]
        path = f"/executions/{failed}/nodes"
        hz.wait_for(lambda: server.call("GET", path).status == 200, 10, what="the failing one's nodes")
        nodes = {node["name"]: node for node in server.call("GET", path, expect=200)["nodes"]}
        self.assertEqual((nodes["Paso"]["runs"], nodes["Paso"]["errors"]), (1, 1), nodes)
        self.assertEqual(server.call("GET", f"/executions/{server.execute('sin', {})['id']}/nodes").status, 404)
        self.assertEqual(server.call("GET", "/executions/01234567-89ab-4cde-8f01-23456789abcd/nodes").status, 404)
        server.stop()

    def test_a_wrong_switch_is_named(self):
        flow = hz.simple_flow("mal")
        flow["properties"]["horizon"] = {"nodeStats": "sí"}
        self.place.write("mal.json", json.dumps(flow))
        result = self.place.run("check", "mal.json")
        self.assertNotEqual(result.code, 0)
        self.assertIn("properties.horizon.nodeStats", result.out + result.err)
        self.assertIn("true or false", result.out + result.err)

    def test_the_executions_pay_for_what_four_threads_used(self):
        """The sum over the executions is within 5 % of the CPU time of all threads of the process."""
        flow = hz.looping_flow("cuenta", 3000)
        flow["properties"]["horizon"] = {"isolation": "resident", "threads": 4}
        server = hz.Server(self.place, flows={"cuenta": flow})
        ids = [server.execute("cuenta", {}, wait=False)["executionId"] for _ in range(120)]
        hz.wait_for(lambda: all(server.execution(one)["state"] == "success" for one in ids), 60, what="all of them")
        time.sleep(0.5)
        worker = next(w for w in server.workers() if w["workflowId"] == "cuenta")
        tasks = f"/proc/{worker['processId']}/task"
        used = 0
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/schedstat", encoding="ascii") as file:
                used += int(file.read().split()[0])
        paid = sum(server.execution(one)["bill"]["cpuNs"] for one in ids)
        print(f"{len(ids)} executions paid {paid / 1e6:.2f} ms, the process used {used / 1e6:.2f} ms")
        self.assertTrue(0.95 <= paid / used <= 1.05, (paid, used))
        server.stop()


if __name__ == "__main__":
    hz.main()
