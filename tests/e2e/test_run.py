"""horizon run, check, nodes, node inspect, doctor: exit codes, channels, usage."""
import json
import os
import signal
import stat
import time

import hz

HELLO = os.path.join(hz.FLOWS, "hello", "flow.json")


class Run(hz.Case):
    def test_success_is_0(self):
        self.clean_exit(self.place.run("run", HELLO))

    def test_a_failed_flow_is_1_and_names_the_node(self):
        flow = hz.simple_flow("roto", '{"x": {{input.data.nada.mas}}}')
        result = self.place.run("run", self.place.write("roto/flow.json", flow))
        self.clean_exit(result, 1)
        self.assertIn("Paso", result.err)
        self.assertEqual(result.console, [])

    def test_an_unknown_node_type_is_2_and_named(self):
        flow = hz.Flow("raro")
        flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node("no_hay_tal", "Raro"))
        result = self.place.run("run", self.place.write("raro/flow.json", flow.json))
        self.clean_exit(result, 2)
        self.assertIn("no_hay_tal", result.err)
        self.assertIn("Raro", result.err)

    def test_no_file_is_2(self):
        result = self.place.run("run", self.place.path("nada.json"))
        self.clean_exit(result, 2)
        self.assertIn("nada.json", result.err)

    def test_bad_usage_is_2(self):
        for arguments in (["run"], ["run", "--nope", HELLO], ["run", HELLO, HELLO], ["dance"], ["check"],
                          ["stop"], ["logs"], ["start"], ["restart"], ["import"], ["node"], ["node", "inspect"],
                          ["serve", "--listen", "x"], ["serve", "extra"]):
            with self.subTest(arguments=arguments):
                result = self.place.run(*arguments)
                self.clean_exit(result, 2)
                self.assertTrue(result.err.strip(), "says what is wrong")

    def test_data_reaches_the_flow(self):
        flow = self.place.write("d/flow.json", hz.simple_flow("d", '{"eco": {{input.data.data}}}'))
        for data in ('{"a":[1,2.5,"ñ\\u0000"],"b":null}', '[1,2,3]', "7", "true"):
            with self.subTest(data=data):
                wanted = json.loads(data)
                result = self.place.run("run", flow, "--data", data)
                self.clean_exit(result)
                self.assertEqual(json.loads(result.console[0]), {"eco": wanted})

    def test_data_from_stdin(self):
        flow = self.place.write("d/flow.json", hz.simple_flow("d", '{"eco": {{input.data.data.x}}}'))
        result = self.place.run("run", flow, "--data", "-", stdin='{"x": 41}')
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"eco":41}'])

    def test_large_data_from_stdin_is_whole(self):
        flow = self.place.write("d/flow.json", hz.simple_flow("d", '{"n": {{_length(input.data.data.x)}}}'))
        result = self.place.run("run", flow, "--data", "-", stdin=json.dumps({"x": "y" * 3_000_000}))
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"n":3000000}'])

    def test_bad_data_is_2(self):
        for data in ("{", "", "{a:1}", "1 2"):
            with self.subTest(data=data):
                self.clean_exit(self.place.run("run", HELLO, "--data", data), 2)

    def test_empty_data_gives_the_default_of_the_start_node(self):
        flow = hz.Flow("def")
        flow.chain(flow.node("workflow_init", "Inicio", valueDefault='{"x": 5}'), "init",
                   flow.node("data_transformer", "Paso", mapping='{"eco": {{input.data.data.x}}}'), "output",
                   flow.node("console_output", "Consola"))
        result = self.place.run("run", self.place.write("def/flow.json", flow.json))
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"eco":5}'])

    def test_interrupt_ends_it_and_leaves_no_process(self):
        flow = self.place.write("l/flow.json", hz.looping_flow("l", 10 ** 9))
        process = self.place.start("run", flow)
        hz.wait_for(lambda: len(process.family()) >= 2, what="a worker")
        time.sleep(0.3)
        family = process.family()
        process.popen.send_signal(signal.SIGINT)
        self.assertNotEqual(process.wait(8), 0)
        hz.wait_for(lambda: not any(hz.alive(pid) for pid in family), 2, what="all its processes end")

    def test_run_leaves_no_file_segment_or_process(self):
        prefix = hz.own_shm("64m", "ls /dev/shm >&2; echo END >&2")
        temporary = self.place.path("tmp")
        os.mkdir(temporary)
        result = self.place.run("run", HELLO, env={"TMPDIR": temporary}, wrapper=prefix or ())
        self.clean_exit(result)
        self.assertEqual(os.listdir(temporary), [])
        if prefix is None:
            self.skipTest("no right to mount a /dev/shm of its own")
        self.assertTrue(result.err.endswith("END\n"))
        self.assertNotIn("\nhorizon-", result.err, "no segment is left")

    def test_what_a_killed_run_left_is_removed_by_the_next(self):
        temporary = self.place.path("tmp")
        os.mkdir(temporary)
        flow = self.place.write("l/flow.json", hz.looping_flow("l", 10 ** 9))
        victim = self.place.start("run", flow, env={"TMPDIR": temporary})
        hz.wait_for(lambda: len(victim.family()) >= 3, what="a worker")
        [left] = os.listdir(temporary)
        with open(os.path.join(temporary, left, "instance"), encoding="ascii") as file:
            instance = file.read(8)
        hz.wait_for(lambda: hz.segments(instance), what="a segment")
        victim.popen.send_signal(signal.SIGKILL)
        victim.wait(8)
        os.utime(os.path.join(temporary, left), (time.time() - 60, time.time() - 60))
        living = self.place.start("run", flow, env={"TMPDIR": temporary})
        hz.wait_for(lambda: left not in os.listdir(temporary), what="the folder is gone")
        self.assertEqual(hz.segments(instance), [])
        hz.wait_for(lambda: len(living.family()) >= 3, what="a worker")
        os.utime(os.path.join(temporary, os.listdir(temporary)[0]), (time.time() - 60, time.time() - 60))
        self.clean_exit(self.place.run("run", HELLO, env={"TMPDIR": temporary}))
        self.assertEqual(len(os.listdir(temporary)), 1, "one that is in use stays")
        living.popen.send_signal(signal.SIGINT)
        living.wait(8)

    def test_run_works_without_rights_to_the_current_directory(self):
        if os.geteuid() == 0:
            self.skipTest("root may write anywhere")
        os.chmod(self.place.dir, 0o500)
        self.addCleanup(os.chmod, self.place.dir, 0o700)
        self.clean_exit(self.place.run("run", HELLO))


