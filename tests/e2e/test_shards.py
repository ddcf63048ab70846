"""One shard or four: whichever accepts a request reaches every worker. Threads of a worker share uneven work."""
import json
import random
import threading
import time

import hz


class Shards(hz.Case):
    def spread(self, clusters):
        flows = {f"w{n}": hz.webhook_flow(f"w{n}", f"/w{n}", "post", '{"f": %d, "n": {{input.data.body.n}}}' % n)
                 for n in range(8)}
        flows["s"] = hz.simple_flow("s")
        server = hz.Server(self.place, flows=flows, env={"SERVER_CLUSTERS": clusters})
        for name in list(flows)[:8]:
            server.start_worker(name)
        hz.wait_for(lambda: len([w for w in server.workers() if w["status"] == "running"]) == 8, what="8 workers run")
        wrong = []

        def client(seed):
            choose = random.Random(seed)
            for number in range(60 // (2 if hz.SANITIZE else 1)):
                flow = choose.randrange(8)
                answer = hz.request(server.port, "POST", f"/w{flow}", {"n": number})  # a new connection each time
                if answer.text != '{"f":%d,"n":%d}' % (flow, number):
                    wrong.append((flow, number, answer))

        threads = [threading.Thread(target=client, args=(hz.SEED + n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        # every worker restarted and stopped over connections that may land anywhere
        for worker in server.workers():
            for _ in range(3):
                self.assertEqual(server.call("GET", f"/workers/{worker['id']}").status, 200)
            self.assertEqual(server.call("POST", f"/workers/{worker['id']}/restart", timeout=30).status, 200)
        hz.wait_for(lambda: len([w for w in server.workers() if w["status"] == "running"]) == 8, what="8 workers again")
        for n in range(8):
            self.assertEqual(hz.request(server.port, "POST", f"/w{n}", {"n": 1}).text, '{"f":%d,"n":1}' % n)
        for _ in range(20):
            record = server.execute("s")
            self.assertEqual(record["state"], "success", record)
        for worker in server.workers():
            if worker["workflowId"] != "s":  # that one ends by itself
                self.assertEqual(server.call("POST", f"/workers/{worker['id']}/stop", timeout=30).status, 200)
        hz.wait_for(lambda: server.workers() == [], what="no worker is left")
        self.assertEqual(server.stop(), 0)
        self.assert_no_sanitizer_report(server.process.text())

    def test_one_shard(self):
        self.spread(1)

    def test_four_shards(self):
        self.spread(4)


def uneven_flow(threads):
    """data {"turns": n}: n turns, the result says n."""
    flow = hz.Flow("desigual")
    start = flow.node("workflow_init", "Inicio")
    zero = flow.node("data_transformer", "Cero", mapping='{"n": 0, "hasta": {{input.data.data.turns}}}')
    more = flow.node("conditional", "Sigue", conditions=[hz.condition("mas", "input.data.n < input.data.hasta")])
    add = flow.node("data_transformer", "Suma", mapping='{"n": {{input.data.n + 1}}, "hasta": {{input.data.hasta}}}')
    end = flow.node("console_output", "Fin")
    flow.chain(start, "init", zero, "output", more, "mas", add, "output", more)
    flow.link(more, "else", end)
    flow.json["properties"]["horizon"] = {"isolation": "resident", "threads": threads}
    return flow.json


class Threads(hz.Case):
    def uneven(self, threads):
        count = {"": 1000, "address": 300, "thread": 100}[hz.SANITIZE]
        server = hz.Server(self.place, flows={"desigual": uneven_flow(threads)})
        choose = random.Random(hz.SEED)
        scale = 10 if hz.SANITIZE else 1
        turns = [choose.choice((10, 500, 2500, 10000)) // scale for _ in range(count)]
        started = time.monotonic()
        ids = [server.execute("desigual", {"turns": n}, wait=False)["executionId"] for n in turns]

        for number in ids:  # looking often would take the processor from the workers
            hz.wait_for(lambda: server.execution(number)["state"] == "success", 60, 0.1, what="all end")
        took = time.monotonic() - started
        hz.wait_for(lambda: self.lines(server) >= count, 20, 0.1, what=f"{count} console lines")
        self.show_threads(server, threads, count)
        worker = [w for w in server.workers() if w["workflowId"] == "desigual"]
        self.assertEqual(len(worker), 1, "resident: one worker serves them all")
        logs = server.call("GET", f"/workers/{worker[0]['id']}/logs?lines=10000", expect=200)["logs"]
        got = sorted(json.loads(line.split("[console] ", 1)[1])["n"] for line in logs if "[console] " in line)
        self.assertEqual(got, sorted(turns))
        print(f"{threads} threads: {count} executions in {took:.2f} s, {count / took:.0f}/s")
        self.assertEqual(server.stop(), 0)

    def show_threads(self, server, threads, count):
        def published():
            lanes = json.loads(server.cli("top", "--json").out)["workers"][0]["byThread"]
            return lanes if sum(lane["executions_finished"] for lane in lanes) == count else None

        lanes = hz.wait_for(published, 10, 0.2, what="the lanes' counters add up to every execution")
        self.assertEqual(len(lanes), threads)
        for number, lane in enumerate(lanes):
            print(f"  thread {number}: {lane['executions_finished']} executions, {lane['steals']} stolen, "
                  f"{lane['node_runs']} node runs")
        self.assertEqual(sum(lane["executions_started"] for lane in lanes), count)
        if threads == 1:
            self.assertEqual(lanes[0]["steals"], 0)
        elif not hz.SANITIZE:
            most = max(lane["executions_finished"] for lane in lanes)
            self.assertLess(most, count * 0.8, "work is shared")  # one lane had 0.98 of it
        table = server.cli("top", "--once", "--threads").out
        self.assertEqual(table.count("\n  thread "), threads, table)

    def lines(self, server):
        worker = [w for w in server.workers() if w["workflowId"] == "desigual"][0]
        logs = server.call("GET", f"/workers/{worker['id']}/logs?lines=10000", expect=200)["logs"]
        return sum("[console] " in line for line in logs)

    def test_1_thread(self):
        self.uneven(1)

    def test_2_threads(self):
        self.uneven(2)

    def test_4_threads(self):
        self.uneven(4)


if __name__ == "__main__":
    hz.main()
