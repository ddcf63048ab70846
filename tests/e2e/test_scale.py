"""Long chains, long loops, wide fans: constant stack, flat memory, nothing lost, time linear in node runs."""
import json
import time

import hz


def chain(name, length):
    """workflow_init, `length` steps that add one, console."""
    flow = hz.Flow(name)
    last = flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node("data_transformer", "P0", mapping='{"n": 0}'))
    for number in range(1, length + 1):
        step = flow.node("data_transformer", f"P{number}", mapping='{"n": {{input.data.n + 1}}}')
        flow.link(last, "output", step)
        last = step
    flow.link(last, "output", flow.node("console_output", "Fin"))
    return flow.json


class Chain(hz.Case):
    def test_300_nodes(self):
        result = self.place.run("run", self.place.write("c/flow.json", chain("c", 297)))
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"n":297}'])

    def test_a_node_far_upstream_is_read_by_name(self):
        flow = chain("c", 297)
        end = next(node for node in flow["nodes"].values() if node["name"] == "P297")
        end["properties"]["mapping"]["value"] = '{"a": {{P1.data.n}}, "b": {{P150.data.n}}, "c": {{P296.data.n}}}'
        result = self.place.run("run", self.place.write("c/flow.json", flow))
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"a":1,"b":150,"c":296}'])

    def test_time_is_linear_in_the_length(self):
        """Ten times the nodes take about ten times as long: in one server, so that starting does not count."""
        flows = {f"c{length}": chain(f"c{length}", length) for length in (300, 3000)}
        for flow in flows.values():
            flow["properties"]["horizon"] = {"isolation": "resident"}
        server = hz.Server(self.place, flows=flows)
        best = {}
        for name in flows:
            server.execute(name)
            times = []
            for _ in range(7):
                started = time.monotonic()
                server.execute(name)
                times.append(time.monotonic() - started)
            best[name] = min(times)
        ratio = best["c3000"] / best["c300"]
        print(f"3000 nodes / 300 nodes: {ratio:.1f} ({best['c3000'] * 1000:.2f} ms, {best['c300'] * 1000:.2f} ms)")
        self.assertLess(ratio, 20, best)


class Loop(hz.Case):
    turns = {"": 1_000_000, "address": 100_000, "thread": 20_000}[hz.SANITIZE]

    def measured_run(self, turns):
        process = self.place.start("run", self.place.write(f"l{turns}/flow.json", hz.looping_flow("l", turns)))
        samples, stacks = [], []
        while process.running():
            workers = [pid for pid in process.family() if pid != process.pid]
            rss = [hz.status_value(pid, "VmRSS") or 0 for pid in workers]
            stack = [hz.status_value(pid, "VmStk") or 0 for pid in workers]
            if rss:
                samples.append((time.monotonic(), max(rss)))
                stacks.append(max(stack))
            time.sleep(0.02)
        self.assertEqual(process.wait(600), 0, process.text()[-3000:])
        self.assertEqual(process.text("out"), '[console] {"n":%d}\n' % turns)
        return time.monotonic() - process.started, samples, stacks

    def test_a_million_steps_in_flat_memory(self):
        took, samples, stacks = self.measured_run(self.turns)
        print(f"{self.turns} turns, {2 * self.turns} node runs: {took:.2f} s, {len(samples)} samples")
        self.assertGreaterEqual(len(samples), 5, "the loop is long enough to be watched")
        start = samples[0][0]
        end = samples[-1][0]
        early = max(rss for at, rss in samples if at <= start + (end - start) * 0.3)
        late = max(rss for at, rss in samples if at >= start + (end - start) * 0.5)
        print(f"largest process: {early} kB early, {late} kB late; stack {max(stacks)} kB")
        self.assertLess(late, early * 1.1 + 2048)
        self.assertLess(max(stacks), 1024)

    def test_time_is_linear_in_the_turns(self):
        few, _, _ = self.measured_run(self.turns // 10)
        many, _, _ = self.measured_run(self.turns // 2)
        print(f"{self.turns // 10} turns {few:.2f} s, {self.turns // 2} turns {many:.2f} s")
        self.assertLess(many, few * 5 * 1.8)


class Fan(hz.Case):
    def test_10000_messages_from_one_output_of_100_nodes(self):
        flow = hz.Flow("fan")
        start = flow.node("workflow_init", "Inicio")
        end = flow.node("console_output", "Fin")
        for number in range(100):
            step = flow.node("data_transformer", f"P{number}", mapping='{"de": %d}' % number)
            flow.link(start, "init", step)
            for _ in range(100):
                flow.link(step, "output", end)
        result = self.place.run("run", self.place.write("fan/flow.json", flow.json), timeout=120)
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"de":%d}' % number for number in range(100) for _ in range(100)])

    def test_10000_connections_of_one_output(self):
        flow = hz.Flow("ancho")
        start = flow.node("workflow_init", "Inicio")
        end = flow.node("console_output", "Fin")
        for _ in range(10_000):
            flow.link(start, "init", end)
        result = self.place.run("run", self.place.write("ancho/flow.json", flow.json), timeout=120)
        self.clean_exit(result)
        self.assertEqual(len(result.console), 10_000)
        self.assertEqual(set(result.console), {'{"data":{}}'})

    def test_10000_turns_of_an_iteration_keep_order(self):
        flow = hz.Flow("vuelta")
        start = flow.node("workflow_init", "Inicio")
        values = flow.node("data_transformer", "Lista", mapping=json.dumps(list(range(10_000))))
        turn = flow.node("iteration", "Recorre", valor="{{input.data}}")
        line = flow.node("console_output", "Consola")
        last = flow.node("console_output", "Ultimo")
        flow.chain(start, "init", values)
        flow.link(values, "output", turn, "init")
        flow.link(turn, "response", line)
        flow.link(line, "response", turn, "next")
        flow.link(turn, "finish", last)
        result = self.place.run("run", self.place.write("vuelta/flow.json", flow.json), timeout=120)
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"index":%d,"value":%d}' % (number, number) for number in range(10_000)])

    def test_10000_waits_overlap_and_none_is_lost(self):
        count = 10_000 if not hz.SANITIZE else 1_000
        flow = hz.Flow("espera")
        start = flow.node("workflow_init", "Inicio")
        wait = flow.node("delay", "Espera", delay=1)
        end = flow.node("console_output", "Fin")
        for _ in range(count):
            flow.link(start, "init", wait)
        flow.link(wait, "response", end)
        result = self.place.run("run", self.place.write("espera/flow.json", flow.json), timeout=60)
        self.clean_exit(result)
        self.assertEqual(len(result.console), count)
        self.assertGreaterEqual(result.seconds, 1.0)
        self.assertLess(result.seconds, 6 * hz.SLOW)


if __name__ == "__main__":
    hz.main()
