"""tests/broken through `horizon check` and `run`: exit 2, exactly the findings of NAME.txt, each in under a second."""
import json
import os

import hz

BROKEN = os.path.join(hz.SOURCE, "tests", "broken")


class Broken(hz.Case):
    limit = 1.0 * hz.SLOW

    def check(self, name):
        result = self.place.run("check", name, timeout=20)
        self.clean_exit(result, 2)
        self.assertLess(result.seconds, self.limit)
        self.assert_no_sanitizer_report(result.err)
        return result

    def test_every_file_has_its_findings(self):
        names = sorted(name[:-5] for name in os.listdir(BROKEN) if name.endswith(".json"))
        self.assertGreaterEqual(len(names), 25)
        for name in names:
            with self.subTest(name=name):
                with open(os.path.join(BROKEN, name + ".json"), "rb") as file:
                    self.place.write(name + ".json", file.read())
                with open(os.path.join(BROKEN, name + ".txt"), encoding="utf-8") as file:
                    wanted = file.read().splitlines()
                result = self.check(name + ".json")
                self.assertEqual(result.out.splitlines() or result.err.splitlines(), wanted)

    def test_run_and_import_refuse_them_too(self):
        for name in ("unknown_node", "no_start", "not_json", "broken_expression", "bad_utf8"):
            with self.subTest(name=name):
                with open(os.path.join(BROKEN, name + ".json"), "rb") as file:
                    self.place.write(f"{name}/flow.json", file.read())
                run = self.place.run("run", f"{name}/flow.json")
                self.clean_exit(run, 2)
                self.assertIn("flow.json", run.err)
                self.assertEqual(run.out, "")
                self.clean_exit(self.place.run("import", name, "--data", self.place.path("data")), 2)

    def test_wishes_of_how_it_is_run_are_judged_all_at_once(self):
        flow = hz.simple_flow("deseos")
        flow["properties"]["horizon"] = {"isolation": "alone", "threads": 99, "timeout": "soon", "durability": "paper",
                                         "colour": "red"}
        self.place.write("deseos/flow.json", flow)
        wanted = """
            deseos/flow.json: warning: properties.horizon.colour: is unknown and changes nothing (expected isolation, durability, \
onInterrupt, history, nodeStats, threads, timeout, segmentBytes, retry, restart, limits, onError, concurrency, queue, priority, share, rate or burst)
            deseos/flow.json: properties.horizon.isolation: is the text `alone` (expected one of auto, isolated, resident)
            deseos/flow.json: properties.horizon.durability: is the text `paper` (expected one of none, execution, checkpoint)
            deseos/flow.json: properties.horizon.threads: is 99 (expected a whole number from 1 to 16)
            deseos/flow.json: properties.horizon.timeout: is the text `soon` (expected a whole number from 0 to 2000000000)"""
        wanted = [line.strip() for line in wanted.splitlines() if line.strip()]
        self.assertEqual(self.check("deseos").err.splitlines(), wanted)
        for command in (["run", "deseos"], ["import", "deseos", "--data", self.place.path("data")]):
            result = self.place.run(*command)
            self.clean_exit(result, 2)
            self.assertEqual([line for line in result.err.splitlines() if "deseos/flow.json: " in line], wanted)
        flow = hz.webhook_flow("solo", "/solo")
        flow["properties"]["horizon"] = {"isolation": "isolated"}
        self.place.write("solo/flow.json", flow)
        self.assertIn("(expected resident or auto, as the flow has a trigger)", self.check("solo").err)

    def test_large_ones(self):
        deep = "[" * 100_000 + "]" * 100_000
        many = hz.simple_flow("many")
        many["nodes"].update({f"x{n}": {"type": "delay", "name": f"x{n}", "properties": {}} for n in range(10_001)})
        long_text = hz.simple_flow("largo")
        for node in long_text["nodes"].values():
            node["type"] = "y" * 10_000_000
        for name, data in (("deep", deep), ("many", many), ("long", long_text), ("zeros", b"\0" * 1_000_000),
                           ("huge", json.dumps({"nodes": "z" * 70_000_000}))):
            with self.subTest(name=name):
                self.place.write(name + ".json", data)
                result = self.place.run("check", name + ".json", timeout=30)
                self.clean_exit(result, 2)
                self.assertLess(result.seconds, self.limit * (3 if name in ("huge", "long") else 1))
                self.assertLess(len(result.out + result.err), 100_000, "a finding does not repeat ten megabytes")

    def test_10_mb_strings_are_refused_by_their_size_and_3_mb_are_not(self):
        for size, code in ((3_000_000, 0), (10_000_000, 2)):
            flow = hz.simple_flow("texto", json.dumps({"t": "a" * size}))
            result = self.place.run("check", self.place.write("texto.json", flow))
            self.clean_exit(result, code)
            self.assertLess(result.seconds, self.limit)
            if code:
                self.assertIn('texto.json: node "Paso", properties.mapping.value: ', result.out + result.err)


if __name__ == "__main__":
    hz.main()
