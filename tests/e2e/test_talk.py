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
                                   json.dumps({"route": route, "data": data}), {"Content-Type": "application/json"})
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

    def test_a_question_the_manager_does_not_answer_times_out(self):
        """The manager stands still; the worker's questions fail by themselves."""
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

    def test_messages_to_what_is_not_there(self):
        server = self.server({})
        answer = server.call("POST", "/workers/00000000-0000-4000-8000-000000000000/messages", {"route": "system:health"})
        self.assertEqual(answer.status, 404)
        self.assertIn("Worker 00000000-0000-4000-8000-000000000000 no está disponible", answer.text)


if __name__ == "__main__":
    hz.main()
