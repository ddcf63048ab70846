"""import, ps, start, logs, stop, restart against a running server; the shapes of the REST answers; who may ask."""
import json
import os
import re
import socket
import time

import hz
import openapi

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
UUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


class Commands(openapi.Case):
    def test_import_ps_start_logs_restart_stop(self):
        server = hz.Server(self.place)
        folder = os.path.join(hz.FLOWS, "webhook")
        result = server.cli("import", folder)
        self.clean_exit(result)
        self.assertIn("webhook", result.out)
        empty = server.cli("ps")
        self.clean_exit(empty)
        started = server.cli("start", "webhook", "--json")
        self.clean_exit(started)
        worker = json.loads(started.out)
        self.assertRegex(worker["id"], UUID)
        self.assertEqual(hz.request(server.port, "POST", "/saludo", {"nombre": "Ana"}).status, 201)

        listed = server.cli("ps", "--json")
        self.clean_exit(listed)
        self.assertIn(worker["id"], listed.out)
        json.loads(listed.out)
        table = server.cli("ps")
        self.assertIn(worker["id"][:8], table.out)
        self.assertIn("webhook", table.out)
        self.assertIn(str(worker["port"]), table.out)

        logs = server.cli("logs", worker["id"])
        self.clean_exit(logs)
        self.assertRegex(logs.out, r"(?m)WEBHOOK: (?i:post) /f_webhook/api/saludo$")

        again = server.cli("restart", worker["id"])
        self.clean_exit(again)
        new = hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"], what="the new worker")[0]
        self.assertNotEqual(new["id"], worker["id"])
        stopped = server.cli("stop", new["id"][:8])
        self.clean_exit(stopped)
        self.assertTrue(re.search(r"flag|grace|kill", stopped.out), stopped)
        self.assertEqual(server.workers(), [])

    def test_import_refuses_a_broken_flow_and_takes_the_good_ones(self):
        server = hz.Server(self.place)
        bad = os.path.dirname(self.place.write("malo/flow.json", '{"nodes": 3}'))
        result = server.cli("import", bad, os.path.join(hz.FLOWS, "hello"))
        self.assertEqual(result.code, 2, result)
        self.assertIn("malo", result.err)
        self.assertEqual(server.execute("hello").get("workflowId"), "hello")
        self.assertEqual(server.call("POST", "/workflows/malo/executions", {}).status, 404)

    def test_import_without_a_server_then_serve(self):
        data = self.place.path("data")
        self.clean_exit(self.place.run("import", os.path.join(hz.FLOWS, "hello", "flow.json"), "--data", data))
        server = hz.Server(self.place, data=data)
        self.assertEqual(server.execute("hello")["workflowId"], "hello")

    def test_import_makes_a_new_version_only_when_the_file_changed(self):
        server = hz.Server(self.place)
        folder = os.path.dirname(self.place.write("f/flow.json", hz.simple_flow("f", '{"v": 1}')))
        self.clean_exit(server.cli("import", folder))
        first = server.execute("f")["version"]
        self.clean_exit(server.cli("import", folder))
        self.assertEqual(server.execute("f")["version"], first)
        self.place.write("f/flow.json", hz.simple_flow("f", '{"v": 2}'))
        self.clean_exit(server.cli("import", folder))
        self.assertNotEqual(server.execute("f")["version"], first)

    def test_commands_without_a_server_say_so(self):
        for arguments in (["ps"], ["stop", "12345678"], ["logs", "12345678"], ["start", "hello"]):
            with self.subTest(arguments=arguments):
                result = self.place.run(*arguments, "--data", self.place.path("nada"))
                self.clean_exit(result, 1)
                self.assertIn("horizon serve", result.err)

    def test_logs_follow(self):
        server = hz.Server(self.place, flows={"eco": hz.webhook_flow(
            "eco", "/eco", "post", '{"n": {{input.data.body.n}}}',
            before=lambda f: (f.node("console_output", "Consola"), "response"))})
        worker = server.start_worker("eco")
        follower = self.place.start("logs", worker["id"], "-f", "--data", server.data)
        hz.wait_for(lambda: "WEBHOOK" in follower.text("out"), what="the old lines")
        self.assertEqual(hz.request(server.port, "POST", "/eco", {"n": 4711}).text, '{"n":4711}')
        hz.wait_for(lambda: "4711" in follower.text("out"), 5, what="the new line")
        server.cli("stop", worker["id"])
        self.assertIsNotNone(follower.wait(10), "the follower ends with its worker")

    def test_top_prints_once_for_programs(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")
        result = server.cli("top", "--json")
        self.clean_exit(result)
        self.assertIn(worker["id"], result.out)
        json.loads(result.out.splitlines()[0])


class Shapes(openapi.Case):
    def assert_worker_info(self, info, memory=dict):
        self.assertRegex(info["id"], UUID)
        self.assertIn(info["status"], ("starting", "running", "stopping", "stopped", "error"))
        self.assertRegex(info["startTime"], ISO)
        self.assertRegex(info["lastActivity"], ISO)
        self.assertIsInstance(info["port"], int)
        self.assertIsInstance(info["processId"], int)
        if "memoryUsage" in info:
            self.assertIsInstance(info["memoryUsage"], memory)

    def test_worker_info(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        made = server.start_worker("w")
        self.assert_worker_info(made)
        self.assertEqual(made["workflowId"], "w")
        self.assertTrue(server.first_port <= made["port"] <= server.last_port)
        self.assertTrue(hz.alive(made["processId"]))
        hz.request(server.port, "GET", "/w")

        def listed():
            answer = server.call("GET", "/workers", expect=200)
            self.assertEqual(sorted(answer), ["next", "workers"])
            self.assertIsNone(answer["next"])
            return answer["workers"][0] if "memoryUsage" in answer["workers"][0] else None

        info = hz.wait_for(listed, 15, what="first stats")
        self.assert_worker_info(info, int)
        self.assertEqual(sorted(info["memory"]), ["external", "heapTotal", "heapUsed", "rss"])
        one = server.call("GET", f"/workers/{made['id']}", expect=200)
        self.assert_worker_info(one)
        self.assertEqual(sorted(one["memoryUsage"]), ["external", "heapTotal", "heapUsed", "rss"])
        self.assertGreater(one["memoryUsage"]["rss"], 100_000)
        self.assertEqual(sorted(one["cpuUsage"]), ["system", "user"])

    def test_dashboard(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        empty = server.call("GET", "/dashboard", expect=200)
        empty = empty.get("dashboard", empty)
        self.assertEqual(empty["overview"], {"totalActive": 0, "running": 0, "errors": 0, "starting": 0})
        self.assertEqual(empty["performance"]["highMemoryWorkers"], [])
        self.assertEqual(empty["performance"]["averageMemoryPerWorker"], 0)
        self.assertEqual(empty["workflows"]["distribution"], {})
        made = [server.start_worker("w") for _ in range(2)]
        full = server.call("GET", "/dashboard", expect=200)
        full = full.get("dashboard", full)
        self.assertEqual(full["overview"]["totalActive"], 2)
        self.assertEqual(full["recentActivity"]["workersStartedToday"], 2)
        self.assertEqual([w["id"] for w in full["recentActivity"]["recentWorkers"]], [made[1]["id"], made[0]["id"]])
        spread = full["workflows"]["distribution"]["w"]
        self.assertEqual((spread["workflowId"], spread["count"]), ("w", 2))
        self.assertEqual([w["id"] for w in spread["workers"]], [w["id"] for w in made])

    def test_executions(self):
        server = hz.Server(self.place, flows={
            "h": hz.simple_flow("h"), "roto": hz.simple_flow("roto", '{"x": {{input.data.no.hay}}}'),
            "lento": hz.looping_flow("lento", 10 ** 9)})
        record = server.execute("h")
        self.assertEqual(record["state"], "success")
        self.assertRegex(record.get("id") or record.get("executionId"), UUID)
        again = server.execution(record.get("id") or record.get("executionId"))
        self.assertEqual(again.get("workflowId"), "h")
        failed = server.execute("roto")
        self.assertEqual(failed["state"], "failed")
        self.assertIn("Paso", str(failed))
        accepted = server.execute("lento", wait=False)
        self.assertRegex(accepted["executionId"], UUID)
        running = server.execution(accepted["executionId"])
        self.assertIn(running["state"], ("queued", "running"))
        self.assertEqual(server.call("GET", "/executions/00000000-0000-4000-8000-000000000000").status, 404)
        self.assertEqual(server.call("POST", "/workflows/nada/executions", {}).status, 404)
        for body in ("{", '"x"', "[]"):
            answer = hz.request(server.port, "POST", "/api/v1/workflows/h/executions", body)
            self.assertEqual(answer.status, 400, (body, answer))

    def test_put_workflow(self):
        server = hz.Server(self.place)
        answer = server.call("PUT", "/workflows/nuevo", hz.simple_flow("nuevo", '{"v": 1}'))
        self.assertIn(answer.status, (200, 201), answer)
        self.assertEqual(server.execute("nuevo")["workflowId"], "nuevo")
        with open(os.path.join(server.data, "workflows", "nuevo", "flow.json"), encoding="utf-8") as file:
            self.assertIn("\n  \"", file.read(), "written with two blanks of indentation")
        self.assertEqual(server.call("PUT", "/workflows/malo", {"nodes": 1}).status // 100, 4)
        for bad in ("..", "a%2Fb", ".oculto", "%00"):
            answer = server.call("PUT", f"/workflows/{bad}", hz.simple_flow("x"))
            self.assertEqual(answer.status // 100, 4, (bad, answer))
        self.assertEqual(sorted(os.listdir(os.path.join(server.data, "workflows"))), ["nuevo"])

    def test_messages_to_a_worker(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")
        path = f"/workers/{worker['id']}/messages"

        def ask(route, data=None):
            return server.call("POST", path, {"route": route, "data": data or {}}).json

        nodes = ask("nodes:list")["response"]
        self.assertTrue(nodes["success"])
        self.assertIn("delay", nodes["nodes"])
        one = ask("nodes:get", {"type": "delay"})["response"]
        self.assertEqual(one["node"]["type"], "delay")
        self.assertIn("Tipo de nodo requerido", json.dumps(ask("nodes:get"), ensure_ascii=False))
        self.assertIn("Tipo de nodo no encontrado", json.dumps(ask("nodes:get", {"type": "x"}), ensure_ascii=False))
        health = ask("system:health")["response"]
        self.assertEqual(health["status"], "OK")
        self.assertRegex(health["timestamp"], ISO)
        status = ask("worker:status")["response"]
        self.assertEqual((status["workerId"], status["workflowId"], status["port"], status["nodes"]),
                         (worker["id"], "w", worker["port"], 5))
        self.assertIn("Ruta no encontrada: no:hay", json.dumps(ask("no:hay"), ensure_ascii=False))

    def test_health(self):
        server = hz.Server(self.place)
        answer = hz.request(server.port, "GET", "/health")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.json["status"], "OK")

    def test_the_unix_socket_has_the_same_routes(self):
        server = hz.Server(self.place, flows={"h": hz.simple_flow("h")})
        self.assertEqual(hz.request(server.socket, "GET", "/health").status, 200)
        answer = hz.request(server.socket, "POST", "/api/v1/workflows/h/executions", {"wait": True})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(hz.request(server.socket, "GET", "/api/v1/workers").status, 200)


class Guards(hz.Case):
    def test_strange_hosts_and_origins_are_refused(self):
        server = hz.Server(self.place)
        for headers, good in (({"Host": f"127.0.0.1:{server.port}"}, True), ({"Host": f"localhost:{server.port}"}, True),
                              ({"Host": "evil.example"}, False), ({"Host": f"evil.example:{server.port}"}, False),
                              ({"Origin": "http://evil.example"}, False),
                              ({"Origin": f"http://localhost:{server.port}"}, True), ({"Origin": "null"}, False)):
            with self.subTest(headers=headers):
                answer = hz.request(server.port, "GET", "/api/v1/workers", headers=headers)
                self.assertEqual(answer.status == 200, good, answer)
                if not good:
                    self.assertIn(answer.status, (400, 403, 421))

    def test_anything_but_loopback_is_refused_with_a_reason(self):
        for host in ("0.0.0.0:0", "[::]:0", "192.0.2.7:3000"):
            with self.subTest(host=host):
                result = self.place.run("serve", "--data", self.place.path("data"), "--listen", host, timeout=10)
                self.assertNotEqual(result.code, 0)
                self.assertRegex(result.err, "(?i)loopback")

    def test_only_loopback_is_bound(self):
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")
        with open("/proc/net/tcp", encoding="ascii") as file:
            lines = [line.split() for line in file.readlines()[1:]]
        for port in (server.port, worker["port"]):
            bound = {line[1].split(":")[0] for line in lines if line[3] == "0A" and int(line[1].split(":")[1], 16) == port}
            self.assertEqual(bound, {"0100007F"}, port)

    def test_junk_on_the_port_does_not_disturb(self):
        server = hz.Server(self.place, flows={"h": hz.simple_flow("h")})
        for junk in (b"\0" * 5000, b"GET\r\n\r\n", b"A" * 200_000, b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
                     b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), 5) as stranger:
                try:
                    stranger.sendall(junk)
                    stranger.settimeout(0.3)
                    stranger.recv(1000)
                except OSError:
                    pass
        idle = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(50)]
        self.assertEqual(server.execute("h").get("workflowId"), "h")
        for stranger in idle:
            stranger.close()
        time.sleep(0.1)
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())


if __name__ == "__main__":
    hz.main()
