"""Who gets in and who does not: tokens, sessions, codes, roles, forged hosts, slow clients, TLS."""
import json
import os
import re
import socket
import ssl
import subprocess
import time

import hz
import openapi
import sio

ADMIN, PASSWORD = "admin@horizon.com", "correct horse"


def lines_of(process, part, which="out"):
    hz.wait_for(lambda: part in process.text(which), what=f"`{part}`")
    return [line for line in process.text(which).splitlines() if part in line]


class Access(openapi.Case):
    def server(self, **options):
        env = {"HORIZON_ADMIN_PASSWORD": PASSWORD, **options.pop("env", {})}
        return hz.Server(self.place, env=env, **options)

    def ask(self, server, method, path, body=None, token=None, **headers):
        headers = {key.replace("_", "-"): value for key, value in headers.items()}
        headers.setdefault("Authorization", f"Bearer {token}" if token else None)
        return hz.request(server.port, method, path, body, headers)

    def refused(self, answer, status, part):
        """A problem document (RFC 9457) whose detail helps."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json["status"], status)
        self.assertIn(part, answer.json["detail"])

    def log_in(self, server, password=PASSWORD, email=ADMIN):
        return self.ask(server, "POST", "/api/v1/login", {"email": email, "password": password})

    def session(self, server):
        answer = hz.wait_for(lambda: (lambda a: a if a.status == 200 else None)(self.log_in(server)), what="a session")
        return answer, answer.headers["set-cookie"].split(";")[0]

    # ---- first start

    def test_a_first_start_shows_a_password_and_an_address_once(self):
        server = hz.Server(self.place)
        line = lines_of(server.process, "Administrator " + ADMIN)[0]
        password = re.search(r"password (\S+) ", line).group(1)
        url = re.search(r"Log in: http://127.0.0.1:\d+(/\?code=\S+)", lines_of(server.process, "Log in: ")[0]).group(1)
        self.assertEqual(self.log_in(server, password).status, 200)
        self.assertEqual(hz.request(server.port, "HEAD", url).status, 200)  # does not spend it
        answer = hz.request(server.port, "GET", url)
        self.assertEqual((answer.status, answer.headers["location"]), (303, "/"))
        for part in ("HttpOnly", "SameSite=Strict", "Path=/", f"horizon_{server.port}="):
            self.assertIn(part, answer.headers["set-cookie"])
        self.assertEqual(answer.headers["referrer-policy"], "no-referrer")
        self.assertNotIn("unsafe", answer.headers["content-security-policy"])
        cookie = answer.headers["set-cookie"].split(";")[0]
        self.assertIn("You are logged in", hz.request(server.port, "GET", "/", headers={"Cookie": cookie}).text)
        again = hz.request(server.port, "GET", url)
        self.assertEqual(again.status, 401, "a code is good once")
        self.assertNotIn("set-cookie", again.headers)
        other = server.cli("login")
        self.clean_exit(other)
        self.assertEqual(hz.request(server.port, "GET", "/" + other.out.strip().split("/", 3)[3]).status, 303)
        self.assertEqual(server.stop(), 0)
        later = hz.Server(self.place, data=server.data)
        hz.wait_for(lambda: "http://" in later.process.text("out"), what="the second start")
        time.sleep(0.2)
        self.assertNotIn("password", later.process.text())
        self.assertEqual(self.log_in(later, password).status, 200, "the password outlives the restart")
        self.assertEqual(self.ask(later, "GET", "/api/v1/me", Cookie=cookie).status, 200, "sessions outlive it too")

    def test_a_given_password_is_not_repeated_and_not_inherited(self):
        server = self.server(flows={"h": hz.webhook_flow("h", "/h")})
        lines_of(server.process, "Log in: ")
        server.start_worker("h")
        self.session(server)
        self.assertNotIn(PASSWORD, server.process.text())
        for pid in server.process.family() - {server.pid}:
            with open(f"/proc/{pid}/environ", "rb") as file:
                self.assertNotIn(b"HORIZON_ADMIN_PASSWORD", file.read())

    def test_demo_accounts_only_when_asked_for(self):
        server = self.server()
        self.session(server)
        self.assertEqual(self.log_in(server, "viewer123", "viewer@horizon.com").status, 401)
        demo = hz.Server(self.place, data=self.place.path("demo"), env={"SEED_DATABASE": "true"})
        self.assertEqual(len(lines_of(demo.process, "DEMO ACCOUNT viewer")), 1)
        self.assertIn("SEED_DATABASE", demo.process.text("err"))
        for mail, password, role in ((ADMIN, "admin123", "SuperAdmin"), ("viewer@horizon.com", "viewer123", "Viewer")):
            self.assertEqual(self.log_in(demo, password, mail).json["user"]["role"]["name"], role)
        self.assertEqual(demo.stop(), 0)
        result = self.place.run("serve", "--data", demo.data, "--listen", "0.0.0.0:0", timeout=10)
        self.assertEqual(result.code, 1)
        self.assertIn("demo accounts", result.err)

    def test_another_machine_is_served_once_a_password_was_set(self):
        data = self.place.path("data")
        result = self.place.run("serve", "--data", data, "--listen", "0.0.0.0:0", timeout=10)
        self.assertEqual(result.code, 1)
        self.assertIn("horizon user password", result.err)
        self.clean_exit(self.place.run("user", "password", ADMIN, "--data", data, stdin="a new password\n"))
        server = hz.Server(self.place, data=data, wait=False)
        self.assertEqual(server.stop() in (0, -15), True)
        block = hz.PortBlock(3)
        self.addCleanup(block.close)
        process = self.place.start("serve", "--data", data, "--listen", f"0.0.0.0:{block.base}",
                                   env={"WORKER_PORT_START": block.base + 1, "WORKER_PORT_END": block.base + 2})
        hz.logged(process, "speaks no TLS")
        hz.wait_for(lambda: "http://" in process.text("out"), what="the address")
        audit = json.loads(self.place.run("audit", "--data", data, "--json").out)["audit"]
        self.assertIn(("horizon", "users:update", ADMIN), {(row["user"], row["action"], row["target"]) for row in audit}, "without a server, too")
        self.assertEqual(hz.request(block.base, "GET", "/api/v1/workers").status, 401)

    # ---- who calls

    def test_rest_wants_somebody_and_says_how(self):
        server = self.server()
        for path in ("/api/v1/workers", "/api/v1/workflows", "/api/v1/executions", "/api/v1/users", "/api/v1/audit", "/api/v1/me"):
            answer = self.ask(server, "GET", path)
            self.refused(answer, 401, "horizon token create")
            self.assertIn("Bearer", answer.headers["www-authenticate"])
        self.refused(self.ask(server, "GET", "/api/v1/workers", token="hzt_" + "A" * 43), 401, "not valid")
        self.refused(self.ask(server, "GET", "/api/v1/workers", Authorization="Basic YWRtaW46YWRtaW4="), 401, "not valid")
        for path in ("/health", "/livez", "/readyz"):
            self.assertEqual(self.ask(server, "GET", path).status, 200, path)
        self.assertEqual(hz.request(server.socket, "GET", "/api/v1/users").status, 200, "the Unix socket's owner may do everything")
        self.assertEqual(oct(os.stat(server.socket).st_mode & 0o777), "0o600")
        # Nobody sends a body before he has said who he is.
        with socket.create_connection(("127.0.0.1", server.port)) as stranger:
            stranger.settimeout(10)
            stranger.sendall(b"POST /api/v1/workers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n{")
            self.assertIn(b"401", stranger.recv(200))

    def test_tokens_have_a_role_a_scope_and_an_end(self):
        server = self.server(flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")["id"]
        brief = server.cli("token", "create", "breve", "--role", "admin", "--expires", "1s").out.split()[-1]
        result = server.cli("token", "create", "mirador", "--role", "vIEWER")
        self.clean_exit(result)
        viewer = result.out.split()[-1]
        self.assertEqual(self.ask(server, "GET", "/api/v1/workers", token=viewer).status, 200)
        self.refused(self.ask(server, "POST", f"/api/v1/workers/{worker}/stop", token=viewer), 403, "workers:stop")
        self.refused(self.ask(server, "GET", "/api/v1/users", token=viewer), 403, "users:list")
        self.refused(self.ask(server, "POST", "/api/v1/tokens", {"name": "up", "role": "admin"}, token=viewer), 403, "Viewer")
        self.assertEqual(len(server.workers()), 1)
        # A token made on this machine is nobody's: what is the administrator's own is not its own.
        cookie = self.session(server)[1]
        self.assertEqual(self.ask(server, "POST", "/api/v1/tokens", {"name": "suyo", "role": "Admin"}, Cookie=cookie).status, 201)
        user = server.new_token("User", "usuario")
        for token in viewer, user:
            me = self.ask(server, "GET", "/api/v1/me", token=token)
            self.assertNotIn(ADMIN, me.text)
            self.assertNotIn("suyo", self.ask(server, "GET", "/api/v1/tokens", token=token).text)
            self.assertEqual(self.ask(server, "DELETE", "/api/v1/tokens/suyo", token=token).status, 404)
            own = self.ask(server, "PATCH", "/api/v1/settings", {"theme": "mine"}, token=token)
            self.assertEqual((own.json["theme"], own.json["userId"]), ("mine", me.json["id"]))
        self.assertEqual(self.ask(server, "GET", "/api/v1/settings", Cookie=cookie).json["theme"], "crystal")
        space = self.ask(server, "POST", "/api/v1/workspaces", {"name": "S"}, Cookie=cookie).json["id"]
        self.assertNotIn(space, self.ask(server, "GET", "/api/v1/workspaces", token=user).text)
        self.assertEqual(self.ask(server, "DELETE", f"/api/v1/workspaces/{space}", token=user).status, 403)
        narrow = server.cli("token", "create", "estrecho", "--role", "admin", "--scope", "executions:*").out.split()[-1]
        self.assertEqual(self.ask(server, "GET", "/api/v1/executions", token=narrow).status, 200)
        self.refused(self.ask(server, "GET", "/api/v1/workers", token=narrow), 403, "scope")
        listed = json.loads(server.cli("token", "list", "--json").out)["tokens"]
        self.assertLessEqual({"mirador", "estrecho"}, {token["name"] for token in listed})
        self.assertNotIn(viewer, json.dumps(listed))
        self.clean_exit(server.cli("token", "revoke", "mirador"))
        self.refused(self.ask(server, "GET", "/api/v1/workers", token=viewer), 401, "revoked")
        # What a token makes has neither more nor longer than it has itself.
        maker = server.new_token("SuperAdmin", "hacedor", scopes="tokens:create users:create workers:list", expiresDays=1)
        child = {"name": "hijo", "role": "Viewer", "scopes": "workers:list"}
        self.refused(self.ask(server, "POST", "/api/v1/tokens", child, token=maker), 403, "outlive")
        self.assertEqual(self.ask(server, "POST", "/api/v1/tokens", {**child, "expiresDays": 0.5}, token=maker).status, 201)
        account = {"email": "x@example.org", "role": "SuperAdmin", "password": "long enough"}
        self.refused(self.ask(server, "POST", "/api/v1/users", account, token=maker), 403, "scope")
        made = server.call("POST", "/tokens", {"name": "lista", "role": "Admin", "scopes": ["workers:list", "executions:*"]}, expect=201)
        self.assertEqual(made["scopes"], "workers:list executions:*")
        self.assertEqual(self.ask(server, "GET", "/api/v1/workers", token=made["token"]).status, 200)
        self.refused(self.ask(server, "GET", "/api/v1/users", token=made["token"]), 403, "scope")
        for wrong in ({}, 5, True, [], ["workers:list", 5], [["workers:list"]], "", ", ,", [","], ["workers:list"] * 50, "workers:fly"):
            self.refused(server.call("POST", "/tokens", {"name": "x", "role": "Admin", "scopes": wrong}), 422, "scope" if wrong != "workers:fly" else "fly")
        self.assertEqual(server.call("POST", "/tokens", {"name": "todo", "role": "Viewer", "scopes": None}, expect=201)["scopes"], "")
        self.assertEqual(server.cli("token", "create", "x", "--role", "admin", "--scope", " ").code, 1)
        for wrong in (["create", "x"], ["create", "x", "--role", "king"], ["create", "x", "--role", "user", "--expires", "soon"], ["fly"]):
            self.assertEqual(server.cli("token", *wrong).code, 2, wrong)
        with open(os.path.join(server.data, "horizon.db-wal"), "rb") as file:
            self.assertNotIn(narrow[4:30].encode(), file.read())
        stopper = server.cli("token", "create", "parador", "--role", "superadmin").out.split()[-1]
        self.assertEqual(self.ask(server, "POST", f"/api/v1/workers/{worker}/stop", token=stopper).status, 200)
        hz.wait_for(lambda: self.ask(server, "GET", "/api/v1/workers", token=brief).status == 401, 5, what="the end of a token")
        self.refused(self.ask(server, "GET", "/api/v1/workers", token=brief), 401, "expired")

    def test_sessions_end(self):
        server = self.server()
        answer, cookie = self.session(server)
        self.assertEqual(answer.json["user"]["email"], ADMIN)
        self.assertNotIn("password", answer.text.lower())
        me = self.ask(server, "GET", "/api/v1/me", Cookie=cookie)
        self.assertEqual(me.json["role"]["level"], 0)
        self.assertEqual(self.ask(server, "POST", "/api/v1/logout", Cookie=cookie).status, 204)
        self.refused(self.ask(server, "GET", "/api/v1/me", Cookie=cookie), 401, "not valid")
        cookie = self.session(server)[1]
        self.clean_exit(server.cli("user", "password", ADMIN, stdin="something else\n"))
        self.assertEqual(self.ask(server, "GET", "/api/v1/me", Cookie=cookie).status, 401, "a new password ends sessions")
        self.assertEqual(self.log_in(server).status, 401)
        self.assertEqual(self.log_in(server, "something else").status, 200)

    def test_people_and_what_they_may(self):
        server = self.server()
        self.clean_exit(server.cli("user", "add", "eva@example.org", "--role", "manager", "--name", "Eva", stdin="eva's password\n"))
        cookie = self.log_in(server, "eva's password", "EVA@example.org").headers["set-cookie"].split(";")[0]
        self.assertEqual(self.ask(server, "GET", "/api/v1/workers", Cookie=cookie).status, 200)
        self.refused(self.ask(server, "GET", "/api/v1/users", Cookie=cookie), 403, "users:list")
        self.refused(self.ask(server, "PATCH", "/api/v1/me", {"currentPassword": "guess", "password": "eva's other one"}, Cookie=cookie), 403, "another")
        change = {"currentPassword": "eva's password", "password": "eva's other one"}
        self.assertEqual(self.ask(server, "PATCH", "/api/v1/me", change, Cookie=cookie).status, 204)
        self.assertEqual(self.ask(server, "GET", "/api/v1/workers", Cookie=cookie).status, 401, "its sessions have ended")
        cookie = self.log_in(server, "eva's other one", "eva@example.org").headers["set-cookie"].split(";")[0]
        # A name is kept whole or refused; nothing of it breaks a list.
        for name, status in (("a" * 126 + "é", 422), ("a" * 125 + "é", 201)):
            answer = server.call("POST", "/users", {"email": "larga@example.org", "role": "User", "password": "long enough", "name": name})
            self.assertEqual(answer.status, status, answer)
        self.assertIn("a" * 125 + "é", [user["name"] for user in server.call("GET", "/users", expect=200)["users"]])
        self.refused(server.call("PATCH", "/users/larga@example.org", {"name": "a" * 126 + "é"}), 422, "127 bytes")
        for body, word in ({"password": 12345678}, "password"), ({"name": 5}, "name"), ({"nonsense": 1}, "nonsense"), ({}, "password"):
            self.refused(server.call("PATCH", "/users/larga@example.org", body), 422, word)
        noted = lambda: [(row["target"], row["status"]) for row in server.call("GET", "/audit?action=users:create", expect=200)["audit"]]
        hz.wait_for(lambda: len(noted()) >= 3, what="who was made")
        self.assertEqual(noted(), [(f"/api/v1/users/{name}@example.org", status) for name, status in (("larga", 201), ("larga", 422), ("eva", 201))])
        self.clean_exit(server.cli("user", "role", "eva@example.org", "admin"))
        self.assertEqual(self.ask(server, "GET", "/api/v1/users", Cookie=cookie).status, 200, "a new role counts at once")
        self.refused(self.ask(server, "PATCH", f"/api/v1/users/{ADMIN}", {"active": False}, Cookie=cookie), 403, "above his own")
        self.refused(self.ask(server, "POST", "/api/v1/users", {"email": "x@y.z", "role": "user", "password": "short"}, Cookie=cookie), 422, "8 to")
        self.clean_exit(server.cli("user", "disable", "eva@example.org"))
        self.assertEqual(self.ask(server, "GET", "/api/v1/users", Cookie=cookie).status, 401)
        self.assertEqual(self.log_in(server, "eva's other one", "eva@example.org").status, 401)
        self.clean_exit(server.cli("user", "disable", ADMIN), 1)
        self.assertIn("eva@example.org", server.cli("user", "list").out)

    def test_failed_logins_wait_and_look_all_the_same(self):
        server = self.server()
        self.session(server)
        times = {}
        for mail in (ADMIN, "nobody@example.org"):
            for turn in range(5):
                begun = time.monotonic()
                answer = self.log_in(server, "wrong password", mail)
                times.setdefault(mail, []).append(time.monotonic() - begun)
                self.assertEqual((answer.status, answer.json["detail"]), (401, "Credenciales inválidas"), (mail, turn))
            answer = self.log_in(server, PASSWORD, mail)
            self.refused(answer, 429, "failed logins")
            self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
        known, unknown = (min(times[mail]) for mail in (ADMIN, "nobody@example.org"))
        self.assertLess(known, unknown * 5, "both are hashed")
        self.assertLess(unknown, known * 5, "both are hashed")
        self.clean_exit(server.cli("login"), 0)
        hz.wait_for(lambda: self.log_in(server).status == 200, 10, 0.2, what="the end of the wait")

    def test_hashing_does_not_hold_the_loop(self):
        server = self.server()
        self.session(server)
        waiting = []
        for number in range(hz.pick(10, 30)):
            connection = hz.http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", "/api/v1/login", json.dumps({"email": f"u{number}@example.org", "password": "x" * 9}))
            waiting.append(connection)
        taken = []
        for _ in range(20):
            begun = time.monotonic()
            self.assertEqual(self.ask(server, "GET", "/health").status, 200)
            taken.append(time.monotonic() - begun)
        self.assertLess(sorted(taken)[10], 0.1 * hz.SLOW, "half of them: the machine may have other things to do")
        for connection in waiting:
            self.assertIn(connection.getresponse().status, (401, 429))
            connection.close()

    def test_who_did_what(self):
        server = self.server(flows={"w": hz.webhook_flow("w", "/w")})
        worker = server.start_worker("w")["id"]
        viewer = server.new_token("Viewer", "curioso")
        self.ask(server, "POST", f"/api/v1/workers/{worker}/stop", token=viewer)
        self.session(server)
        rows = hz.wait_for(lambda: (lambda r: r if len(r) >= 4 else None)(server.call("GET", "/audit", expect=200)["audit"]), what="rows")
        done = [(row["user"], row["action"], row["status"]) for row in rows]
        self.assertIn(("token curioso", "workers:stop", 403), done)
        self.assertIn((ADMIN, "auth:login", 200), done)
        self.assertIn("horizon", {row[0] for row in done if row[1] == "tokens:create"})
        self.assertIn("/api/v1/tokens/curioso", [row["target"] for row in rows])
        one = server.call("GET", "/audit?limit=1", expect=200)
        older = server.call("GET", f"/audit?limit=1&cursor={one['next']}", expect=200)
        self.assertLess(older["audit"][0]["sequence"], one["audit"][0]["sequence"])
        printed = server.cli("audit", "--action", "workers:stop")
        self.clean_exit(printed)
        self.assertIn("token curioso", printed.out)
        self.assertNotIn(viewer, json.dumps(rows) + server.process.text())

    # ---- who stands in front

    def test_strange_pages_and_names_are_refused(self):
        server = self.server(env={"CLIENT_URL": "http://localhost:5173", "HORIZON_HOSTS": "flows.example.org"})
        cookie = self.session(server)[1]
        for host, status in ((f"localhost:{server.port}", 200), ("flows.example.org", 200), ("evil.example", 421),
                             ("localhost.evil.example", 421), ("127.0.0.1.nip.io", 421)):
            self.assertEqual(self.ask(server, "GET", "/api/v1/workers", Cookie=cookie, Host=host).status, status, host)
        for origin in ("http://evil.example", "null", f"http://localhost.evil.example:{server.port}", "http://localhost:5174"):
            for method, path in (("GET", "/api/v1/workers"), ("POST", "/api/v1/login"), ("POST", "/api/v1/tokens"), ("OPTIONS", "/api/v1/workers")):
                answer = self.ask(server, method, path, None if method != "POST" else {}, Cookie=cookie, Origin=origin)
                self.assertEqual(answer.status, 403, (origin, method, path))
                self.assertNotIn("access-control-allow-origin", answer.headers)
        for status, extra in ((200, {"Cookie": cookie}), (401, {})):
            answer = self.ask(server, "GET", "/api/v1/workers", Origin="http://localhost:5173", **extra)
            self.assertEqual(answer.status, status)
            self.assertEqual(answer.headers["access-control-allow-origin"], "http://localhost:5173")
            self.assertEqual(answer.headers["access-control-allow-credentials"], "true")
            self.assertIn("Origin", answer.headers["vary"])
        answer = self.ask(server, "OPTIONS", "/api/v1/workers", Origin="http://localhost:5173", Access_Control_Request_Method="POST")
        self.assertEqual(answer.status, 204)
        self.assertIn("Authorization", answer.headers["access-control-allow-headers"])
        self.assertEqual(self.ask(server, "GET", "/health", Origin="http://evil.example").headers["access-control-allow-origin"], "*")

    def test_a_guessed_uuid_and_tricks_with_paths_lead_nowhere(self):
        server = self.server()
        admin = server.call("GET", "/users", expect=200)["users"][0]["id"]
        self.refused(self.ask(server, "GET", "/api/v1/workers", token=admin), 401, "not valid")
        self.refused(self.ask(server, "GET", "/api/v1/workers", Cookie=f"horizon_{server.port}={admin}"), 401, "not valid")
        viewer = server.new_token("Viewer")
        for path in ("/api/v1/../v1/users", "/api/v1/workers/../users", "/api/v1/workers/%2e%2e/users", "/api/v1//users", "//api/v1/users",
                     "/api/v1/users/", "/API/v1/users", "/api/v1/workers%2f..%2fusers", "/api/v1/users%00", "/api/v1/%75sers",
                     "/api/v1/workflows/..%2f..%2fsecret.key", "/api/v1/workflows/%2e%2e%2f%2e%2e%2fhorizon.db"):
            for token in (None, viewer):
                answer = self.ask(server, "GET", path, token=token)
                self.assertIn(answer.status, (400, 401, 403, 404), (path, answer))
                self.assertNotIn(ADMIN, answer.text)
        for name in ("..", "../x", "a/b", "%2e%2e", "x\u0000y"):
            answer = self.ask(server, "POST", "/api/v1/workers", {"workflowId": name}, token=server.token)
            self.assertIn(answer.status, (400, 404, 422), (name, answer))

    def test_a_socket_is_worth_its_login_and_no_more(self):
        server = self.server()
        self.session(server)
        self.clean_exit(server.cli("user", "add", "eva@example.org", "--role", "admin", stdin="eva's password\n"))
        ids = {user["email"]: user["id"] for user in server.call("GET", "/users", expect=200)["users"]}
        refused = {"success": False, "message": "No cumple permisos para ejecutar el método workers:list"}

        def connect(auth=None, headers=None):
            client = sio.Client(server, auth, headers)
            self.addCleanup(client.close)
            return client
        for auth in ({}, {"userId": ids[ADMIN]}, {"userId": ids["eva@example.org"]}, {"userId": 0}, {"userId": None}, {"token": ids[ADMIN]}):
            self.assertEqual(connect(auth).call("workers:list", {}), refused, auth)
        # Nobody in particular asks a thousand times for what he may not: the logs hear of it, and are not full of it.
        stranger = connect()
        stranger.send_together(*[("workers:stop", {"workerId": "x"})] * 3000)
        stranger.settle()
        self.assertFalse(connect({"token": server.new_token("Viewer")}).call("workers:stop", {"workerId": "x"})["success"])
        rows = lambda: server.call("GET", "/audit?limit=1000&action=workers:stop", expect=200)["audit"]
        self.assertEqual([row["kind"] for row in hz.wait_for(rows, what="rows")], ["token"])
        said = server.process.text().count("workers:stop")
        self.assertTrue(0 < said < 300, said)
        first = connect()
        login = first.call("auth:login", {"email": "eva@example.org", "password": "eva's password"})
        handle = login["user"]["id"]
        self.assertNotIn(handle, ids.values())
        eva = connect({"userId": handle})
        for client in (first, eva):
            self.assertTrue(client.call("workers:list", {})["success"])
        self.assertEqual(self.ask(server, "GET", "/api/v1/me", token=handle).status, 401, "a handle is no token")
        self.assertNotIn(handle, json.dumps(server.call("GET", "/users", expect=200)) + server.process.text())
        self.assertTrue(eva.call("workers:stats", {})["success"])
        self.clean_exit(server.cli("user", "role", "eva@example.org", "viewer"))
        self.assertFalse(eva.call("workers:stop", {"workerId": "x"})["success"])
        self.assertIn("permisos", eva.call("workers:stop", {"workerId": "x"})["message"], "a role counts on an open socket")
        self.clean_exit(server.cli("user", "disable", "eva@example.org"))
        for client in (first, eva, connect({"userId": handle})):
            self.assertEqual(client.call("workers:list", {}), refused)
        self.assertTrue(connect({"token": server.token}).call("workers:list", {})["success"])
        for headers, status in (({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Host": "evil.example"}, 421)):
            answer = hz.request(server.port, "GET", "/socket.io/?EIO=4&transport=polling", headers=headers)
            self.assertEqual(answer.status, status, headers)
            answer = hz.request(server.port, "GET", "/socket.io/?EIO=4&transport=websocket", headers={
                "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", **headers})
            self.assertEqual(answer.status, status, headers)

    def test_who_only_listens_hears_nothing_after_his_end(self):
        server = self.server(flows={"w": hz.webhook_flow("w", "/w")})
        self.session(server)
        self.clean_exit(server.cli("user", "add", "eva@example.org", "--role", "admin", stdin="eva's password\n"))
        cookie = self.log_in(server, "eva's password", "eva@example.org").headers["set-cookie"].split(";")[0]
        admins = self.session(server)[1]
        tokens = {name: server.new_token("Viewer", name) for name in ("revoked", "brief", "stays")}
        ends = {"revoked": lambda: server.cli("token", "revoke", "revoked"),
                "eva": lambda: server.cli("user", "disable", "eva@example.org"),
                "admin": lambda: self.ask(server, "POST", "/api/v1/logout", Cookie=admins)}
        sockets, streams = {}, {}
        for name, headers in [(n, {"Authorization": "Bearer " + t}) for n, t in tokens.items()] + [("eva", {"Cookie": cookie}), ("admin", {"Cookie": admins})]:
            sockets[name] = sio.Client(server, {"token": tokens[name]} if name in tokens else {}, headers)
            self.addCleanup(sockets[name].close)
            self.assertTrue(sockets[name].call("events:follow", {})["success"], name)
            stream = streams[name] = socket.create_connection(("127.0.0.1", server.port), timeout=15 * hz.SLOW)
            self.addCleanup(stream.close)
            lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
            stream.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{lines}Accept: text/event-stream\r\n\r\n".encode())
            self.assertIn(b" 200 ", stream.recv(4096))
        for name, end in ends.items():
            end()
            got = b"-"
            while got and not got.endswith(b"0\r\n\r\n"):  # the last chunk comes though nothing happens there
                got = streams[name].recv(65536)
        server.start_worker("w")
        sockets["stays"].event("workers:created")
        sockets["stays"].event("events:delta", lambda delta: [e for e in delta["events"] if e["kind"] == "ready"])
        for name in ends:
            self.assertFalse(sockets[name].call("workers:list", {})["success"], name)
            self.assertEqual(sockets[name].names(), [], name)
        got = b""
        while b"event: ready" not in got:
            got += streams["stays"].recv(1 << 20)

    def test_slow_and_greedy_clients_end_and_others_do_not_notice(self):
        server = self.server(env={"HORIZON_LIMIT_LOOPBACK": 1, "HORIZON_ADDRESS_CONNECTIONS": 20, "HORIZON_ADDRESS_RATE": 50})
        slow = socket.create_connection(("127.0.0.1", server.port))
        self.addCleanup(slow.close)
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        begun = time.monotonic()
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        for one in held:
            self.addCleanup(one.close)
        answers = []
        for one in reversed(held):
            one.settimeout(0.2)
            try:
                answers.append(one.recv(100))
            except OSError:
                pass
            if len(answers) == 10:
                break
        self.assertEqual(len(answers), 10, "more than 20 of one address are turned away")
        self.assertTrue(all(b"429" in answer or not answer for answer in answers), answers)
        for one in held:
            one.close()
        connection = hz.http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        self.addCleanup(connection.close)

        def statuses():
            found = []
            for _ in range(150):
                connection.request("GET", "/livez")
                answer = connection.getresponse()
                answer.read()
                found.append((answer.status, answer.getheader("Retry-After")))
            return found
        self.assertIn((429, "1"), statuses())
        self.assertEqual(hz.request(server.socket, "GET", "/livez").status, 200, "the Unix socket is not counted")
        ended = False
        while time.monotonic() - begun < 14 * hz.SLOW and hz.CAMPAIGN:
            slow.settimeout(0.5)
            try:
                slow.sendall(b"a")
                ended = slow.recv(10) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        if hz.CAMPAIGN:
            self.assertTrue(ended, "a header that comes byte by byte ends within 10 s")
            self.assertGreater(time.monotonic() - begun, 8)

    def test_bodies_that_stand_still_end(self):
        if not hz.CAMPAIGN:
            self.skipTest("20 s and more: campaign")
        server = self.server()
        begun = time.monotonic()
        clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        head = f"PUT /api/v1/workflows/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\nContent-Length: 200000\r\n\r\n"
        for client in clients:
            self.addCleanup(client.close)
            client.settimeout(0.05)
            client.sendall(head.encode())
        ends = [None, None]
        while time.monotonic() - begun < 40 and ends[0] is None:
            for number, piece in ((0, b" "), (1, b" " * 1500)):  # one byte, and 3 KiB, a second
                try:
                    clients[number].sendall(piece)
                    if clients[number].recv(10) == b"":
                        ends[number] = time.monotonic() - begun
                except TimeoutError:
                    pass
                except OSError:
                    ends[number] = ends[number] or time.monotonic() - begun
            time.sleep(0.45)
        self.assertTrue(18 < (ends[0] or 0) < 30, ends)
        self.assertIsNone(ends[1], "who keeps 1 KiB/s is waited for")

    # ---- TLS

    def certificate(self, serial):
        cert, key = self.place.path("cert.pem"), self.place.path("key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
                        cert, "-days", "2", "-subj", "/CN=localhost", "-set_serial", str(serial),
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        return cert, key

    def over_tls(self, server, method, path, headers=None, keep=None):
        context = ssl.create_default_context(cafile=self.place.path("cert.pem")) if keep is None else None
        connection = keep or hz.http.client.HTTPSConnection("localhost", server.port, context=context, timeout=20)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return connection, answer.status, answer.read(), answer.getheader("Set-Cookie")

    def serial(self, server):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", server.port), 10) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
            cert = ssl.DER_cert_to_PEM_cert(tls.getpeercert(True))
        text = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=cert.encode(), check=True, capture_output=True).stdout
        return int(text.decode().split("=")[1], 16)

    def test_tls_and_a_certificate_that_is_renewed(self):
        if subprocess.run(["openssl", "version"], capture_output=True).returncode:
            self.skipTest("no openssl command to make certificates with")
        cert, key = self.certificate(1)
        server = self.server(flows={"w": hz.webhook_flow("w", "/w")}, arguments=("--tls-cert", cert, "--tls-key", key), wait=False)
        hz.wait_for(lambda: f"https://127.0.0.1:{server.port}/\n" in server.process.text("out"), 20, what="the address")
        kept, status, _, _ = self.over_tls(server, "GET", "/health")
        self.assertEqual(status, 200)
        self.assertEqual(self.over_tls(server, "GET", "/api/v1/workers")[1], 401)
        self.assertEqual(self.over_tls(server, "GET", "/api/v1/workers", server.signed)[1], 200)
        with self.assertRaises((OSError, hz.http.client.HTTPException)):
            hz.request(server.port, "GET", "/health")
        worker = json.loads(server.cli("start", "w", "--json").out)
        self.assertEqual(hz.request(worker["port"], "GET", "/w").status, 200, "a worker's port is plain, on loopback")
        url = server.cli("login").out.strip()
        cookie = self.over_tls(server, "GET", "/" + url.split("/", 3)[3])[3]
        self.assertIn("; Secure", cookie)
        self.assertEqual(self.serial(server), 1)
        self.certificate(2)
        os.kill(server.pid, hz.signal.SIGHUP)
        hz.wait_for(lambda: self.serial(server) == 2, what="the new certificate")
        self.assertEqual(self.over_tls(server, "GET", "/health", keep=kept)[1], 200, "who is connected stays so")
        self.place.write("cert.pem", "no certificate")
        os.kill(server.pid, hz.signal.SIGHUP)
        hz.logged(server.process, "stays in use")
        self.assertEqual(self.serial(server), 2)
        self.assertEqual(server.stop(), 0)
        result = self.place.run("serve", "--data", server.data, "--tls-cert", cert, timeout=10)
        self.clean_exit(result, 2)
        self.assertIn("--tls-key", result.err)

    def test_a_restart_in_place_keeps_sessions_and_tokens(self):
        server = self.server()
        cookie = self.session(server)[1]
        self.clean_exit(server.cli("restart", "--manager"))
        self.assertEqual(self.ask(server, "GET", "/api/v1/me", Cookie=cookie).status, 200)
        self.assertEqual(self.ask(server, "GET", "/api/v1/workers", token=server.token).status, 200)


if __name__ == "__main__":
    hz.main()
