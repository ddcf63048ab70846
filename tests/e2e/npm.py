"""Packages of npm for tests that drive the server with the clients people use. They are installed once per build folder,
never into the tree; a machine without node, npm or their packages leaves these tests out."""
import fcntl
import json
import os
import shutil
import subprocess

import hz

PACKAGES = {"socket.io-client": "4.8.1", "@seriousme/openapi-schema-validator": "2.11.0"}


def modules():
    """(folder of node_modules, None) or (None, why not)."""
    if not shutil.which("node"):
        return None, "node is not installed"
    place = os.path.join(hz.BUILD, "tests", "npm")
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = json.dumps({"private": True, "dependencies": PACKAGES}, sort_keys=True)
        done = os.path.join(place, "done")
        if not os.path.exists(done) or open(done, encoding="utf-8").read() != wanted:
            if not shutil.which("npm"):
                return None, "npm is not installed"
            shutil.rmtree(os.path.join(place, "node_modules"), ignore_errors=True)
            with open(os.path.join(place, "package.json"), "w", encoding="utf-8") as file:
                file.write(wanted)
            try:
                result = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts",
                                         "--loglevel=error"], cwd=place, capture_output=True, text=True, timeout=100)
            except subprocess.TimeoutExpired:
                return None, "npm did not come to an end in 100 s"
            if result.returncode != 0:
                return None, f"npm cannot install {', '.join(PACKAGES)}: {result.stderr.strip()[-200:]}"
            with open(done, "w", encoding="utf-8") as file:
                file.write(wanted)
    return os.path.join(place, "node_modules"), None


def node(case, script, *arguments, timeout=60):
    """Runs a script of this folder to its end; what it prints as JSON, or the test is left out."""
    folder, why = modules()
    if why:
        case.skipTest(why)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), script)
    result = subprocess.run(["node", path, *map(str, arguments)], capture_output=True, text=True, timeout=timeout * hz.SLOW,
                            env={**os.environ, "NODE_PATH": folder}, check=False)
    case.assertEqual(result.returncode, 0, result.stdout + result.stderr)
    return json.loads(result.stdout)