class Environment(hz.Case):
    def test_a_wrong_value_names_variable_value_and_range(self):
        for name, value, bound in (("SERVER_PORT", "x", "65535"), ("SERVER_PORT", "70000", "65535"),
                                   ("WORKER_PORT_START", "0", "65535"), ("WORKER_PORT_END", "-3", "65535"),
                                   ("SERVER_CLUSTERS", "1000", "64"), ("SERVER_CLUSTERS", "4x", "64")):
            with self.subTest(name=name, value=value):
                result = self.place.run("serve", "--data", self.place.path("data"), env={name: value}, timeout=10)
                self.clean_exit(result, 2)
                for part in (name, value, bound):
                    self.assertIn(part, result.err)

    def test_a_range_that_ends_before_it_starts_is_refused(self):
        result = self.place.run("serve", "--data", self.place.path("data"), timeout=10,
                                env={"WORKER_PORT_START": "4000", "WORKER_PORT_END": "3500"})
        self.clean_exit(result, 2)
        self.assertIn("WORKER_PORT_", result.err)


class Tools(hz.Case):
    def test_help_of_every_command(self):
        overview = self.place.run("--help")
        self.clean_exit(overview)
        for command in ("serve", "run", "check", "import", "ps", "start", "stop", "restart", "logs", "nodes", "node",
                        "top", "doctor"):
            with self.subTest(command=command):
                self.assertIn(command, overview.out)
                result = self.place.run(command, "--help")
                self.clean_exit(result)
                self.assertIn(command, result.out)
        self.clean_exit(self.place.run("--version"))

    def test_check_accepts_the_samples(self):
        names = [os.path.join(hz.FLOWS, name, "flow.json") for name in sorted(os.listdir(hz.FLOWS))
                 if os.path.isdir(os.path.join(hz.FLOWS, name))]
        self.assertEqual(len(names), 8)
        self.clean_exit(self.place.run("check", *names))

    def test_check_reports_bad_files_among_good_ones(self):
        bad = self.place.write("bad.json", "{")
        result = self.place.run("check", HELLO, bad)
        self.clean_exit(result, 2)
        self.assertIn("bad.json", result.out + result.err)

    def test_nodes_lists_the_thirteen_of_the_core(self):
        result = self.place.run("nodes", "--json")
        self.clean_exit(result)
        text = json.dumps(json.loads(result.out))
        table = self.place.run("nodes")
        self.clean_exit(table)
        for kind in ("workflow_init", "webhook_handler", "http_response", "http_request", "data_transformer",
                     "conditional", "iteration", "parallelism", "delay", "console_output", "manual_trigger",
                     "validator", "cache"):
            self.assertIn(f'"{kind}"', text)
            self.assertIn(kind, table.out)

    def test_node_inspect(self):
        delay = os.path.join(hz.BUILD, "lib", "horizon", "nodes", "delay.so")
        result = self.place.run("node", "inspect", delay)
        self.clean_exit(result)
        self.assertIn("delay", result.out)
        json.loads(self.place.run("node", "inspect", delay, "--json").out)
        junk = self.place.write("junk.so", b"not an object")
        result = self.place.run("node", "inspect", junk)
        self.assertNotEqual(result.code, 0)
        self.assertIn("junk.so", result.err)

    def test_doctor_is_well_here(self):
        result = self.place.run("doctor", "--data", self.place.path("data"), timeout=60)
        self.assertIn(result.code, (0, 1), repr(result))
        for word in ("/dev/shm", "port"):
            self.assertIn(word, result.out)
        parsed = self.place.run("doctor", "--json", "--data", self.place.path("data"))
        json.loads(parsed.out)


class Modes(hz.Case):
    def test_data_directory_and_socket_are_private(self):
        server = hz.Server(self.place)
        self.assertEqual(stat.S_IMODE(os.stat(server.data).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(server.socket).st_mode), 0o600)


if __name__ == "__main__":
    hz.main()
