"""Control groups of version 2: a tree made here takes the place of the one that a service manager delegates."""
import os
import unittest

import hz
from test_supervise import acting, grant

NODES = os.path.join(hz.BUILD, "tests", "e2e", "nodes")
HOARD = "{{(() => { const all = []; for (;;) all.push(new Array(200000).fill(all.length)); })()}}"


def mounted():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return next((line.split()[4] for line in file if " - cgroup2 " in line), None)


def make_tree():
    """(path, None) or (None, why there is none)."""
    place = mounted()
    if hz.SANITIZE or os.geteuid() != 0:
        return None, "needs root, and a build without sanitizer"
    if not place:
        return None, "no control groups of version 2 are mounted"
    path = os.path.join(place, f"horizon-test-{os.getpid()}")
    try:
        os.mkdir(path)
    except OSError as problem:
        return None, f"no group can be made in {place}: {problem.strerror}"
    return path, None


def read(*parts):
    with open(os.path.join(*parts), encoding="ascii") as file:
        return file.read()


class Groups(hz.Case):
    def setUp(self):
        super().setUp()
        self.tree, why = make_tree()
        if why:
            raise unittest.SkipTest(why)
        self.addCleanup(self.remove)
        self.env = {"HORIZON_NODES": NODES, "HORIZON_CGROUP": self.tree}

    def remove(self):
        for name in [*(entry.name for entry in os.scandir(self.tree) if entry.is_dir()), "."]:
            path = os.path.normpath(os.path.join(self.tree, name))
            hz.wait_for(lambda: not read(path, "cgroup.procs") if name != "." else True, 10, what=f"{path} is empty")
            os.rmdir(path)

    def groups(self):
        return sorted(entry.name for entry in os.scandir(self.tree) if entry.name.startswith("worker-"))

    def test_a_worker_with_limits_has_a_group_and_leaves_nothing_in_it(self):
        os.mkdir(os.path.join(self.tree, "worker-1"))  # of a manager that was killed
        grant(self.place, "programa")
        flows = {"programa": acting("programa", "runs_program", command="(sleep 79 &) ; sleep 0.5"), "libre": hz.simple_flow("libre"),
                 "limites": hz.webhook_flow("limites", "/limites")}
        flows["limites"]["properties"]["horizon"] = {"limits": {"memory": 128 << 20, "processes": 20}}
        server = hz.Server(self.place, flows=flows, env=self.env)
        self.assertEqual(self.groups(), [])
        self.assertEqual(read(self.tree, "horizon-manager", "cgroup.procs").split()[0], str(server.pid))
        worker = server.start_worker("limites")
        group = hz.wait_for(lambda: self.groups(), 10, what="its group")
        self.assertEqual(group, [f"worker-{worker['id']}"])
        self.assertEqual(read(self.tree, group[0], "cgroup.procs").split(), [str(worker["processId"])])
        for file, value in (("memory.max", 160 << 20), ("pids.max", 84)):
            if os.path.exists(os.path.join(self.tree, group[0], file)):
                self.assertEqual(int(read(self.tree, group[0], file)), value)
        self.assertEqual(hz.request(server.port, "GET", "/limites").status, 200)
        server.execute("libre")
        self.assertEqual(self.groups(), group)  # without limits there is none
        self.assertEqual(server.execute("programa")["state"], "success")  # what it left behind goes with its group
        hz.wait_for(lambda: self.groups() == group, 10, what="the group of the program is gone")
        os.kill(worker["processId"], 9)
        hz.wait_for(lambda: group[0] not in self.groups(), 10, what="its group is gone")
        said = server.cli("doctor")
        self.assertRegex(said.out, r"ok +control groups +below " + self.tree)
        server.stop()

    def test_cpu_time_of_what_a_worker_started_counts(self):
        grant(self.place, "quema")
        flow = acting("quema", "runs_program", limits={"cpu": 700}, command="while :; do :; done")
        server = hz.Server(self.place, flows={"quema": flow}, env=self.env)
        record = server.execute("quema", timeout=60)
        self.assertEqual(record["state"], "crashed", record)
        self.assertIn("limit reached, CPU time", record["error"]["message"])
        hz.wait_for(lambda: not self.groups(), 10, what="no group is left")
        server.stop()

    def test_a_kill_by_the_kernel_for_want_of_memory_is_named_for_certain(self):
        if "memory" not in read(self.tree, "cgroup.controllers").split():
            self.skipTest("the control groups of version 2 have no memory controller here (it is bound to version 1)")
        flow = hz.simple_flow("acapara", '{"a": ' + HOARD + "}")
        flow["properties"]["horizon"] = {"isolation": "isolated", "limits": {"memory": 64 << 20}}
        server = hz.Server(self.place, flows={"acapara": flow}, env=self.env)
        seen = set()
        for _ in range(10):  # the sampling may be faster
            seen.add(server.execute("acapara", timeout=60)["error"]["message"].split(" at ")[0])
            report = server.call("GET", "/crashes?workflow=acapara", expect=200)["crashes"][0]
            self.assertEqual((report["kind"], report["likely"], report["node"]), ("out of memory", False, "Paso"))
            if "killed by the kernel" in report["text"]:
                break
        self.assertIn("a quarter above the 64.0 MB allowed by workflow acapara", report["text"], seen)
        server.stop()


class Without(hz.Case):
    def test_doctor_says_what_is_used_and_a_wrong_group_keeps_the_server_from_starting(self):
        self.assertRegex(self.place.run("doctor", "--data", "data", env={"HORIZON_CGROUP": "off"}).out,
                         r"ok +control groups +none \(HORIZON_CGROUP=off\): memory by sampling")
        for setting, word in (("/tmp", "no control group of version 2"), ("yes", "expected auto, off, or the path")):
            result = self.place.run("serve", "--data", "data", env={"HORIZON_CGROUP": setting})
            self.assertNotEqual(result.code, 0)
            self.assertIn(word, result.err)


if __name__ == "__main__":
    hz.main()
