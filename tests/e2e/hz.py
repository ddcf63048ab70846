"""What every end-to-end test shares: places, ports, processes, HTTP, flows made by script.

Tests are unittest cases of the standard library; a file ends with `hz.main()`. Nothing outlives a test: each process is
started through Place and killed by its number, with everything it started, when the test ends, however it ends.
"""
import fcntl
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

SOURCE = os.environ.get("HZ_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("HZ_BUILD_DIR") or os.path.join(SOURCE, "build", "release")
HORIZON = os.environ.get("HZ_HORIZON") or os.path.join(BUILD, "bin", "horizon")
FLOWS = os.path.join(SOURCE, "tests", "flows")
SANITIZE = os.environ.get("HZ_SANITIZE", "")
CAMPAIGN = os.environ.get("HZ_CAMPAIGN", "") == "1"
SEED = int(os.environ.get("HZ_SEED") or random.SystemRandom().randrange(1 << 31))
# How much longer things may take here than in a plain release build.
SLOW = {"": 1, "address": 4, "thread": 10}.get(SANITIZE, 1)


def pick(quick, campaign):
    return campaign if CAMPAIGN else quick


# ---------------------------------------------------------------- processes


def proc_table():
    """{pid: (parent, name, state)} of this moment."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        comm, rest = text[text.index("(") + 1:text.rindex(")")], text[text.rindex(")") + 2:].split()
        table[int(name)] = (int(rest[1]), comm, rest[0])
    return table


def descendants(pid):
    """Living processes below pid, zombies left out."""
    table, found, queue = proc_table(), [], [pid]
    while queue:
        parent = queue.pop()
        for child, (its_parent, _, state) in table.items():
            if its_parent == parent and child not in found:
                queue.append(child)
                if state != "Z":
                    found.append(child)
    return found


def start_of(pid):
    """When it began, in ticks since boot: with the pid it names one process for ever. None: there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2:].split()[19])


def alive(pid):
    entry = proc_table().get(pid)
    return entry is not None and entry[2] != "Z"


def status_value(pid, key):
    """A number of /proc/PID/status (kB for memory), None when the process is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return None


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def segments(instance=None):
    """Names in /dev/shm that are ours, of one instance or of all."""
    prefix = "horizon-" + (instance or "")
    return sorted(name for name in os.listdir("/dev/shm") if name.startswith(prefix))


def wait_for(check, timeout=10.0, every=0.02, what="condition"):
    """Returns the first true value of check(); fails with `what` at the deadline."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {timeout * SLOW:g} s")
        time.sleep(every)


def logged(process, part, timeout=10.0):
    """Waits for a part of what the process prints: a line comes a moment after what it tells of."""
    wait_for(lambda: part in process.text(), timeout, what=f"`{part}` in the log")


def own_shm(size, after=""):
    """A prefix for commands that gives them a /dev/shm of their own, or None where that is not allowed. after: shell
    commands to run in there when the command ended, whose output follows the command's."""
    for wrapper in (["unshare", "-m"], ["unshare", "-rm"]):
        run = f'"$@"; status=$?; {after}; exit $status' if after else 'exec "$@"'
        prefix = wrapper + ["sh", "-c", f"mount -t tmpfs -o size={size} tmpfs /dev/shm && {{ {run}; }}", "sh"]
        if subprocess.run(prefix + ["true"], capture_output=True).returncode == 0:
            return prefix
    return None


# ---------------------------------------------------------------- ports


class PortBlock:
    """`count` consecutive free ports below the ephemeral range, ours while this object lives (a lock file says so)."""

    def __init__(self, count):
        for _ in range(200):
            base = random.randrange(10000, 32000 - count) // 50 * 50
            locks = [open(f"/tmp/hz-ports-{number}.lock", "w", encoding="ascii")
                     for number in range(base, base + count, 50)]
            try:
                for lock in locks:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if os.fstat(lock.fileno()).st_ino != os.stat(lock.name).st_ino:
                        raise OSError("its last owner took the name away meanwhile")
                if all(can_bind(port) for port in range(base, base + count)):
                    self.base, self.count, self.locks = base, count, locks
                    return
            except OSError:
                pass
            for lock in locks:
                lock.close()
        raise RuntimeError("no block of free ports")

    def close(self):
        for lock in self.locks:
            try:
                os.unlink(lock.name)
            except OSError:
                pass
            lock.close()
        self.locks = []


