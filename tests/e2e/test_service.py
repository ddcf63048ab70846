"""Under a service manager and behind a proxy: what is told to NOTIFY_SOCKET, the unit file, nginx with the README's own lines, whose address counts."""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import hz
import sio


class Listener:
    """A service manager's socket: [(when, {key: value})]."""

    def __init__(self, case, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard = []
        threading.Thread(target=self.read, daemon=True).start()
        case.addCleanup(self.socket.close)

    def read(self):
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except OSError:
                return
            self.heard.append((time.monotonic(), dict(line.split("=", 1) for line in text.splitlines())))

    def keys(self):
        return [key for _, message in list(self.heard) for key in message if key in ("READY", "RELOADING", "STOPPING")]

    def pings(self):
        return [when for when, message in list(self.heard) if message.get("WATCHDOG") == "1"]


class Notify(hz.Case):
    def start(self, address, name, **env):
        listener = Listener(self, address)
        self.server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook")}, env={"NOTIFY_SOCKET": name, "HORIZON_CLUSTERS": "2", **env})
        return listener

    def test_ready_alive_reloading_and_stopping(self):
        path = self.place.path("notify")
        heard = self.start(path, path, WATCHDOG_USEC=str(int(600000 * hz.SLOW)))
        server = self.server
        hz.wait_for(lambda: heard.keys() == ["READY"], what="READY=1")
        self.assertEqual(heard.heard[0][1]["MAINPID"], str(server.pid))
        self.assertIn(f"127.0.0.1:{server.port}", heard.heard[0][1]["STATUS"])
        hz.wait_for(lambda: len(heard.pings()) > 4, what="pings")
        gaps = [b - a for a, b in zip(heard.pings(), heard.pings()[1:])]
        self.assertLess(sorted(gaps)[len(gaps) // 2], 0.6 * hz.SLOW, gaps)
        # It reads anew when told to, and lives: without a service manager a hangup would end it.
        os.kill(server.pid, signal.SIGHUP)
        hz.wait_for(lambda: heard.keys() == ["READY", "RELOADING", "READY"], what="RELOADING, READY")
        reloading = next(message for _, message in heard.heard if "RELOADING" in message)
        self.assertLess(abs(int(reloading["MONOTONIC_USEC"]) / 1e6 - time.monotonic()), 30)
        # In place: the same process says both.
        self.clean_exit(server.cli("restart", "--manager", timeout=90))
        hz.wait_for(lambda: heard.keys()[3:] == ["RELOADING", "READY"], what="the next image is ready")
        self.assertEqual([m["MAINPID"] for _, m in heard.heard if "READY" in m], [str(server.pid)] * 3)
        before = len(heard.pings())
        hz.wait_for(lambda: len(heard.pings()) > before + 1, what="pings of the next image")
        # One that hangs is not alive.
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(0.3)
        before = len(heard.pings())
        time.sleep(1)
        self.assertEqual(len(heard.pings()), before)
        os.kill(server.pid, signal.SIGCONT)
        hz.wait_for(lambda: len(heard.pings()) > before, what="it goes on")
        self.assertEqual(server.stop(), 0)
        hz.wait_for(lambda: heard.keys()[-1] == "STOPPING", what="STOPPING=1")

    def test_an_abstract_name_and_no_watchdog(self):
        name = f"hz-test-{os.getpid()}-{self.server_number()}"
        heard = self.start("\0" + name, "@" + name, WATCHDOG_USEC="300000", WATCHDOG_PID="1")  # of somebody else
        hz.wait_for(lambda: heard.keys() == ["READY"], what="READY=1")
        time.sleep(0.5)
        self.assertEqual(heard.pings(), [])
        self.assertEqual(self.server.stop(), 0)

    @staticmethod
    def server_number():
        return int(time.monotonic() * 1000)

    def test_nobody_listens(self):
        self.server = hz.Server(self.place, env={"NOTIFY_SOCKET": self.place.path("none")})
        hz.logged(self.server.process, "the service manager cannot be told")
        self.assertEqual(self.server.stop(), 0)


class Unit(hz.Case):
    def test_systemd_accepts_the_unit(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        with open(os.path.join(hz.SOURCE, "core", "cli", "horizon.service.in"), encoding="utf-8") as file:
            text = file.read().replace("@HZ_SERVICE_BIN@", os.path.dirname(hz.HORIZON))
        path = self.place.write("horizon.service", text)
        result = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, timeout=60, check=False)
        said = [line for line in (result.stdout + result.stderr).splitlines() if "horizon" in line]
        self.assertEqual((result.returncode, said), (0, []), result)
        for wanted in ("Type=notify", "WatchdogSec=", "Delegate=yes", "NoNewPrivileges=yes", "SystemCallFilter="):
            self.assertIn(wanted, text)


class Proxy(hz.Case):
    """The block of the README, with this test's ports and files in it."""

    @staticmethod
    def login_row(server):
        return hz.wait_for(lambda: server.call("GET", "/audit?action=auth:login", expect=200)["audit"], what="the audit log has it")[0]

    def nginx(self, server):
        program = shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)
        if not program:
            self.skipTest("nginx is not installed")
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        with open(os.path.join(hz.SOURCE, "README.md"), encoding="utf-8") as file:
            block = re.search(r"```nginx\n(.*?)```", file.read(), re.S).group(1)
        ports = hz.PortBlock(2)
        self.addCleanup(ports.close)
        key, chain = self.place.path("key.pem"), self.place.path("chain.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", chain, "-days", "2", "-subj", "/CN=horizon.example.org"],
                       check=True, capture_output=True, timeout=60)
        for old, new in (("listen 443 ssl;", f"listen 127.0.0.1:{ports.base}; listen 127.0.0.1:{ports.base + 1} ssl;"),
                         ("/etc/horizon/chain.pem", chain), ("/etc/horizon/key.pem", key), ("http://127.0.0.1:3000", f"http://127.0.0.1:{server.port}")):
            self.assertIn(old, block)
            block = block.replace(old, new)
        temporary = "".join(f"    {kind}_temp_path {self.place.path(kind)};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;\n" if os.getuid() == 0 else ""
        conf = self.place.write("nginx.conf", f"{user}daemon off;\npid {self.place.path('nginx.pid')};\nworker_processes 1;\nevents {{}}\n"
                                              f"http {{\n    access_log off;\n{temporary}{block}}}\n")
        process = self.place.start("-p", self.place.dir, "-c", conf, "-e", "stderr", program=program)
        hz.wait_for(lambda: not hz.can_bind(ports.base + 1) or not process.running(), what="nginx listens")
        self.assertTrue(process.running(), process.text())
        return ports.base

    def test_everything_passes_through_nginx(self):
        name, origin = "horizon.example.org", "https://horizon.example.org"
        server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook")}, arguments=("--trusted-proxy", "127.0.0.1, 10.0.0.0/8"),
                           env={"HORIZON_HOSTS": name, "CLIENT_URL": origin, "HORIZON_ADDRESS_RATE": "5"})
        port = self.nginx(server)
        server.call("POST", "/users", {"email": "eva@example.org", "role": "Admin", "password": "secret-1234"}, expect=201)
        page = {"Host": name, "Origin": origin, "Content-Type": "application/json"}
        signed = {**page, "Authorization": "Bearer " + server.token}
        ask = lambda method, path, body=None, headers=signed, client=None: hz.request(
            port, method, path, body, headers={**headers, **({"X-Forwarded-For": client} if client else {})})
        # A login over TLS: the cookie is for TLS alone, and the address is the client's.
        secure = http.client.HTTPSConnection("127.0.0.1", port + 1, timeout=30, context=ssl._create_unverified_context())
        secure.request("POST", "/api/v1/login", json.dumps({"email": "eva@example.org", "password": "secret-1234"}), headers={**page, "X-Forwarded-For": "203.0.113.7"})
        answer = secure.getresponse()
        self.assertEqual(answer.status, 200, answer.read())
        self.assertIn("Secure", answer.headers["set-cookie"])
        secure.close()
        cookie = {**page, "Cookie": answer.headers["set-cookie"].split(";")[0]}
        self.assertEqual(ask("GET", "/api/v1/me", headers=cookie).json["email"], "eva@example.org")
        row = self.login_row(server)
        self.assertEqual((row["user"], row["address"]), ("eva@example.org", "203.0.113.7"))
        plain = ask("POST", "/api/v1/login", {"email": "eva@example.org", "password": "secret-1234"}, headers=page)
        self.assertNotIn("Secure", plain.headers["set-cookie"])
        # Events as they happen, a WebSocket of Socket.IO
        events, began = [], http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        began.request("GET", "/api/v1/events?kind=ready", headers={**signed, "Accept": "text/event-stream"})
        stream = began.getresponse()
        self.assertEqual(stream.status, 200)
        threading.Thread(target=lambda: [events.append(line) for line in iter(stream.readline, b"")], daemon=True).start()

        class Place:
            pass
        Place.port = port
        client = sio.Client(Place, {"token": server.token}, headers={"Host": name, "Origin": origin})
        self.assertTrue(client.call("workers:list", {})["success"])
        worker = server.start_worker("hook")["id"]
        self.assertEqual(client.event("workers:created")["id"], worker)
        hz.wait_for(lambda: any(worker.encode() in line for line in list(events)), what="the event has passed the proxy")
        client.close()
        self.assertEqual(ask("GET", "/x").json, {"ok": True})  # a webhook
        # Each client has a bound of his own; who is not behind the proxy cannot take another's name.
        many = [ask("GET", "/api/v1/me", client="203.0.113.9").status for _ in range(30)]
        self.assertIn(429, many)
        self.assertEqual(many[0], 200)
        self.assertEqual(ask("GET", "/api/v1/me", client="203.0.113.10").status, 200)
        self.assertEqual(ask("GET", "/api/v1/me", client="203.0.113.10, 10.1.2.3").status, 200)  # through another of ours
        self.assertNotEqual(ask("GET", "/api/v1/me", headers={**signed, "Host": "evil.example.org"}).status, 200)
        self.assertEqual(server.stop(), 0)

    def test_who_is_not_trusted_is_not_believed(self):
        server = hz.Server(self.place, arguments=("--trusted-proxy", "192.0.2.1"))
        answer = server.call("POST", "/login", {"email": "admin@horizon.com", "password": "wrong-1234"},
                             headers={"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
        self.assertEqual(answer.status, 401)
        self.assertEqual(self.login_row(server)["address"], "127.0.0.1")
        for wrong in "localhost", "10.0.0.0/33":
            result = self.place.run("serve", "--trusted-proxy", wrong, "--data", self.place.path("other"))
            self.clean_exit(result, 2)
            self.assertIn(wrong, result.err)
            result = self.place.run("serve", "--data", self.place.path("other"), env={"HORIZON_TRUSTED_PROXIES": wrong})
            self.clean_exit(result, 2)


if __name__ == "__main__":
    hz.main()
