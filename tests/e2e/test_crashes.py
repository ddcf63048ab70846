"""One table: what ended a worker -> what its crash report says, column by column. Nine deaths and a few of their kin, each twice."""
import json
import os

import hz

PLACE = os.path.join(hz.BUILD, "tests", "badnodes")
HOARD = "{{(() => { const all = []; for (;;) all.push(new Array(200000).fill(all.length)); })()}}"
MIB = 1 << 20


def bad_flow(node, **settings):
    """init -> the bad node -> console, with properties.horizon."""
    flow = hz.Flow(f"malo_{node}")
    kind, properties = ("data_transformer", {"mapping": '{"a": ' + HOARD + "}"}) if node == "oom" else (f"bad_{node}", {})
    flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node(kind, "Malo", **properties), "output" if node == "oom" else "response",
               flow.node("console_output", "Consola"))
    flow.json["properties"]["horizon"] = {"isolation": "isolated", **settings}
    return flow.json


# node: (kind, likely, signal, what the sentence must hold, the node's function among the frames or None, settings of the flow)
DEATHS = {
    "null_write": ("crash", False, "SIGSEGV", ["at address 0x0 in null_write.so"], "null_write_run", {}),
    "stack_overflow": ("crash", False, "SIGSEGV", ["beside the stack pointer", "likely a stack overflow"], "stack_overflow.so", {}),
    "double_free": ("crash", False, "SIGABRT", ["in libc.so"], "double_free_run", {}),
    "aborts": ("crash", False, "SIGABRT", ["in libc.so"], "aborts_run", {}),
    "div_zero": ("crash", False, "SIGFPE", ["in div_zero.so"], "div_zero", {}),
    "run_exit": ("exit", False, None, ["ended the process with code 0"], None, {}),
    "run_exit3": ("exit", False, None, ["ended the process with code 3"], None, {}),
    "deadlock": ("time-out", False, "SIGKILL", ["deadline passed", "it was waiting"], "pthread_mutex_lock", {"timeout": 500}),
    "infinite_run": ("time-out", False, "SIGKILL", ["deadline passed", "it was computing"], "infinite_run", {"timeout": 500}),
    "leaks": ("out of memory", False, "SIGKILL", ["limit reached, memory:", "of 64.0 MB allowed by workflow leaks"], "leaks.so",
              {"limits": {"memory": 64 * MIB}}),
    "oom": ("out of memory", False, "SIGKILL", ["limit reached, memory:", "of 128.0 MB allowed by workflow oom"], None,
            {"limits": {"memory": 128 * MIB}}),
    "sigkill": ("killed", True, "SIGKILL", ["killed from outside with SIGKILL, likely by a person"], None, {}),
}
# Where nobody could unwind: the process was gone at once. A worker ended without grace may have answered or not.
SILENT, EITHER = {"run_exit", "run_exit3", "sigkill"}, {"oom"}
SECRET = {"password": "geheim", "n": 7, "list": [{"apiKey": "auch geheim"}]}
MASKED = '{"password":"***","n":7,"list":[{"apiKey":"***"}]}'


class Crashes(hz.Case):
    def run_all(self, server):
        """All of them beside each other; their records by name."""
        started = {name: server.execute(name, SECRET, wait=False)["executionId"] for name in DEATHS}
        ends = {}

        def ended():
            for name, one in started.items():
                if name not in ends and server.execution(one)["state"] not in ("queued", "running"):
                    ends[name] = server.execution(one)
            return len(ends) == len(started)

        hz.wait_for(ended, 60 * hz.SLOW, what="every execution has ended")
        return ends

    def report_of(self, server, name, count):
        """The newest of `count` reports of this workflow."""
        listed = hz.wait_for(lambda: (lambda found: found if len(found) == count else None)(
            server.call("GET", f"/crashes?workflow={name}", expect=200)["crashes"]), 10, what=f"{count} reports of {name}")
        return server.call("GET", f"/crashes/{listed[0]['id']}", expect=200)

    def judge(self, server, name, record, report):
        kind, likely, signal, texts, frame, settings = DEATHS[name]
        self.assertEqual((report["kind"], report["likely"], report.get("signal", {}).get("name")), (kind, likely, signal), report)
        for text in texts:
            self.assertIn(text, report["text"])
        self.assertEqual(report["node"]["name"], "Malo")
        self.assertEqual(report["node"]["type"], "data_transformer" if name == "oom" else f"bad_{name}")
        self.assertEqual((report["executionId"], report["workflowId"]), (record["id"], name))
        self.assertIn("Malo", record["error"]["message"])
        self.assertEqual(report["input"]["text"], MASKED)
        self.assertNotIn("geheim", json.dumps(report))
        entered = [event for event in report["events"] if event["kind"] == "enter"]
        # A node's expressions are evaluated before it is entered: then the node before it is the last one there.
        self.assertEqual(entered[-1]["node"] if entered else None, "Inicio" if name == "oom" else "Malo", report["events"])
        if name not in EITHER:
            self.assertEqual(bool(report["backtrace"]), name not in SILENT, report["backtrace"])
        usage = report["usage"]
        self.assertGreater(usage["maxResidentBytes"], MIB)
        self.assertGreater(usage["userUs"] + usage["systemUs"], 0)
        if "limits" in settings:
            self.assertGreater(usage["maxResidentBytes"], settings["limits"]["memory"] * 0.9)
        self.assertEqual(report["limits"].get("memory"), settings.get("limits", {}).get("memory"))
        shown = server.cli("crash", report["id"][:13])
        self.clean_exit(shown)
        self.assertIn("Malo", shown.out)
        frames = [line.split() for line in shown.out.splitlines() if line.startswith("  #")]
        found = next((line for line in frames if frame and any(frame in word for word in line[1:])), None)
        self.assertEqual(bool(found), frame is not None, shown.out)
        return " ".join(found[:2]) if found else "-"

    def test_each_death_is_named_rightly_in_every_column(self):
        place = ":".join(os.path.join(PLACE, name) for name in DEATHS if name != "oom")
        server = hz.Server(self.place, flows={name: bad_flow(name, **row[5]) for name, row in DEATHS.items()},
                           env={"HORIZON_NODES": place})
        rows = []
        for turn in range(2):
            ends = self.run_all(server)
            for name, record in ends.items():
                with self.subTest(name=name, turn=turn):
                    report = self.report_of(server, name, turn + 1)
                    self.assertEqual(report["seenBefore"], turn, report["signature"])
                    found = self.judge(server, name, record, report)
                    rows.append(f"{name:15} {report['kind']:13} {report.get('signal', {}).get('name', '-'):8} {report['node']['name']:5} "
                                f"{found:28} {len(report['events']):3} {report['usage']['maxResidentBytes'] / MIB:6.1f} "
                                f"{(report['usage']['userUs'] + report['usage']['systemUs']) / 1e3:7.1f} {report['seenBefore']:2}  {report['text'][:100]}")
        print("\n".join([f"{'death':15} {'kind':13} {'signal':8} node  {'frame of it':28} events MiB  CPU ms seen  what", *sorted(rows)]))
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    hz.main()