def can_bind(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def hold_port(port):
    """A stranger's listening socket."""
    stranger = socket.socket()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stranger.bind(("127.0.0.1", port))
    stranger.listen()
    return stranger


# ---------------------------------------------------------------- HTTP


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.text[:400]!r}>"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        if len(self.path) < 100:
            self.sock.connect(self.path)
            return
        folder = os.open(os.path.dirname(self.path), os.O_PATH)  # a socket address has 107 bytes
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{os.path.basename(self.path)}")
        finally:
            os.close(folder)


SERVERS = {}  # by port: those of this process
WATCHERS = []  # called with (where, method, path, answer) of each request()


def request(where, method, path, body=None, headers=None, timeout=60):
    """where: a port of 127.0.0.1 or the path of a Unix socket. body: bytes, text, or an object sent as JSON. REST of a
    Server is called with its token unless headers say who calls (Authorization None: nobody)."""
    headers = dict(headers or {})
    if path.startswith("/api/") and where in SERVERS and "Authorization" not in headers and "Cookie" not in headers:
        headers["Authorization"] = "Bearer " + SERVERS[where].token
    headers = {key: value for key, value in headers.items() if value is not None}
    if body is not None and not isinstance(body, (bytes, str)):
        body = json.dumps(body)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    if isinstance(body, str):
        body = body.encode()
    if isinstance(where, int):
        connection = http.client.HTTPConnection("127.0.0.1", where, timeout=timeout)
    else:
        connection = UnixConnection(where, timeout)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        answer = Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        for watcher in WATCHERS:
            watcher(where, method, path, answer)
        return answer
    finally:
        connection.close()


# ---------------------------------------------------------------- running horizon


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def console(self):
        """The payloads of the [console] lines, as text."""
        return [line[len("[console] "):] for line in self.out.splitlines() if line.startswith("[console] ")]

    def __repr__(self):
        return f"<exit {self.code} after {self.seconds:.2f} s\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}>"


def clean_environment(extra=None):
    """This environment without what would steer Horizon; a value None removes the name."""
    environment = {key: value for key, value in os.environ.items()
                   if not re.match(r"^(HORIZON_|WORKER_|SERVER_|WFV_|WFC_|NODE_ENV$)", key)}
    for key, value in (extra or {}).items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = str(value)
    return environment


class Process:
    """A program in the background; its lines are collected with the time they came."""

    def __init__(self, arguments, env=None, cwd=None, stdin=None, preexec=None, wrapper=()):
        self.started = time.monotonic()
        self.lines = {"out": [], "err": []}
        self.popen = subprocess.Popen(list(wrapper) + arguments, env=clean_environment(env), cwd=cwd,
                                      stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                                      preexec_fn=preexec)
        self.known = {}  # pid: when it began; a number may be somebody else's by and by
        self.threads = [threading.Thread(target=self._read, args=(self.popen.stdout, "out"), daemon=True),
                        threading.Thread(target=self._read, args=(self.popen.stderr, "err"), daemon=True)]
        for thread in self.threads:
            thread.start()
        if stdin is not None:
            threading.Thread(target=self._write, args=(stdin,), daemon=True).start()

    def _read(self, stream, which):
        for line in stream:
            self.lines[which].append((time.monotonic() - self.started, line.decode("utf-8", "replace")))

    def _write(self, data):
        try:
            self.popen.stdin.write(data if isinstance(data, bytes) else data.encode())
            self.popen.stdin.close()
        except OSError:
            pass

    @property
    def pid(self):
        return self.popen.pid

    def text(self, which=None):
        parts = self.lines["out"] + self.lines["err"] if which is None else self.lines[which]
        return "".join(line for _, line in list(parts))

    def running(self):
        return self.popen.poll() is None

    def family(self):
        """Itself and what it started, remembered: after its death the survivors are still known."""
        found = [self.pid] if self.running() else []
        for pid in found + (descendants(self.pid) if found else []):
            self.known[pid] = start_of(pid)
        self.known = {pid: start for pid, start in self.known.items() if start is not None and start_of(pid) == start}
        return {pid for pid in self.known if alive(pid)}

    def wait(self, timeout):
        self.popen.wait(timeout * SLOW)
        for thread in self.threads:
            thread.join(5)
        return self.popen.returncode

    def kill_all(self):
        family = self.family()
        for pid in sorted(family, key=lambda pid: pid != self.pid):  # the server first: it must not hear of the others' end
            try:
                if start_of(pid) == self.known.get(pid):
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.popen.wait(10)
        for pid in family:
            end = time.monotonic() + 5
            while alive(pid) and time.monotonic() < end:
                time.sleep(0.01)
        for thread in self.threads:
            thread.join(2)
        self.popen.stdout.close()
        self.popen.stderr.close()


