"""Manager and worker ask each other: right answers, each at its question, time-outs, the end of either side."""
import json
import os
import signal
import threading
import time

import hz

NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")


def asker_flow(name="pregunta", count=200, **more):
    flow = hz.Flow(name)
    flow.chain(flow.node("workflow_init", "Inicio"), "init",
               flow.node("asker", "Pregunta", count=count, first="{{input.data.data.first}}"), "response",
               flow.node("console_output", "Consola"))
    flow.json["properties"]["horizon"] = {"isolation": "resident", **more}
    return flow.json


EXAMPLES = os.path.join(hz.BUILD, "plugins", "examples")
HELPERS = os.path.join(hz.SOURCE, "plugins", "examples", "helpers", "flow.json")


class Helpers(hz.Case):
    """The sample plugin that calls every helper, in its own flow."""

    def test_every_helper_is_answered(self):
        result = self.place.run("run", HELPERS, env={"HORIZON_NODES": EXAMPLES, "WFV_SAMPLE": "1"})
        self.clean_exit(result)
        answers = {(a["helper"], a.get("sent", False)): a for a in map(json.loads, result.console)}
        self.assertEqual(len(answers), 15, answers.keys())
        good = {name: a["data"] for (name, _), a in answers.items() if a["success"]}
        self.assertTrue(all(data["success"] for data in good.values()))
        self.assertEqual(len(good["getNodesFromServer"]["nodes"]), 17, "thirteen and the examples")
        self.assertEqual(good["getNodeFromServer"]["node"]["type"], "workflow_init")
        self.assertEqual(good["getWorkflowFromServer"]["workflow"]["id"], "helpers")
        self.assertEqual((good["getSystemHealthFromServer"]["status"], good["getSystemHealthFromServer"]["workers"]),
                         ("OK", 1))
        self.assertEqual(good["getEnvironmentFromServer"]["envs"], {"SAMPLE": "1"})
        for name in ("sendWorkerLog", "sendLogs", "reportProgress", "sendMetrics", "sendDebug"):
            self.assertEqual(good[name], {"success": True})
        refused = {name: a["message"] for (name, _), a in answers.items() if not a["success"]}
        self.assertEqual(refused, {"getCredentialsFromServer": "Credencial no encontrada"} | {name: "Ruta no encontrada: " + route for name, route in (
            ("requestDatabaseOperation", "database:operation"),
            ("requestExternalAPI", "external:api"), ("requestFileOperation", "file:operation"),
            ("unknown", "no:such:route"))})
        self.assertIn("one of several", result.err, "a line of sendLogs")

    def test_a_manager_that_stands_still_for_30_s(self):
        """The question fails by itself; what the manager says when it goes on is too late and harms nobody."""
        with open(HELPERS, encoding="utf-8") as file:
            flow = json.load(file)
        flow["nodes"]["wait"] = {"type": "delay", "name": "Wait", "properties": {"delay": {"value": 1}}}
        flow["nodes"]["helpers"]["properties"]["only"] = {"value": "getSystemHealthFromServer"}
        flow["connections"][0].update(idNodeOrigin="wait", connectorOriginName="response")
        flow["connections"].append({"idNodeOrigin": "start", "connectorOriginName": "init", "idNodeDestiny": "wait",
                                    "connectorDestinyName": "input"})
        run = self.place.start("run", self.place.write("late/flow.json", flow), env={"HORIZON_NODES": EXAMPLES})
        hz.wait_for(lambda: "iniciado exitosamente" in run.text("err"), what="its worker")
        os.kill(run.pid, signal.SIGSTOP)
        time.sleep(32.5)
        os.kill(run.pid, signal.SIGCONT)
        self.assertEqual(run.wait(20), 0, run.text())
        self.assertIn('[console] {"helper":"getSystemHealthFromServer","route":"system:health","success":false,'
                      '"message":"Request timeout"}', run.text("out"))


