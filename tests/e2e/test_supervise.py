"""What the manager says of workers that do not get on, of those that died, and what it does about them."""
import json
import os
import signal
import time

import hz

PLACE = os.path.join(hz.BUILD, "tests", "badnodes")


def bad_flow(node, resident=False, **settings):
    """init -> the bad node -> console, with properties.horizon."""
    flow = hz.Flow(f"malo_{node}")
    flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node(f"bad_{node}", "Malo"), "response",
               flow.node("console_output", "Consola"))
    flow.json["properties"]["horizon"] = {"isolation": "resident" if resident else "isolated", **settings}
    return flow.json


def nodes(*names):
    return {"HORIZON_NODES": ":".join(os.path.join(PLACE, name) for name in names)}


class Progress(hz.Case):
    def progress(self, server, workflow):
        for worker in server.workers():
            if worker["workflowId"] == workflow:
                return worker["progress"]
        return {"state": "none"}

    def until(self, server, workflow, state, seconds=15):
        started = time.monotonic()
        found = hz.wait_for(lambda: self.progress(server, workflow) if self.progress(server, workflow)["state"] == state
                            else None, seconds, what=f"{workflow} is {state}")
        print(f"{workflow}: {state} after {time.monotonic() - started:.1f} s: {found}")
        return found

    def test_blocked_and_stuck_are_named_with_their_node_and_nothing_runs_twice(self):
        flows = {name: bad_flow(name, resident=True, threads=1) for name in ("infinite_run", "deadlock")}
        flows["quieto"] = hz.webhook_flow("quieto", "/quieto")
        server = hz.Server(self.place, flows=flows, env={**nodes("infinite_run", "deadlock"), "HORIZON_STUCK_AFTER": "1000"})
        record = server.execute("infinite_run", wait=False)
        other = server.execute("deadlock", wait=False)
        found = self.until(server, "infinite_run", "blocked")
        self.assertEqual(found["node"], "Malo")
        self.assertIn("computing", found["text"])
        found = self.until(server, "deadlock", "blocked")
        self.assertEqual(found["node"], "Malo")
        self.assertIn("waiting", found["text"])
        table = server.cli("ps")
        self.clean_exit(table)
        self.assertIn("blocked (Malo)", table.out)
        watched = server.cli("top", "--once")
        self.clean_exit(watched)
        self.assertIn("blocked Malo", watched.out)
        server.execute("infinite_run", wait=False)  # work that waits behind it
        found = self.until(server, "infinite_run", "stuck")
        self.assertEqual(found["node"], "Malo")
        time.sleep(2)  # a state is no reason to run anything again
        for one in (record, other):
            row = server.execution(one["executionId"] if "executionId" in one else one["id"])
            self.assertEqual((row["state"], row["attempt"]), ("running", 1), row)
        self.assertEqual(len([w for w in server.workers()]), 2)
        server.stop()

    def test_a_stopped_worker_is_stuck_and_goes_on(self):
        server = hz.Server(self.place, flows={"quieto": hz.webhook_flow("quieto", "/quieto")})
        worker = server.start_worker("quieto")
        self.until(server, "quieto", "idle")
        os.kill(worker["processId"], signal.SIGSTOP)
        found = self.until(server, "quieto", "stuck")
        self.assertIn("stopped by a signal", found["text"])
        os.kill(worker["processId"], signal.SIGCONT)
        self.until(server, "quieto", "idle")
        self.assertEqual(hz.request(server.port, "GET", "/quieto").status, 200)
        self.assertEqual([w["id"] for w in server.workers()], [worker["id"]])
        server.stop()


if __name__ == "__main__":
    hz.main()