class Place:
    """A temporary directory with the processes started in it."""

    def __init__(self, case):
        self.case = case
        self.dir = tempfile.mkdtemp(prefix=f"hz-e2e-{os.getpid()}-", dir=os.environ.get("TMPDIR", "/tmp"))
        self.processes = []
        case.addCleanup(self.close)

    def close(self):
        for process in reversed(self.processes):
            process.kill_all()
        failed = not getattr(self.case._outcome, "success", True)
        if failed:
            for process in self.processes:
                print(f"--- {process.popen.args}\n{process.text()[-6000:]}", file=sys.stderr)
        if os.environ.get("HZ_KEEP"):
            print(f"kept {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def write(self, name, data):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not isinstance(data, (bytes, str)):
            data = json.dumps(data, ensure_ascii=False, indent=2)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def run(self, *arguments, stdin=None, timeout=60, env=None, program=None, **options):
        """horizon ARGUMENTS to the end."""
        process = Process([program or HORIZON, *map(str, arguments)], env=env, cwd=self.dir, stdin=stdin, **options)
        self.processes.append(process)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"horizon {' '.join(map(str, arguments))}: still runs after {timeout * SLOW:g} s\n"
                                 f"{process.text()[-3000:]}") from None
        return Result(code, process.text("out"), process.text("err"), time.monotonic() - process.started)

    def start(self, *arguments, program=None, **options):
        process = Process([program or HORIZON, *map(str, arguments)], cwd=self.dir, **options)
        self.processes.append(process)
        return process