class Talk(hz.Case):
    def server(self, flows, **env):
        return hz.Server(self.place, flows=flows, env={"HORIZON_NODES": NODES, **env})

    def test_100000_mixed_questions_each_with_its_own_answer(self):
        asked, per_run = {"": (80_000, 20_000), "address": (8_000, 2_000), "thread": (4_000, 500)}[hz.SANITIZE], 200
        server = self.server({"pregunta": asker_flow(count=per_run)})
        first = server.execute("pregunta", {"first": 0})
        self.assertEqual(first["state"], "success", server.process.text()[-2000:])
        worker = [w for w in server.workers() if w["workflowId"] == "pregunta"][0]
        wrong = []

        def to_worker(seed):
            types = ("delay", "cache", "iteration", "validator", "nada")
            connection = hz.http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            for turn in range(asked[1] // 4):
                kind = types[(turn + seed) % 5]
                route, data = (("nodes:get", {"type": kind}), (f"no:{seed}:{turn}", {}))[turn % 2]
                connection.request("POST", f"/api/v1/workers/{worker['id']}/messages",
                                   json.dumps({"route": route, "data": data}), server.signed)
                text = connection.getresponse().read().decode()
                good = (f"Ruta no encontrada: no:{seed}:{turn}" in text if turn % 2 else
                        "Tipo de nodo no encontrado" in text if kind == "nada" else f'"type":"{kind}"' in text)
                if not good:
                    wrong.append((route, data, text[:300]))
            connection.close()

        def from_worker(number):
            for turn in range(asked[0] // per_run // 4):
                record = server.execute("pregunta", {"first": (number * 1_000_000 + turn * per_run)})
                if (record["state"]) != "success":
                    wrong.append(record)

        started = time.monotonic()
        threads = ([threading.Thread(target=to_worker, args=(n,)) for n in range(4)] +
                   [threading.Thread(target=from_worker, args=(n,)) for n in range(4)])
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - started
        self.assertEqual(wrong[:3], [])
        logs = server.call("GET", f"/workers/{worker['id']}/logs?lines=10000", expect=200)["logs"]
        results = [json.loads(line.split("[console] ", 1)[1]) for line in logs if "[console] " in line]
        self.assertEqual({result["wrong"] for result in results}, {0}, [r for r in results if r["wrong"]][:3])
        self.assertEqual(sum(result["right"] for result in results), asked[0] + per_run)
        print(f"{sum(asked)} questions in {took:.1f} s, {sum(asked) / took:.0f}/s")

    def test_a_question_a_worker_does_not_answer_times_out(self):
        server = self.server({"pregunta": asker_flow(count=20)}, HORIZON_REQUEST_TIMEOUT="1000")
        server.execute("pregunta", {"first": 0})
        worker = [w for w in server.workers() if w["workflowId"] == "pregunta"][0]
        worker_pid = worker["processId"]
        # a worker that stands still: the manager's questions end with the contract's text
        os.kill(worker_pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            answer = server.call("POST", f"/workers/{worker['id']}/messages", {"route": "worker:status"}, timeout=20)
            self.assertLess(time.monotonic() - started, 3 * hz.SLOW)
            self.assertIn("Timeout en la solicitud al worker", answer.text)
        finally:
            os.kill(worker_pid, signal.SIGCONT)
        answer = server.call("POST", f"/workers/{worker['id']}/messages", {"route": "worker:status"}, timeout=20)
        self.assertIn(worker["id"], answer.text, "it goes on afterwards")

    def test_requests_in_flight_end_with_worker_stopped(self):
        flow = hz.looping_flow("b", 10 ** 9)
        flow["properties"]["horizon"] = {"isolation": "resident"}
        server = self.server({"b": flow})
        server.execute("b", wait=False)
        worker = hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"], what="a worker")[0]
        os.kill(worker["processId"], signal.SIGSTOP)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            server.call("POST", f"/workers/{worker['id']}/messages", {"route": "worker:status"}, timeout=20)))
            for _ in range(10)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        killed = time.monotonic()
        os.kill(worker["processId"], signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.assertLess(time.monotonic() - killed, 2 * hz.SLOW)
        self.assertEqual(len(answers), 10)
        self.assertTrue(all("Worker stopped" in answer.text for answer in answers), answers)

    def test_send_asks_every_route_and_names_every_error(self):
        server = self.server({"w": hz.webhook_flow("w", "/w")}, HORIZON_REQUEST_TIMEOUT="1000")
        worker = server.start_worker("w")

        def send(*words):
            result = server.cli("send", *words)
            self.clean_exit(result)
            return json.loads(result.out)

        def refused(text, *words, code=1):
            result = server.cli("send", *words)
            self.clean_exit(result, code)
            self.assertEqual((result.out, result.err), ("", f"horizon: {text}\n"))

        self.assertIn("delay", send(worker["id"], "nodes:list")["nodes"])
        self.assertEqual(send(worker["id"][:8], "nodes:get", '{"type": "delay"}')["node"]["properties"]["delay"]["step"], 0.1)
        self.assertNotIn("00000", server.cli("send", worker["id"], "nodes:get", '{"type":"delay"}').out, "0.1 stays 0.1")
        health = send(worker["id"], "system:health")
        self.assertEqual((health["success"], health["status"]), (True, "OK"))
        self.assertEqual(set(health["memoryUsage"]), {"rss", "heapUsed", "heapTotal", "external"})
        self.assertEqual(set(health["cpuUsage"]), {"user", "system"})
        status = send(worker["id"], "worker:status")
        self.assertEqual([status[key] for key in ("workerId", "workflowId", "port", "status", "nodes")],
                         [worker["id"], "w", worker["port"], "running", 5])
        self.assertEqual(set(status["executions"]), {"started", "finished", "errors"})
        refused("Tipo de nodo requerido", worker["id"], "nodes:get")
        refused("Tipo de nodo no encontrado", worker["id"], "nodes:get", '{"type":"nada"}')
        refused("Ruta no encontrada: otra", worker["id"], "otra")
        refused("ID de worker y ruta requeridos", worker["id"], "", code=2)
        refused("ID de worker y ruta requeridos", "", "worker:status", code=2)
        missing = "00000000-0000-4000-8000-000000000000"
        refused(f"Worker {missing} no está disponible", missing, "worker:status")
        refused("Ruta no encontrada: " + "é" * 1000, worker["id"], "é" * 1000)
        refused("Ruta no encontrada", worker["id"], "é" * 3000)
        os.kill(worker["processId"], signal.SIGSTOP)
        refused("Timeout en la solicitud al worker", worker["id"], "worker:status")
        timer = threading.Timer(0.5, lambda: os.kill(worker["processId"], signal.SIGKILL))
        timer.start()
        refused("Worker stopped", worker["id"], "worker:status")

    def test_questions_both_ways_end_with_the_worker(self):
        """Killed while its questions and ours are on the way: ours end, its execution fails, nothing is kept for it."""
        server = self.server({"pregunta": asker_flow(count=200)})
        server.execute("pregunta", {"first": 0})
        before = hz.fd_count(server.pid)
        for turn in range(4):  # the fifth would park it
            worker = [w for w in server.workers() if w["workflowId"] == "pregunta" and w["status"] == "running"][0]
            answers, records = [], []
            asking = [threading.Thread(target=lambda: answers.append(server.call(
                "POST", f"/workers/{worker['id']}/messages", {"route": "nodes:list"}, timeout=20))) for _ in range(8)]
            asked = [threading.Thread(target=lambda: records.append(server.execute("pregunta", {"first": 0})))
                     for _ in range(8)]
            for thread in asking + asked:
                thread.start()
            time.sleep(0.001 * (turn % 5))
            os.kill(worker["processId"], signal.SIGKILL)
            for thread in asking + asked:
                thread.join(20)
                self.assertFalse(thread.is_alive())
            self.assertTrue(all(a.status == 200 or "Worker stopped" in a.text or "no está disponible" in a.text
                                for a in answers), answers)
            self.assertTrue(all(r["state"] in ("success", "interrupted", "crashed") for r in records), records)
            hz.wait_for(lambda: server.execute("pregunta", {"first": 0})["state"] == "success", 20, what="the next worker")
        self.assertLess(hz.fd_count(server.pid), before + 20)

    def test_messages_to_what_is_not_there(self):
        server = self.server({})
        answer = server.call("POST", "/workers/00000000-0000-4000-8000-000000000000/messages", {"route": "system:health"})
        self.assertEqual(answer.status, 404)
        self.assertIn("Worker 00000000-0000-4000-8000-000000000000 no está disponible", answer.text)


if __name__ == "__main__":
    hz.main()
