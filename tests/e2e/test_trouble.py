"""Troubles caused on purpose: what one sees, what `doctor` says, and that nothing worse follows."""
import os
import resource
import shutil
import subprocess
import threading

import hz

HELLO = os.path.join(hz.FLOWS, "hello", "flow.json")


class FullShm(hz.Case):
    def setUp(self):
        super().setUp()
        self.prefix = hz.own_shm("1m")
        if self.prefix is None:
            self.skipTest("no right to mount a small /dev/shm here")

    def test_a_run_says_so_and_is_not_killed(self):
        tiny = hz.own_shm("64k")
        result = self.place.run("run", HELLO, wrapper=tiny)
        self.clean_exit(result, 1)
        self.assertIn("/dev/shm", result.err)

    def test_serve_goes_on_and_refuses_with_a_sentence(self):
        flows = {f"w{n}": hz.webhook_flow(f"w{n}", f"/w{n}") for n in range(8)}
        server = hz.Server(self.place, flows=flows, wrapper=self.prefix)
        answers = [server.call("POST", "/workers", {"workflowId": name}, timeout=60) for name in flows]
        good = [a for a in answers if a.status == 201]
        refused = [a for a in answers if a.status != 201]
        self.assertTrue(refused, "eight segments do not fit into 1 MiB")
        self.assertTrue(all("/dev/shm" in a.text for a in refused), refused)
        for answer in good:
            self.assertEqual(hz.request(answer.json["port"], "GET", f"/{answer.json['workflowId']}").status, 200)
        self.assertEqual(hz.request(server.port, "GET", "/health").status, 200)
        for answer in good:
            server.call("POST", f"/workers/{answer.json['id']}/stop", expect=200)
        if not good:
            return
        self.assertEqual(server.call("POST", "/workers", {"workflowId": "w7"}, timeout=60).status, 201,
                         "room again after the others ended")

    def test_doctor_names_it(self):
        result = self.place.run("doctor", "--data", self.place.path("data"), wrapper=self.prefix)
        self.assertEqual(result.code, 1, result)
        self.assertRegex(result.out, r"/dev/shm")


class NoRights(hz.Case):
    def test_a_data_directory_of_somebody_else(self):
        if os.geteuid() != 0:
            self.skipTest("only root can act as two people")
        os.chmod(self.place.dir, 0o755)
        prefix = self.place.path("usr")
        done = subprocess.run(["cmake", "--install", hz.BUILD, "--prefix", prefix], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        data = self.place.path("data")
        os.mkdir(data, 0o700)
        horizon = os.path.join(prefix, "bin", "horizon")
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        for command in ("serve", "doctor"):
            with self.subTest(command=command):
                result = self.place.run(command, "--data", data, program=horizon, wrapper=nobody, timeout=20)
                self.assertNotEqual(result.code, 0)
                self.assertIn(data, result.out + result.err)
                self.assertRegex(result.out + result.err, r"(?i)permission|rights|denied")
        open_data = self.place.path("open")
        os.mkdir(open_data)
        os.chown(open_data, 65534, 65534)
        flow = os.path.join(open_data, "flow.json")  # the source tree may be nobody's business
        shutil.copyfile(HELLO, flow)
        result = self.place.run("run", flow, program=horizon, wrapper=nobody, env={"HOME": open_data})
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"saludo":"Hola, Horizon"}'])


class FewDescriptors(hz.Case):
    def test_256_descriptors(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

        count = 120 if not hz.SANITIZE else 60
        server = hz.Server(self.place, flows={"w": hz.webhook_flow("w", "/w")}, ports=count + 10, preexec=limit)
        answers = [server.call("POST", "/workers", {"workflowId": "w"}, timeout=60) for _ in range(count)]
        good = [a for a in answers if a.status == 201]
        refused = [a for a in answers if a.status != 201]
        print(f"{len(good)} workers with 256 descriptors, then: {refused[0].text[:200] if refused else 'no refusal'}")
        self.assertGreater(len(good), 20)
        if refused:
            self.assertTrue(all(a.status == 503 and "Too many open files" in a.json["detail"] for a in refused),
                            refused[:2])
        self.assertEqual(hz.request(server.port, "GET", "/health").status, 200)
        for answer in good[:5]:
            server.call("POST", f"/workers/{answer.json['id']}/stop", expect=200)
        self.assertEqual(server.call("POST", "/workers", {"workflowId": "w"}, timeout=60).status, 201)
        self.assertEqual(server.stop(30), 0)

    def test_doctor_names_the_limit(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

        result = self.place.run("doctor", "--data", self.place.path("data"), preexec=limit)
        self.assertRegex(result.out, r"256")

    def test_clients_beyond_the_descriptors_do_not_stop_it(self):
        import socket

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

        server = hz.Server(self.place, flows={"h": hz.simple_flow("h")}, preexec=limit)
        idle = []
        for _ in range(400):
            try:
                idle.append(socket.create_connection(("127.0.0.1", server.port), 1))
            except OSError:
                break
        for stranger in idle:
            stranger.close()
        hz.wait_for(lambda: hz.request(server.port, "GET", "/health").status == 200, 10, what="it answers again")
        self.assertEqual(server.execute("h")["workflowId"], "h")


class RangeTaken(hz.Case):
    def test_doctor_names_a_range_that_is_taken(self):
        block = hz.PortBlock(3)
        self.addCleanup(block.close)
        with hz.hold_port(block.base), hz.hold_port(block.base + 1), hz.hold_port(block.base + 2):
            result = self.place.run("doctor", "--data", self.place.path("data"), env={
                "WORKER_PORT_START": block.base, "WORKER_PORT_END": block.base + 2, "SERVER_PORT": "0"})
            self.assertEqual(result.code, 1, result)
            self.assertIn(str(block.base), result.out)


class Orphans(hz.Case):
    def test_a_segment_left_over_is_named_and_removed_by_the_next_start(self):
        server = hz.Server(self.place)
        instance = server.instance
        self.assertEqual(server.stop(), 0)
        name = f"/dev/shm/horizon-{instance}-00000000-0000-4000-8000-000000000001"
        stranger = f"/dev/shm/horizon-{'f' * 8 if instance != 'f' * 8 else 'e' * 8}-00000000-0000-4000-8000-000000000002"
        for path in (name, stranger):
            with open(path, "wb") as file:
                file.write(os.urandom(70_000))
            self.addCleanup(lambda path=path: os.path.exists(path) and os.unlink(path))
        result = self.place.run("doctor", "--data", server.data)
        self.assertIn(os.path.basename(name), result.out)
        server.block.close()
        again = hz.Server(self.place, data=server.data)
        self.assertFalse(os.path.exists(name), "removed: it is of this instance")
        self.assertTrue(os.path.exists(stranger), "kept: it is of another instance")
        self.assertEqual(again.stop(), 0)


class Zombies(hz.Case):
    def test_hundreds_of_isolated_runs_leave_no_zombie(self):
        server = hz.Server(self.place, flows={"h": hz.simple_flow("h")})
        threads = [threading.Thread(target=lambda: [server.execute("h") for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        hz.wait_for(lambda: not [1 for parent, _, state in hz.proc_table().values()
                                 if parent == server.pid and state == "Z"], 5, what="no zombie")
        self.assertLess(len(hz.segments(server.instance)), 20)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    hz.main()