class Server:
    """`horizon serve` on free ports with flows; use through Place: hz.Server(place, flows={...})."""

    def __init__(self, place, flows=None, env=None, ports=50, data=None, wait=True, arguments=(), program=None, **options):
        self.place = place
        self.data = data or place.path("data")
        self._token = None
        self.block = PortBlock(ports + 1)
        place.case.addCleanup(self.block.close)
        self.port = self.block.base + ports  # above the workers' range
        self.first_port, self.last_port = self.block.base, self.block.base + ports - 1
        for name, flow in (flows or {}).items():
            self.add_flow(name, flow)
        self.env = {"SERVER_PORT": self.port, "WORKER_PORT_START": self.first_port, "WORKER_PORT_END": self.last_port,
                    "NODE_ENV": "development", **(env or {})}
        self.process = place.start("serve", "--data", self.data, *arguments, env=self.env, program=program, **options)
        if wait:
            self.wait_up()

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return self._port

    @port.setter
    def port(self, port):
        self._port = port
        SERVERS[port] = self
        self.place.case.addCleanup(SERVERS.pop, port, None)

    @property
    def socket(self):
        found = [name for name in os.listdir(self.data) if name.endswith(".sock")]
        return os.path.join(self.data, found[0])

    @property
    def instance(self):
        """Eight hex digits of the data directory's instance, from the names of its segments or its file."""
        with open(os.path.join(self.data, "instance"), encoding="ascii") as file:
            return file.read().strip()

    def add_flow(self, name, flow):
        folder = os.path.join(self.data, "workflows", name)
        os.makedirs(folder, exist_ok=True)
        if isinstance(flow, str):
            shutil.copyfile(flow, os.path.join(folder, "flow.json"))
        else:
            with open(os.path.join(folder, "flow.json"), "w", encoding="utf-8") as file:
                json.dump(flow, file, ensure_ascii=False, indent=2)

    def wait_up(self, timeout=20):
        def up():
            if not self.process.running():
                raise AssertionError(f"horizon serve ended with {self.process.popen.returncode}:\n{self.process.text()}")
            try:
                return request(self.port, "GET", "/health", timeout=2).status == 200
            except OSError:
                return False
        wait_for(up, timeout, what="horizon serve answers /health")
        self.process.family()
        self._token = self._token or self.new_token()

    @property
    def signed(self):
        """Headers of a REST request that a test makes by itself."""
        return {"Content-Type": "application/json", "Authorization": "Bearer " + self.token}

    def new_token(self, role="SuperAdmin", name=None, **more):
        """Made over the Unix socket, as `horizon token create` does."""
        name = name or "tests-" + uuid.uuid4().hex[:8]
        answer = request(self.socket, "POST", "/api/v1/tokens", {"name": name, "role": role, **more})
        if answer.status != 201:
            raise AssertionError(f"no token: {answer!r}")
        return answer.json["token"]

    @property
    def token(self):
        if self._token is None:
            self._token = self.new_token()
        return self._token

    def call(self, method, path, body=None, expect=None, **options):
        """REST below /api/v1; expect: the status that has to come, then the JSON is returned."""
        answer = request(self.port, method, "/api/v1" + path, body, **options)
        if expect is None:
            return answer
        if answer.status != expect:
            raise AssertionError(f"{method} {path}: {answer!r}, wanted {expect}")
        return answer.json if answer.body else None

    def workers(self):
        return self.call("GET", "/workers", expect=200)["workers"]

    def start_worker(self, workflow, expect=201):
        return self.call("POST", "/workers", {"workflowId": workflow}, expect=expect)

    def execute(self, workflow, data=None, wait=True, expect=None, timeout=60):
        body = {"wait": wait}
        if data is not None:
            body["data"] = data
        return self.call("POST", f"/workflows/{workflow}/executions", body, expect=expect or (200 if wait else 202),
                         timeout=timeout)

    def execution(self, execution_id):
        return self.call("GET", f"/executions/{execution_id}", expect=200)

    def cli(self, *arguments, **options):
        return self.place.run(*arguments, "--data", self.data, env=self.env, **options)

    def stop(self, timeout=15):
        """SIGTERM; returns the exit code."""
        self.process.family()
        self.process.popen.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)


# ---------------------------------------------------------------- flows made by script

CONNECTORS = {
    "workflow_init": ("Triggers", [], ["init"]),
    "webhook_handler": ("Triggers", ["input"], ["response", "error"]),
    "http_response": ("Input/Output", ["input"], ["response", "error"]),
    "http_request": ("Input/Output", ["input"], ["response", "error"]),
    "data_transformer": ("Utilities", ["input"], ["output", "error"]),
    "console_output": ("Utilities", ["input"], ["response"]),
    "delay": ("Timer", ["input"], ["response"]),
    "conditional": ("Control Flow / Logic", ["input"], ["else", "error"]),
    "iteration": ("Procesamiento", ["init", "add", "next", "finish"], ["response", "finish", "error"]),
    "parallelism": ("Procesamiento", ["input"], ["response", "error"]),
}


