"""Stop always stops, in a stated time, and says how; restart; the end of the server under load."""
import os
import signal
import threading
import time

import hz

JS_RUNAWAY = "{{(() => { let n = 0; while (true) n++; })()}}"


class Stop(hz.Case):
    def stop(self, server, worker):
        started = time.monotonic()
        answer = server.call("POST", f"/workers/{worker['id']}/stop", timeout=30)
        self.assertEqual(answer.status, 200, answer)
        return time.monotonic() - started, answer.json["how"]

    def test_an_idle_worker_ends_by_the_flag(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")
        took, how = self.stop(server, worker)
        self.assertEqual(how, "flag")
        self.assertLess(took, 1.0 * hz.SLOW)
        self.assertEqual(server.workers(), [])
        hz.wait_for(lambda: "terminó con código 0" in server.process.text(), what="the line of its end")

    def test_under_full_load_within_the_grace(self):
        """Busy loops of expressions and of JavaScript, more of them than CPUs, stopped all at once."""
        count = hz.pick(8, 100)
        flows = {}
        for number in range(count):
            if number % 4 == 3:
                flows[f"b{number}"] = hz.simple_flow(f"b{number}", '{"x": %s}' % JS_RUNAWAY)
            else:
                flows[f"b{number}"] = hz.looping_flow(f"b{number}", 10 ** 9)
        env = {"HORIZON_EXPRESSION_TIMEOUT": "60000"}
        server = hz.Server(self.place, flows=flows, env=env)
        times, hows, lock = [], [], threading.Lock()
        for first in range(0, count, 8):
            for name in list(flows)[first:first + 8]:
                server.execute(name, wait=False)
            workers = hz.wait_for(lambda: (lambda w: w if len(w) >= 6 else None)(server.workers()), what="busy workers")
            time.sleep(0.5)

            def one(worker):
                took, how = self.stop(server, worker)
                with lock:
                    times.append(took)
                    hows.append(how)

            threads = [threading.Thread(target=one, args=(worker,)) for worker in workers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            hz.wait_for(lambda: server.workers() == [], 10, what="none is left")
        times.sort()
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        print(f"{len(times)} stops: median {times[len(times) // 2]:.3f} s, p99 {p99:.3f} s; "
              f"{ {how: hows.count(how) for how in set(map(str, hows))} }")
        self.assertLess(p99, 5.2 + (hz.SLOW - 1) * 0.5)
        self.assertTrue(all(how in ("flag", "grace", "kill") for how in hows), hows)

    def test_a_second_stop_joins_the_first(self):
        """A worker that stands still: only the kill after the grace ends it, and all who asked hear the same."""
        server = hz.Server(self.place, flows={"b": hz.looping_flow("b", 10 ** 9)}, env={"HORIZON_STOP_GRACE": "1500"})
        server.execute("b", wait=False)
        worker = hz.wait_for(lambda: [w for w in server.workers() if w["processId"] > 0], what="its worker")[0]
        os.kill(worker["processId"], signal.SIGSTOP)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            server.call("POST", f"/workers/{worker['id']}/stop", timeout=30))) for _ in range(4)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [200] * 4)
        self.assertEqual(len({a.text for a in answers}), 1, answers)
        self.assertEqual(answers[0].json["how"], "kill")
        self.assertLess(time.monotonic() - started, 1.7 + 0.5 * hz.SLOW)

    def test_a_stopped_execution_is_cancelled_and_says_by_whom(self):
        server = hz.Server(self.place, flows={"b": hz.looping_flow("b", 10 ** 9)})
        execution = server.execute("b", wait=False)["executionId"]
        worker = hz.wait_for(server.workers, what="its worker")[0]
        self.stop(server, worker)
        record = server.execution(execution)
        self.assertEqual(record["state"], "cancelled", record)
        self.assertIn("Detenido por ", str(record))

    def test_unknown_worker_is_404(self):
        server = hz.Server(self.place)
        missing = "00000000-0000-4000-8000-000000000000"
        for verb in ("stop", "restart"):
            self.assertEqual(server.call("POST", f"/workers/{missing}/{verb}").status, 404)
        self.assertEqual(server.call("GET", f"/workers/{missing}").status, 404)
        self.clean_exit(server.cli("stop", missing), 1)

    def test_restart_keeps_the_flow_and_serves_again(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")
        answer = server.call("POST", f"/workers/{worker['id']}/restart", timeout=30)
        self.assertEqual(answer.status, 200, answer)
        workers = hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"], what="the new worker")
        self.assertEqual(len(workers), 1)
        self.assertNotEqual(workers[0]["id"], worker["id"])
        self.assertEqual(workers[0].get("executionId"), worker.get("executionId"), "the activation goes on")
        self.assertEqual(hz.request(server.port, "GET", "/w").text, '{"ok":true}')


class Terminal(hz.Case):
    """Ctrl-C in a terminal is a SIGINT for the whole process group in the foreground."""

    def interrupt(self, process):
        process.family()
        os.killpg(os.getpgid(process.pid), signal.SIGINT)
        code = process.wait(15)
        self.assertNotIn("died", process.text(), "zygotes hear nothing of it")
        self.assertNotIn("Error en worker", process.text())
        self.assertEqual(process.family(), set())
        return code

    def test_the_server_stops_its_workers_itself(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w"), "b": hz.looping_flow("b", 10 ** 9)})
        server.start_worker("w")
        server.execute("b", wait=False)
        hz.wait_for(lambda: [w["status"] for w in server.workers()] == ["running"] * 2, what="two workers")
        self.assertEqual(self.interrupt(server.process), 0)
        hz.wait_for(lambda: server.process.text().count("recibió mensaje de shutdown") == 2, what="both lines")

    def test_run_ends_with_its_flow(self):
        run = self.place.start("run", self.place.write("b/flow.json", hz.looping_flow("b", 10 ** 9)))
        hz.wait_for(lambda: "iniciado exitosamente" in run.text("err"), what="its worker")
        self.assertEqual(self.interrupt(run), 1)


class ServerEnd(hz.Case):
    def test_sigterm_under_load_ends_all_in_time_with_0(self):
        flows = {f"b{n}": hz.looping_flow(f"b{n}", 10 ** 9) for n in range(4)}
        flows["w"] = hz.webhook_flow("w", "/w")
        server = hz.Server(self.place, flows=flows)
        server.start_worker("w")
        for name in list(flows)[:4]:
            server.execute(name, wait=False)
        hz.wait_for(lambda: len(server.workers()) == 5, what="five workers")
        family = server.process.family()
        started = time.monotonic()
        self.assertEqual(server.stop(20), 0)
        took = time.monotonic() - started
        print(f"end of the server: {took:.2f} s")
        self.assertLess(took, 6.5 * min(hz.SLOW, 2))
        self.assertEqual([pid for pid in family if hz.alive(pid)], [])
        self.assertEqual(hz.segments(server.instance), [])
        hz.wait_for(lambda: "Deteniendo todos los workers..." in server.process.text(), what="its last words")


if __name__ == "__main__":
    hz.main()
