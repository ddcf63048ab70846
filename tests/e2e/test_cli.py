"""The commands as people type them: options anywhere, JSON everywhere, folders of flows, new nodes, odd places."""
import json
import os
import subprocess

import hz

HELLO = os.path.join(hz.FLOWS, "hello")


class Words(hz.Case):
    def test_options_stand_anywhere(self):
        for arguments in (["run", "--data", '{"nombre":"x"}', HELLO], ["run", HELLO, '--data={"nombre":"x"}'], ["run", "--timeout", "20", "--", HELLO]):
            with self.subTest(arguments=arguments):
                self.clean_exit(self.place.run(*arguments))

    def test_help_of_a_command_in_three_ways(self):
        texts = {self.place.run(*arguments).out for arguments in (["help", "import"], ["import", "--help"], ["import", "-h"])}
        self.assertEqual(len(texts), 1)
        self.assertIn("usage: horizon import", texts.pop())
        self.clean_exit(self.place.run("help", "dance"), 2)
        self.clean_exit(self.place.run(), 2)

    def test_bad_numbers_are_named_with_their_range(self):
        for option, value in (("--threads", "0"), ("--threads", "17"), ("--timeout", "x"), ("--timeout", "")):
            with self.subTest(option=option, value=value):
                result = self.place.run("run", HELLO, option, value)
                self.clean_exit(result, 2)
                self.assertIn(option, result.err)

    def test_a_full_disk_is_a_failure(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        for arguments in (["nodes"], ["--help"], ["run", HELLO]):
            with self.subTest(arguments=arguments):
                with open("/dev/full", "wb") as full:
                    done = subprocess.run([hz.HORIZON, *arguments], stdout=full, stderr=subprocess.PIPE, env=hz.clean_environment(), timeout=60)
                self.assertEqual(done.returncode, 1, done.stderr)


class Runs(hz.Case):
    def test_a_timeout_ends_the_flow(self):
        flow = self.place.write("l/flow.json", hz.looping_flow("l", 10 ** 9))
        result = self.place.run("run", flow, "--timeout", "1", timeout=20)
        self.clean_exit(result, 1)
        self.assertIn("timed out", result.err)
        self.assertLess(result.seconds, 8 * hz.SLOW)

    def test_threads_are_taken(self):
        for threads in (1, 2, 4):
            self.assertEqual(self.place.run("run", HELLO, "--threads", threads).console, ['{"saludo":"Hola, Horizon"}'])

    def test_a_flow_with_a_trigger_is_refused_with_the_way_to_go(self):
        result = self.place.run("run", os.path.join(hz.FLOWS, "webhook"))
        self.clean_exit(result, 2)
        self.assertIn("horizon serve", result.err)


class Files(hz.Case):
    def test_check_and_import_take_folders_of_folders(self):
        result = self.place.run("check", hz.FLOWS)
        self.clean_exit(result)
        self.assertEqual(result.out.count(": ok"), 8)
        result = self.place.run("import", hz.FLOWS, "--data", self.place.path("d"), "--json")
        self.clean_exit(result)
        self.assertEqual(len(json.loads(result.out)), 8)
        self.assertEqual(sorted(os.listdir(self.place.path("d", "workflows"))),
                         sorted(n for n in os.listdir(hz.FLOWS) if os.path.isdir(os.path.join(hz.FLOWS, n))))
        empty = self.place.path("empty")
        os.mkdir(empty)
        for command in ("check", "import"):
            result = self.place.run(command, empty, *(["--data", self.place.path("d")] if command == "import" else []))
            self.clean_exit(result, 2)
            self.assertIn("empty", result.err)

    def test_check_json_has_every_finding(self):
        bad = self.place.write("bad/flow.json", hz.simple_flow("bad", '{"x": {{input.}}}'))
        result = self.place.run("check", bad, HELLO, self.place.path("nada"), "--json")
        self.clean_exit(result, 2)
        first, second, third = json.loads(result.out)
        self.assertEqual((first["ok"], second["ok"], third["ok"]), (False, True, False))
        self.assertEqual(first["findings"][0]["node"], "Paso")
        self.assertEqual(first["findings"][0]["severity"], "error")
        self.assertTrue(third["findings"][0]["message"])

    def test_import_names_the_folder_it_cannot_use(self):
        bad = self.place.write(".oculto/flow.json", hz.simple_flow("x"))
        result = self.place.run("import", bad, "--data", self.place.path("d"))
        self.clean_exit(result, 2)
        self.assertIn(".oculto", result.err)


class NewNode(hz.Case):
    def test_a_new_node_builds_and_runs(self):
        self.clean_exit(self.place.run("node", "new", "mi_nodo"))
        folder = self.place.path("mi_nodo")
        self.assertEqual(sorted(os.listdir(folder)), ["CMakeLists.txt", "README.md", "flow.json", "mi_nodo.c"])
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                self.assertNotIn("@NAME@", file.read())
        made = os.path.join(folder, "mi_nodo.so")
        done = subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-I", os.path.join(hz.SOURCE, "plugins", "include"),
                               os.path.join(folder, "mi_nodo.c"), "-o", made], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = self.place.run("run", folder, env={"HORIZON_NODES": folder})
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"text":"hello","input":{"data":{}}}'])

    def test_names_that_are_no_types_are_refused(self):
        for name in ("Mi", "a-b", "../x", "", "1a", "a" * 64):
            with self.subTest(name=name):
                self.clean_exit(self.place.run("node", "new", name), 2)
        self.clean_exit(self.place.run("node", "new", "otro"))
        result = self.place.run("node", "new", "otro")
        self.clean_exit(result, 1)
        self.assertIn("otro", result.err)


class Places(hz.Case):
    def test_a_data_directory_with_a_long_name(self):
        data = self.place.path("d" * 100, "e" * 100)
        server = hz.Server(self.place, data=data, flows={"h": hz.simple_flow("h")})
        self.clean_exit(server.cli("ps"))
        self.clean_exit(server.cli("import", HELLO))
        self.clean_exit(server.cli("start", "hello"))
        self.assertIn("hello", server.cli("ps").out)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(os.path.join(data, "horizon.sock")))

    def test_json_of_every_command_is_json(self):
        server = hz.Server(self.place, flows={"h": hz.simple_flow("h")})
        worker = json.loads(server.cli("start", "h", "--json").out)
        for arguments in (["ps", "--json"], ["top", "--json"], ["restart", worker["id"], "--json"]):
            with self.subTest(arguments=arguments):
                result = server.cli(*arguments)
                self.clean_exit(result)
                json.loads(result.out)
        new = server.workers()[0]["id"]
        lines = json.loads(server.cli("logs", new, "--json", "-n", "3").out)["logs"]
        self.assertTrue(all(isinstance(line, str) for line in lines), lines)
        self.assertEqual(json.loads(server.cli("stop", new, "--json").out)["workerId"], new)
        table = server.cli("top", "--once")
        self.clean_exit(table)
        self.assertIn("0 workers", table.out)

    def test_doctor_tells_about_a_running_server(self):
        server = hz.Server(self.place)
        report = json.loads(server.cli("doctor", "--json").out)
        port = [check for check in report["checks"] if check["name"] == "server port"][0]
        self.assertEqual(port["state"], "ok", port)
        self.assertTrue([check for check in report["checks"] if check["name"] == "round trip" and check["state"] == "ok"], report)


if __name__ == "__main__":
    hz.main()