class Flow:
    """A flow.json under construction: node() returns the id, link() draws a connection, json is the file."""

    def __init__(self, name, version="0.0.1", router="", environment=()):
        self.json = {"info": {"name": name, "uid": name}, "properties": {"basic": {"router": router}, "deploy": None},
                     "version": version, "environment": list(environment), "secrets": [], "nodes": {}, "connections": []}

    def node(self, kind, name, **properties):
        key = str(uuid.uuid5(uuid.NAMESPACE_OID, self.json["info"]["name"] + "/" + name))
        group, inputs, outputs = CONNECTORS.get(kind, ("Test", ["input"], ["response", "error"]))
        self.json["nodes"][key] = {
            "id": key, "type": kind, "name": name,
            "info": {"name": name, "group": group, "connectors": {"inputs": inputs, "outputs": outputs}},
            "properties": {name: {"value": value} for name, value in properties.items()}, "meta": {}, "connections": []}
        return key

    def link(self, origin, output, destiny, into="input"):
        self.json["connections"].append({"id": str(len(self.json["connections"])), "idNodeOrigin": origin,
                                         "connectorOriginName": output, "idNodeDestiny": destiny,
                                         "connectorDestinyName": into})

    def chain(self, first, *steps):
        """chain(a, 'init', b, 'output', c)"""
        for output, destiny in zip(steps[::2], steps[1::2]):
            self.link(first, output, destiny)
            first = destiny
        return first


def condition(name, text):
    return {"name": {"type": "string", "value": name, "evaluation": {"active": False}},
            "condition": {"type": "string", "value": text, "evaluation": {"all": True}},
            "value": {"type": "string", "value": "{{input.data}}"}}


def simple_flow(name="simple", mapping='{"ok": true}'):
    flow = Flow(name)
    flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node("data_transformer", "Paso", mapping=mapping),
               "output", flow.node("console_output", "Consola"))
    return flow.json


def webhook_flow(name, endpoint="/x", method="get", mapping='{"ok": true}', before=None):
    """init -> webhook -> (before ->) transformer -> response; errors answer 500."""
    flow = Flow(name)
    start = flow.node("workflow_init", "Inicio")
    hook = flow.node("webhook_handler", "Entrada", endpoint=endpoint, type=method, timeout=30)
    flow.link(start, "init", hook)
    step = flow.node("data_transformer", "Paso", mapping=mapping)
    if before is not None:
        middle, output = before(flow)
        flow.chain(hook, "response", middle, output, step)
    else:
        flow.link(hook, "response", step)
    flow.chain(step, "output", flow.node("http_response", "Salida", response="{{input.data}}"))
    flow.chain(step, "error", flow.node("http_response", "Salida_error", status=500, response="{{input.data}}"))
    return flow.json


def looping_flow(name, turns, delay=None):
    """A synchronous loop of `turns` steps through a conditional and a transformer, then one console line."""
    flow = Flow(name)
    start = flow.node("workflow_init", "Inicio")
    first = flow.node("data_transformer", "Cero", mapping='{"n": 0}')
    test = flow.node("conditional", "Sigue", conditions=[condition("mas", f"input.data.n < {turns}")])
    step = flow.node("data_transformer", "Suma", mapping='{"n": {{input.data.n + 1}}}')
    end = flow.node("console_output", "Fin")
    flow.chain(start, "init", first, "output", test, "mas", step)
    if delay is not None:
        wait = flow.node("delay", "Espera", delay=delay)
        flow.chain(step, "output", wait, "response", test)
    else:
        flow.link(step, "output", test)
    flow.link(test, "else", end)
    return flow.json


# ---------------------------------------------------------------- cases


class Case(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.place = Place(self)

    def clean_exit(self, result, code=0):
        self.assertEqual(result.code, code, repr(result))

    def assert_no_sanitizer_report(self, text):
        for mark in ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", "runtime error:", "ERROR: LeakSanitizer"):
            self.assertNotIn(mark, text)


class _Result(unittest.TextTestResult):
    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"left out: {test.id().removeprefix('__main__.')}: {reason}", flush=True)


def main():
    if not os.access(HORIZON, os.X_OK):
        sys.exit(f"{HORIZON} is not built")
    random.seed(SEED)
    print(f"seed {SEED}", flush=True)
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result)
    program = unittest.main(testRunner=runner, exit=False)
    ran = program.result.testsRun
    sys.exit(0 if ran > 0 and program.result.wasSuccessful() else 1)
