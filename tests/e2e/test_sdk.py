"""The third party's way: install, build a node outside the tree with the installed SDK only, run it in a flow."""
import os
import shutil
import subprocess

import hz


class Sdk(hz.Case):
    def tool(self, *arguments, **options):
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, **options)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout

    def install(self):
        prefix = self.place.path("usr")
        self.tool("cmake", "--install", hz.BUILD, "--prefix", prefix)
        return prefix

    def test_installed_horizon_runs_from_another_prefix(self):
        prefix = self.install()
        horizon = os.path.join(prefix, "bin", "horizon")
        self.assertTrue(os.access(os.path.join(prefix, "libexec", "horizon", "horizon-worker"), os.X_OK))
        result = self.place.run("run", os.path.join(hz.FLOWS, "hello", "flow.json"), program=horizon)
        self.clean_exit(result)
        self.assertEqual(result.console, ['{"saludo":"Hola, Horizon"}'])
        for path in ("share/man/man1/horizon.1", "include/horizon/node.h"):
            self.assertTrue(os.path.exists(os.path.join(prefix, path)), path)
        # no path of the build tree in what is installed: it could be moved to another machine
        for folder, _, names in os.walk(prefix):
            for name in names:
                path = os.path.join(folder, name)
                self.assertFalse(os.path.islink(path) and not os.path.exists(path), path)

    def test_example_built_outside_with_the_installed_header(self):
        prefix = self.install()
        outside = self.place.path("outside")
        shutil.copytree(os.path.join(hz.SOURCE, "plugins", "examples", "hello"), outside)
        self.tool("cmake", "-S", outside, "-B", self.place.path("build"), "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
                  "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
        self.tool("cmake", "--build", self.place.path("build"))
        made = [os.path.join(folder, name) for folder, _, names in os.walk(self.place.path("build"))
                for name in names if name.endswith(".so")]
        self.assertEqual(len(made), 1, made)
        horizon = os.path.join(prefix, "bin", "horizon")
        inspected = self.place.run("node", "inspect", made[0], program=horizon)
        self.clean_exit(inspected)
        result = self.place.run("run", os.path.join(outside, "flow.json"), program=horizon,
                                env={"HORIZON_NODES": os.path.dirname(made[0])})
        self.clean_exit(result)
        self.assertTrue(result.console, result)
        print("the example printed", result.console)


if __name__ == "__main__":
    hz.main()
