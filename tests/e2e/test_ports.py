"""Ports of workers: unique, lowest free first, really bound, skipped when a stranger has them, free again at once."""
import os
import queue
import signal
import threading
import time

import hz

NO_PORT = "No hay puertos disponibles para el worker"


def hooks(count):
    return {f"p{number}": hz.webhook_flow(f"p{number}", f"/p{number}") for number in range(count)}


class Ports(hz.Case):
    def test_many_creations_at_once_from_8_clients(self):
        count = {"": 200, "address": 60, "thread": 24}[hz.SANITIZE]
        server = hz.Server(self.place, flows=hooks(8), ports=count + 20)
        jobs, answers = queue.Queue(), []
        for number in range(count):
            jobs.put(f"p{number % 8}")

        def client():
            while True:
                try:
                    name = jobs.get_nowait()
                except queue.Empty:
                    return
                answers.append(server.call("POST", "/workers", {"workflowId": name}, timeout=120))

        clients = [threading.Thread(target=client) for _ in range(8)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        self.assertEqual([a for a in answers if a.status != 201], [])
        ports = sorted(answer.json["port"] for answer in answers)
        self.assertEqual(ports, list(range(server.first_port, server.first_port + count)), "unique and the lowest")
        workers = server.workers()
        self.assertEqual(sorted(w["port"] for w in workers), ports)
        for worker in (workers[0], workers[len(workers) // 2], workers[-1]):
            self.assertEqual(hz.request(worker["port"], "GET", f"/{worker['workflowId']}").text, '{"ok":true}')
        self.assertEqual(server.stop(60), 0)
        for port in ports:
            self.assertTrue(hz.can_bind(port), port)

    def test_lowest_free_first_and_reused_at_once(self):
        server = hz.Server(self.place, flows=hooks(1))
        made = [server.start_worker("p0") for _ in range(4)]
        self.assertEqual([w["port"] for w in made], [server.first_port + n for n in range(4)])
        server.call("POST", f"/workers/{made[1]['id']}/stop", expect=200)
        self.assertTrue(hz.can_bind(made[1]["port"]), "another program may take it right after the stop")
        self.assertEqual(server.start_worker("p0")["port"], made[1]["port"])

    def test_free_for_a_plain_bind_although_clients_keep_their_connections(self):
        """A program that does not set SO_REUSEADDR is refused while a connection of the port lives or is in TIME_WAIT."""
        server = hz.Server(self.place, flows={**hooks(1), "slow": hz.webhook_flow("slow", "/slow", before=lambda flow: (
            flow.node("delay", "Espera", delay=0.5), "response"))})
        for name, end in (("p0", "stop"), ("slow", "stop"), ("p0", "kill")):
            with self.subTest(name=name, end=end):
                worker = server.start_worker(name)
                kept, half = hz.http.client.HTTPConnection("127.0.0.1", worker["port"], timeout=10), hz.socket.socket()
                self.addCleanup(kept.close)
                self.addCleanup(half.close)
                half.connect(("127.0.0.1", worker["port"]))
                half.sendall(b"GET /p0 HTTP/1.1\r\nHost: 127")  # and no more
                kept.request("GET", f"/{name}")
                if name == "p0":
                    self.assertEqual(kept.getresponse().read(), b'{"ok":true}')
                else:
                    time.sleep(0.1)  # in flight when the stop comes
                if end == "stop":
                    server.call("POST", f"/workers/{worker['id']}/stop", expect=200)
                else:  # its successor comes a second later
                    os.kill(worker["processId"], signal.SIGKILL)
                if name == "slow":
                    answer = kept.getresponse()
                    self.assertIn(answer.status, (200, 500, 502, 503), "the request in flight is answered, not reset")
                    answer.read()

                def free():
                    with hz.socket.socket() as stranger:
                        try:
                            stranger.bind(("127.0.0.1", worker["port"]))
                            return True
                        except OSError:
                            return False
                hz.wait_for(free, 0.5, what="another program has the port")

    def test_free_after_kill(self):
        server = hz.Server(self.place, flows=hooks(1))
        worker = server.start_worker("p0")
        self.assertFalse(hz.can_bind(worker["port"]), "really bound")
        os.kill(worker["processId"], signal.SIGKILL)
        hz.wait_for(lambda: worker["id"] not in [w["id"] for w in server.workers()] or hz.can_bind(worker["port"]), 5,
                    what="the port is free, or owned by the worker's successor")

    def test_strangers_ports_are_skipped_and_the_end_of_the_range_is_said(self):
        server = hz.Server(self.place, flows=hooks(1), ports=5)
        with hz.hold_port(server.first_port), hz.hold_port(server.first_port + 2):
            made = [server.start_worker("p0") for _ in range(3)]
            self.assertEqual([w["port"] - server.first_port for w in made], [1, 3, 4])
            answer = server.call("POST", "/workers", {"workflowId": "p0"})
            self.assertGreaterEqual(answer.status, 400)
            self.assertIn(NO_PORT, answer.text)
            result = server.cli("start", "p0")
            self.clean_exit(result, 1)
            self.assertIn(NO_PORT, result.err)
            self.assertEqual(len(server.workers()), 3, "the refused ones left nothing")
        self.assertEqual(server.start_worker("p0")["port"], server.first_port, "taken again once the stranger left")

    def test_the_servers_own_port_is_skipped(self):
        block = hz.PortBlock(4)
        self.addCleanup(block.close)
        own = block.base + 1
        server = hz.Server(self.place, flows=hooks(1), wait=False, env={
            "SERVER_PORT": own, "WORKER_PORT_START": block.base, "WORKER_PORT_END": block.base + 3})
        server.port = own
        server.wait_up()
        self.assertEqual([server.start_worker("p0")["port"] - block.base for _ in range(3)], [0, 2, 3])

    def test_a_busy_server_port_is_an_error_that_names_it(self):
        server = hz.Server(self.place)
        result = self.place.run("serve", "--data", self.place.path("other"), timeout=10, env=server.env)
        self.assertNotEqual(result.code, 0)
        self.assertIn(str(server.port), result.err)

    def test_a_second_manager_on_the_same_data_is_refused(self):
        server = hz.Server(self.place)
        result = self.place.run("serve", "--data", server.data, timeout=10, env={**server.env, "SERVER_PORT": "0"})
        self.assertNotEqual(result.code, 0)
        self.assertIn(server.data, result.err)

    def test_single_executions_own_no_port(self):
        server = hz.Server(self.place, flows={"l": hz.looping_flow("l", 10 ** 9)})
        server.execute("l", wait=False)
        worker = hz.wait_for(server.workers, what="its worker")[0]
        self.assertEqual(worker["port"], 0)
        self.assertTrue(hz.can_bind(server.first_port))


if __name__ == "__main__":
    hz.main()
