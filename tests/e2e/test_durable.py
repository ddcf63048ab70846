"""Checkpoints, recovery, retries, dead letters, idempotency keys: what is promised after kill -9 of worker and manager."""
import collections
import json
import os
import signal
import socket
import time

import hz
import openapi
from sink import Sink

FINAL = {"success", "failed", "cancelled", "timed_out", "crashed", "interrupted"}


def steps_flow(name, sink, horizon, paths=("/a", "/b", "/c"), delays=()):
    """init -> POST each path in turn; delays[i]: seconds of delay before path i."""
    flow = hz.Flow(name)
    last, output = flow.node("workflow_init", "Inicio"), "init"
    for number, path in enumerate(paths):
        if number < len(delays) and delays[number]:
            wait = flow.node("delay", f"Espera {number}", delay=delays[number])
            flow.link(last, output, wait)
            last, output = wait, "response"
        post = flow.node("http_request", f"Paso {number}", type="post", url=sink.url(path), body='{"n": "{{input.data.ok}}"}')
        flow.link(last, output, post)
        last, output = post, "response"
    flow.json["properties"]["horizon"] = horizon
    return flow.json


class Durable(openapi.Case):
    def setUp(self):
        super().setUp()
        self.block = hz.PortBlock(1)
        self.addCleanup(self.block.close)
        self.sink = Sink(self.place, self.block.base)

    def final(self, server, execution, timeout=30):
        def look():
            row = server.execution(execution)
            return row if row["state"] in FINAL else None
        return hz.wait_for(look, timeout, what="the execution ends")

    def again(self, server):
        """kill -9 of the manager, then a new one on the same directory."""
        server.process.family()
        os.kill(server.pid, signal.SIGKILL)
        server.process.wait(10)
        return hz.Server(self.place, data=server.data)

    def reached(self, path, count=1):
        hz.wait_for(lambda: sum(p == path for _, p in self.sink.effects()) >= count, 20, what=f"{path} is reached")

    def test_an_execution_goes_on_from_its_checkpoint_after_the_manager_was_killed(self):
        for isolation in ("isolated", "resident"):
            with self.subTest(isolation):
                name = "ck_" + isolation
                paths = [f"/{isolation}/{step}" for step in "abc"]
                server = hz.Server(self.place, data=self.place.path(name), flows={name: steps_flow(
                    name, self.sink, {"durability": "checkpoint", "isolation": isolation}, paths, (0, 0, 2))})
                accepted = server.execute(name, {"x": 1}, wait=False)["executionId"]
                self.reached(paths[1])
                time.sleep(0.7)  # the wait of the delay is on disk by now
                server = self.again(server)
                ready = hz.request(server.port, "GET", "/readyz").json
                self.assertEqual((ready["recovery"]["found"], ready["recovery"]["resumed"]), (1, 1))
                row = self.final(server, accepted)
                self.assertEqual((row["state"], row["attempt"]), ("success", 2))
                effects = [effect for effect in self.sink.effects() if effect[1] in paths]
                self.assertEqual([path for _, path in effects], paths, "no step ran twice")
                self.assertEqual(len({key for key, _ in effects}), 3)
                for key, _ in effects:
                    self.assertTrue(key.startswith(accepted + ":"), key)
                server.stop()

    def test_a_step_cut_off_has_the_same_key_in_its_next_attempt(self):
        for horizon, states in (({"durability": "checkpoint"}, ("success", [1, 2, 1])),
                                ({"durability": "execution", "onInterrupt": "restart"}, ("success", [2, 2, 1])),
                                ({"durability": "execution"}, ("interrupted", [1, 1, 0]))):
            with self.subTest(horizon):
                name = f"cut{len(horizon)}{horizon['durability']}"
                paths = [f"/{name}/a", f"/long/{name}/b", f"/{name}/c"]
                server = hz.Server(self.place, data=self.place.path(name),
                                   flows={name: steps_flow(name, self.sink, horizon, paths)})
                accepted = server.execute(name, {}, wait=False)["executionId"]
                hz.wait_for(lambda: any(path == paths[1] for _, path in self.sink.effects()), 20, every=0.001)
                server = self.again(server)
                self.assertEqual(self.final(server, accepted)["state"], states[0])
                effects = [effect for effect in self.sink.effects() if effect[1] in paths]
                self.assertEqual([sum(path == p for _, path in effects) for p in paths], states[1])
                keys = collections.defaultdict(set)
                for key, path in effects:
                    keys[path].add(key)
                self.assertTrue(all(len(each) == 1 for each in keys.values()), keys)
                server.stop()

    def test_branches_joins_and_loops_survive_the_loss_of_their_worker(self):
        flow = hz.Flow("ramas")
        start = flow.node("workflow_init", "Inicio")
        join = flow.node("parallelism", "Junta", type="allParallel")
        for number in range(3):
            post = flow.node("http_request", f"Rama {number}", type="post", url=self.sink.url(f"/rama/{number}"))
            flow.link(start, "init", post)
            wait = flow.node("delay", f"Pausa {number}", delay=0.3 if number == 2 else 0)
            flow.link(post, "response", wait)
            flow.link(wait, "response", join)
        each = flow.node("iteration", "Cada", valor="[1, 2, 3, 4]")
        flow.link(join, "response", each, "init")
        turn = flow.node("http_request", "Vuelta", type="post", url=self.sink.url("/slow/vuelta"),
                         body='{"n": {{input.data.value}}}')
        end = flow.node("http_request", "Fin", type="post", url=self.sink.url("/fin"), body='{"n": {{input.data.value}}}')
        flow.link(each, "response", turn)
        flow.link(turn, "response", each, "next")
        flow.link(each, "finish", end)
        flow.json["properties"]["horizon"] = {"durability": "checkpoint", "isolation": "isolated"}
        server = hz.Server(self.place, flows={"ramas": flow.json})
        accepted = server.execute("ramas", {}, wait=False)["executionId"]
        kills = 0
        for path, count in (("/rama/0", 1), ("/slow/vuelta", 1), ("/slow/vuelta", 3)):
            self.reached(path, count)
            for worker in server.workers():
                if worker["workflowId"] == "ramas" and worker["processId"]:
                    os.kill(worker["processId"], signal.SIGKILL)
                    kills += 1
            time.sleep(0.1)
        row = self.final(server, accepted)
        self.assertEqual(row["state"], "success", row)
        effects = self.sink.effects()
        by_path = collections.defaultdict(set)
        for key, path in effects:
            by_path[path].add(key)
        self.assertEqual({path: len(keys) for path, keys in by_path.items()},
                         {"/rama/0": 1, "/rama/1": 1, "/rama/2": 1, "/slow/vuelta": 3, "/fin": 1})
        self.assertLessEqual(len(effects), 7 + 3 * kills)
        self.assertGreaterEqual(kills, 2)

    def test_a_failed_execution_is_tried_again_then_it_is_a_dead_letter_that_can_be_driven_again(self):
        server = hz.Server(self.place, flows={"malo": steps_flow(
            "malo", self.sink, {"retry": {"times": 2, "delay": 100, "jitter": 0}}, ("/bad",))})
        begun = time.monotonic()
        row = server.execute("malo", {"x": 7})
        self.assertEqual((row["state"], row["attempt"]), ("failed", 3))
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)  # 100 + 200 ms
        keys = [key for key, _ in self.sink.effects()]
        self.assertEqual((len(keys), len(set(keys))), (3, 1))
        dead = server.call("GET", "/dead", expect=200)["executions"]
        self.assertEqual([letter["id"] for letter in dead], [row["id"]])
        listed = server.cli("dead")
        self.assertIn(row["id"], listed.out)
        server.add_flow("malo", steps_flow("malo", self.sink, {"retry": {"times": 0}}, ("/good",)))
        server.cli("import", server.data + "/workflows/malo")
        driven = server.cli("dead", "redrive", row["id"])
        self.assertEqual(driven.code, 0, driven)
        fresh = driven.out.split()[-1]
        done = self.final(server, fresh)
        self.assertEqual((done["state"], done["trigger"], done["input"]), ("success", "redrive", {"x": 7}))
        self.assertEqual(server.call("GET", "/dead", expect=200)["executions"], [])
        self.assertEqual(server.call("POST", f"/dead/{row['id']}/redrive").status, 404)

    def test_a_dead_letter_that_two_drive_at_once_gives_one_execution(self):
        flow = hz.simple_flow("malo", '{"n": {{input.data.data.n.x}}}')
        flow["properties"]["horizon"] = {"retry": {"times": 0}}
        server = hz.Server(self.place, flows={"malo": flow})
        letter, known, both = server.execute("malo")["id"], 1, 0
        for _ in range(20):  # the second may come when the letter is gone already
            links = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for link in links:
                link.connect(server.socket)
                link.sendall(f"POST /api/v1/dead/{letter}/redrive HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                             "Connection: close\r\n\r\n".encode())
            answers = [b"".join(iter(lambda link=link: link.recv(4096), b"")).decode() for link in links]
            for link in links:
                link.close()
            self.assertTrue(all(" 202 " in text or " 404 " in text for text in answers), answers)
            driven = [json.loads(text[text.index("{"):])["executionId"] for text in answers if " 202 " in text]
            self.assertEqual(len(set(driven)), 1, answers)
            known += 1
            letter = driven[0]
            self.assertEqual(self.final(server, letter)["state"], "failed")
            rows = server.call("GET", "/workflows/malo/executions?limit=100", expect=200)["executions"]
            self.assertEqual(len(rows), known)
            self.assertEqual([row["id"] for row in server.call("GET", "/dead", expect=200)["executions"]], [letter])
            both += len(driven) == 2
            if both == 3:
                break
        self.assertGreater(both, 0)

    def test_wrong_settings_are_refused_with_a_sentence(self):
        for horizon, words in (({"retry": 3}, "properties.horizon.retry: is 3 (expected an object)"),
                               ({"retry": {"times": -1}}, "properties.horizon.retry.times: is -1 (expected a whole number from 0 to 100)"),
                               ({"retry": {"tries": 1}}, "properties.horizon.retry.tries: is unknown and changes nothing (expected times, delay, max or jitter)"),
                               ({"onInterrupt": "resume"}, "resume needs durability checkpoint")):
            path = self.place.write("x/flow.json", steps_flow("x", self.sink, horizon, ("/x",)))
            result = self.place.run("check", path)
            self.assertEqual(result.code, 2, (horizon, result))
            self.assertIn(words, result.out + result.err)

    def test_live_and_ready_answer(self):
        server = hz.Server(self.place, flows={"simple": hz.simple_flow()})
        self.assertEqual(hz.request(server.port, "GET", "/livez").json, {"status": "alive"})
        ready = hz.request(server.port, "GET", "/readyz")
        self.assertEqual((ready.status, ready.json["status"], ready.json["recovery"]["found"]), (200, "ready", 0))


if __name__ == "__main__":
    hz.main()
