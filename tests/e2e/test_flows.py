"""The eight sample flows give exactly the results of tests/flows/README.md."""
import json
import os
import time

import hz


def flow(name):
    return os.path.join(hz.FLOWS, name, "flow.json")


class Console(hz.Case):
    def run_flow(self, name, **options):
        result = self.place.run("run", flow(name), **options)
        self.clean_exit(result)
        self.assert_no_sanitizer_report(result.err)
        return result

    def test_hello(self):
        self.assertEqual(self.run_flow("hello").console, ['{"saludo":"Hola, Horizon"}'])

    def test_only_console_lines_are_on_stdout(self):
        result = self.run_flow("hello")
        self.assertEqual(result.out, '[console] {"saludo":"Hola, Horizon"}\n')

    def test_conditional_takes_the_first_true_branch_only(self):
        self.assertEqual(self.run_flow("conditional").console, ['{"rama":"alto","total":120}'])

    def test_iteration_in_order_last_on_finish(self):
        self.assertEqual(self.run_flow("iteration").console, [
            '{"id":1,"doble":20,"ultimo":false}', '{"id":2,"doble":40,"ultimo":false}',
            '{"id":3,"doble":60,"ultimo":true}'])

    def test_parallelism_joins_once_after_a_second(self):
        result = self.run_flow("parallelism")
        self.assertEqual(result.console, ['{"suma":6}'])
        self.assertGreaterEqual(result.seconds, 1.0)

    def test_delay_prints_at_0_1_and_3_seconds(self):
        margin = 0.05 * hz.SLOW
        worst = None
        for _ in range(3):  # another program may hold the CPU for a moment: the best of three tries counts
            process = self.place.start("run", flow("delay"))
            self.assertEqual(process.wait(30), 0, process.text())
            lines = process.lines["out"]
            self.assertEqual([line for _, line in lines], ['[console] {"data":{}}\n'] * 3)
            first = lines[0][0]
            worst = max(abs(at - first - wanted) for (at, _), wanted in zip(lines, (0, 1, 3)))
            if worst <= margin:
                return
        self.fail(f"console lines {worst * 1000:.0f} ms off, allowed {margin * 1000:.0f}")

    def test_errors_stay_inside_the_flow(self):
        if not hz.can_bind(9):
            self.skipTest("port 9 of this machine is in use")
        self.assertEqual(sorted(self.run_flow("error").console), sorted([
            '{"nodo":"Mapeo_roto","fallo":true}', '{"nodo":"No_es_lista","fallo":true}',
            '{"nodo":"Puerto_cerrado","fallo":true}']))


WEBHOOK = [
    ('{"nombre":"Ana"}', 201, '{"mensaje":"Hola Ana","letras":3,"metodo":"POST"}'),
    ('{"nombre":"A\\"na"}', 201, '{"mensaje":"Hola A\\"na","letras":4,"metodo":"POST"}'),
]
LARGE = [
    ('{"n":0,"clase":"a"}', 200, '{"n":15,"clase":"a"}'), ('{"n":0,"clase":"b"}', 200, '{"n":20,"clase":"b"}'),
    ('{"n":5,"clase":"c"}', 200, '{"n":30,"clase":"c"}'), ('{"n":1.5,"clase":"d"}', 200, '{"n":31.5,"clase":"d"}'),
    ('{"n":0,"clase":"z"}', 404, '{"n":10,"clase":null}'),
]


class Webhooks(hz.Case):
    def serve(self, name, **env):
        server = hz.Server(self.place, flows={name: flow(name)}, env=env)
        worker = server.start_worker(name)
        hz.wait_for(lambda: [w for w in server.workers() if w["status"] == "running"], what="the worker runs")
        return server, worker

    def check(self, port, path, table):
        for body, status, text in table:
            answer = hz.request(port, "POST", path, body)
            self.assertEqual((answer.status, answer.text), (status, text), f"{path} {body}")
            self.assertEqual(answer.headers.get("content-type"), "application/json; charset=utf-8")

    def test_webhook_on_both_paths_and_both_ports(self):
        server, worker = self.serve("webhook")
        for port in (server.port, worker["port"]):
            for path in ("/f_webhook/api/saludo", "/saludo"):
                self.check(port, path, WEBHOOK)
                answer = hz.request(port, "POST", path, "{}")
                self.assertEqual(answer.status, 400)
                self.assertEqual(list(answer.json), ["error"])
                self.assertIsInstance(answer.json["error"], str)
                self.assertNotIn("    at ", answer.text, "no stack trace")
                self.assertEqual(hz.request(port, "POST", path, "{no json").status, 400)
                self.assertEqual(hz.request(port, "GET", path).status, 404)
            self.assertEqual(hz.request(port, "POST", "/nada", "{}").status, 404)
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())

    def test_production_serves_the_production_path_only(self):
        server, worker = self.serve("webhook", NODE_ENV="production")
        self.check(worker["port"], "/saludo", WEBHOOK)
        self.assertEqual(hz.request(worker["port"], "POST", "/f_webhook/api/saludo", '{"nombre":"Ana"}').status, 404)

    def test_large(self):
        server, worker = self.serve("large")
        self.check(server.port, "/f_large/api/pedido", LARGE)
        self.check(worker["port"], "/pedido", LARGE)

    def test_curl_gets_the_same(self):
        server, _ = self.serve("webhook")
        result = self.place.run("-s", "-i", "-X", "POST", "-H", "Content-Type: application/json", "-d",
                                '{"nombre":"Ana"}', f"http://127.0.0.1:{server.port}/saludo", program="curl")
        self.clean_exit(result)
        head, _, body = result.out.replace("\r", "").partition("\n\n")
        self.assertTrue(head.startswith("HTTP/1.1 201 "), head)
        self.assertEqual(body, '{"mensaje":"Hola Ana","letras":3,"metodo":"POST"}')

    def test_executions_of_one_webhook_do_not_mix(self):
        """Waiting and quick requests at once: each gets its own numbers back."""
        import threading
        made = hz.webhook_flow("mezcla", "/m", "post", '{"n": {{input.data.body.n}}}',
                               before=lambda f: (f.node("delay", "Espera", delay=0.2), "response"))
        server = hz.Server(self.place, flows={"mezcla": made})
        server.start_worker("mezcla")
        wrong, started = [], time.monotonic()

        def ask(number):
            answer = hz.request(server.port, "POST", "/m", {"n": number})
            if (answer.status, answer.text) != (200, json.dumps({"n": number}, separators=(",", ":"))):
                wrong.append((number, answer))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertLess(time.monotonic() - started, 5 * hz.SLOW, "the waits overlap")


if __name__ == "__main__":
    hz.main()
