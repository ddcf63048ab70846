"""The description in OpenAPI: validators accept it, it names what is served and nothing else, every answer fits it, and random calls made from
it get no 5xx that it does not name."""
import http.client
import json
import os
import random
import re
import signal
import urllib.parse

import hz
import npm
import openapi


class Described(hz.Case):
    def test_each_operation_answers_as_described(self):
        flows = {"hook": hz.webhook_flow("hook"), "once": hz.simple_flow("once"), "bad": hz.simple_flow("bad", '{"x": {{nada.nada}}}')}
        flows["bad"]["properties"]["horizon"] = {"retry": {"times": 0}}
        flows["once"]["properties"]["horizon"] = {"nodeStats": True}
        parked = {"reason": "too often", "crashId": "", "since": 1}
        self.place.write("data/parked.json", {"uno": parked})
        server = hz.Server(self.place, flows=flows)
        call, seen = server.call, openapi.watch(self)
        # ---- workers
        worker = server.start_worker("hook")["id"]
        for path in "", "?limit=1", f"/{worker}", f"/{worker}/logs", f"/{worker}/metrics?step=1":
            call("GET", "/workers" + path, expect=200)
        call("POST", f"/workers/{worker}/messages", {"route": "worker:status"}, expect=200)
        new = call("POST", f"/workers/{worker}/restart", expect=200)["id"]
        for path in "/dashboard", "/stats", "/parked", "/logs", "/manager", "/nodes", "/nodes?sort=type&limit=2", "/nodes/delay", "/node-groups", "/node-stats":
            call("GET", path, expect=200)
        os.kill(server.workers()[0]["processId"], signal.SIGSEGV)
        crash = hz.wait_for(lambda: call("GET", "/crashes", expect=200)["crashes"], what="a crash report")[0]
        call("GET", "/crashes/" + crash["id"], expect=200)
        call("POST", "/workers/0000/stop", expect=404)
        call("POST", "/workflows/uno/release", expect=200)
        hz.wait_for(lambda: server.workers() and server.workers()[0]["status"] == "running", what="it is there again")
        call("POST", f"/workers/{server.workers()[0]['id']}/stop", expect=200)
        del new
        # ---- workflows, projects, workspaces, settings
        call("PUT", "/workflows/suma", hz.simple_flow("suma"), expect=200)
        space = call("POST", "/workspaces", {"name": "W", "color": "#fff"}, expect=201)["id"]
        for method, path, body in ("GET", "", None), ("GET", "?sort=-name", None), ("PATCH", f"/{space}", {"name": "V"}), ("GET", f"/{space}", None):
            call(method, "/workspaces" + path, body, expect=200)
        project = call("POST", "/projects", {"name": "P", "workspaceId": space, "transportType": "tcp"}, expect=201)["id"]
        for method, path, body in ("GET", "", None), ("GET", f"/{project}", None), ("PATCH", f"/{project}", {"name": "Q", "transportType": None}):
            call(method, "/projects" + path, body, expect=200)
        flow = hz.simple_flow("w")
        workflow = call("POST", "/workflows", {"name": "W", "projectId": project, "description": "d"}, expect=201)["id"]
        call("PATCH", f"/workflows/{workflow}", {"nodes": flow["nodes"], "connections": flow["connections"]}, expect=200)
        for path in "", "?sort=name", f"/{workflow}", "/once", f"/{workflow}/versions", "/once/executions", f"/{workflow}/executions":
            call("GET", "/workflows" + path, expect=200)
        call("POST", f"/workflows/{workflow}/execute", {}, expect=202)
        call("GET", "/settings", expect=200)
        call("PATCH", "/settings", {"theme": "dark"}, expect=200)
        # ---- executions
        first = server.execute("once", {"n": 1})
        accepted = call("POST", "/workflows/once/executions", {"dedupKey": "k"}, expect=202)
        call("POST", "/workflows/once/executions", {"dedupKey": "k"}, expect=200)
        call("POST", "/workflows/hook/executions", {"wait": True}, expect=200)
        late = call("POST", "/workflows/once/executions", {"delayMs": 600000, "priority": 3, "deadlineMs": 1000}, expect=202)
        for path in "", "?state=success", "?kind=activation", "?limit=1", f"/{first['id']}", f"/{late['executionId']}", f"/{first['id']}/nodes":
            call("GET", "/executions" + path, expect=200)
        call("POST", f"/executions/{late['executionId']}/cancel", expect=202)
        hz.wait_for(lambda: server.execution(accepted["executionId"])["endedAt"], what="its end")
        call("POST", f"/executions/{first['id']}/rerun", {}, expect=202)
        server.execute("bad")
        dead = call("GET", "/dead", expect=200)["executions"][0]["id"]
        call("POST", f"/dead/{dead}/redrive", expect=202)
        hz.wait_for(lambda: call("GET", "/events?limit=5", expect=200)["events"], what="events")
        # ---- alerts
        call("POST", "/alerts/silence", {"rule": "disk", "subject": "data", "minutes": 5}, expect=200)
        call("POST", "/alerts/test", {"rule": "disk"}, expect=202)
        for path in "/alerts", "/alerts?state=all":
            call("GET", path, expect=200)
        call("POST", "/alerts/unsilence", {"rule": "disk", "subject": "data"}, expect=200)
        # ---- accounts, over the Unix socket what is served there alone
        eva = call("POST", "/users", {"email": "eva@example.org", "role": "Viewer", "password": "secret-1234"}, expect=201)
        for method, path, body in ("GET", "/users", None), ("GET", f"/users/{eva['id']}", None), ("PATCH", f"/users/{eva['id']}", {"name": "Eva", "active": True}), \
                ("GET", "/me", None), ("GET", "/roles", None), ("GET", "/permissions", None), ("GET", "/tokens", None), ("GET", "/audit?limit=3", None):
            call(method, path, body, expect=200)
        call("POST", "/tokens", {"name": "t", "role": "Viewer", "scopes": "workers:list", "expiresDays": 1}, expect=201)
        call("DELETE", "/tokens/t", expect=204)
        call("PATCH", "/me", {"currentPassword": "x", "password": "y"})
        cookie = call("POST", "/login", {"email": "eva@example.org", "password": "secret-1234"}).headers["set-cookie"].split(";")[0]
        call("GET", "/me", headers={"Cookie": cookie}, expect=200)
        call("POST", "/logout", headers={"Cookie": cookie}, expect=204)
        call("POST", "/login", {"email": "eva@example.org", "password": "wrong-1234"}, expect=401)
        for method, path, body, status in ("PUT", "/secrets/UNO", "valor-largo", 200), ("GET", "/secrets", None, 200), ("POST", "/secret-key", None, 200), \
                ("DELETE", "/secrets/UNO", None, 200), ("POST", "/login-codes", {}, 201):
            self.assertEqual(hz.request(server.socket, method, "/api/v1" + path, body).status, status, path)
            self.assertEqual(call(method, path, body).status, 403, path)
        call("POST", "/manager/restart", {}, expect=403)
        # ---- the rest goes away, and what is open
        for path in f"/workflows/{workflow}", f"/projects/{project}", f"/workspaces/{space}":
            call("DELETE", path, expect=204)
        for path in "/health", "/livez", "/readyz", "/metrics":
            self.assertEqual(hz.request(server.port, "GET", path, headers=server.signed).status, 200)
        left = {(method.upper(), path) for path, item in call("GET", "/openapi.json", expect=200)["paths"].items() for method in item} - seen
        self.assertEqual(left, {("GET", "/api/v1/openapi.json")} - seen)

    def test_what_is_served_is_described_and_nothing_else(self):
        server = hz.Server(self.place, flows={"once": hz.simple_flow("once")})
        doc = server.call("GET", "/openapi.json", expect=200)
        served = {}  # by path: a method nobody offers, and the answer names those that are
        for path, item in doc["paths"].items():
            answer = hz.request(server.port, "TRACE", re.sub(r"{\w+}", "x", path), headers=server.signed)
            served[path] = set(answer.headers.get("allow", "").lower().replace(",", " ").split()) - {"head", "options"}
            self.assertEqual((answer.status, served[path]), (405, set(item)), path)
            for method, operation in item.items():
                self.assertEqual(re.findall(r"{(\w+)}", path), [p["name"] for p in operation["parameters"] if p["in"] == "path"], path)
                self.assertNotEqual(operation["summary"], operation["operationId"], "it has no words of its own")
        ids = [operation["operationId"] for item in doc["paths"].values() for operation in item.values()]
        self.assertEqual(len(ids), len(set(ids)))
        # the words' own file has no operation that is not served
        with open(os.path.join(hz.SOURCE, "core", "api", "openapi.json"), encoding="utf-8") as file:
            said = json.load(file)["operations"]
        self.assertEqual({(name.split()[0].lower(), re.sub(r":(\w+)", r"{\1}", name.split()[1])) for name in said},
                         {(method, path) for path, item in doc["paths"].items() for method in item})
        # nor is there a shape nobody uses, or one that is not there
        text = json.dumps(doc)
        used = set(re.findall(r'"#/components/schemas/(\w+)"', text))
        self.assertEqual(used, set(doc["components"]["schemas"]))

    def test_a_validator_accepts_it(self):
        server = hz.Server(self.place)
        path = self.place.write("openapi.json", server.call("GET", "/openapi.json", expect=200))
        result = npm.node(self, "openapi_validate.mjs", path)
        self.assertEqual((result["valid"], result["version"]), (True, "3.1"), result)


class Words:
    """Values made from schemas: most fit, some do not."""
    ODD = [None, True, False, 0, -1, 1e308, 2**63, "", "x" * 5000, "\u0000", "\U0001f600", "../..", "' OR 1=1 --", [], [[[]]], {}, {"a": {"b": []}}]

    def __init__(self, rng, doc):
        self.rng, self.doc = rng, doc
        self.pool = ["once", "hook", "x", "0000", "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", "delay", "disk",
                     "0.0.1", "General", "manager", "Inicio"]

    def learn(self, value):
        if isinstance(value, dict):
            for key, member in value.items():
                if key in ("id", "workerId", "executionId", "workflowId", "cursor", "next", "name") and isinstance(member, str) and member:
                    self.pool.append(member)
                else:
                    self.learn(member)
        elif isinstance(value, list):
            for member in value[:3]:
                self.learn(member)
        del self.pool[12:-200]

    def value(self, schema, depth=0):
        rng = self.rng
        if rng.random() < 0.08:
            return rng.choice(self.ODD)
        if "$ref" in schema:
            return self.value(self.doc["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], depth)
        if "anyOf" in schema:
            return self.value(rng.choice(schema["anyOf"]), depth)
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type")
        kind = rng.choice(kind) if isinstance(kind, list) else kind
        if kind == "object":
            made = {name: self.value(member, depth + 1) for name, member in schema.get("properties", {}).items()
                    if (name in schema.get("required", ()) and rng.random() < 0.95) or rng.random() < 0.5}
            if isinstance(schema.get("additionalProperties"), dict) and depth < 4:
                made |= {rng.choice(self.pool): self.value(schema["additionalProperties"], depth + 1) for _ in range(rng.randrange(3))}
            return made
        if kind == "array":
            return [self.value(schema["items"], depth + 1) for _ in range(rng.randrange(3))]
        if kind == "integer":
            low, high = schema.get("minimum", -5), schema.get("maximum", 100)
            return rng.choice([low, high, rng.randint(low, high), low - 1, high + 1])
        if kind == "number":
            return rng.choice([0, 1, 0.5, 100, 36500, -1])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "null":
            return None
        if schema.get("format") == "date-time":
            return rng.choice(["2026-11-24T03:00:00Z", "2026-02-31T00:00:00Z", "yesterday"])
        if kind == "string":
            return rng.choice(self.pool + ["".join(chr(rng.randrange(32, 0x2fff)) for _ in range(rng.randrange(1, 20)))])
        return rng.choice([1, "a", None, {"n": 1}, [1, 2]])

    def call(self, path, operation):
        """(path with query, headers, body or None)"""
        rng, query, headers, body = self.rng, [], {}, None
        for parameter in operation["parameters"]:
            value = self.value(parameter["schema"])
            text = value if isinstance(value, str) else json.dumps(value)
            if parameter["in"] == "path":
                text = rng.choice(self.pool) if rng.random() < 0.7 else text
                path = path.replace("{%s}" % parameter["name"], urllib.parse.quote(text[:2000], safe="") or "x")
            elif rng.random() < 0.4 and parameter["in"] == "query":
                query.append((parameter["name"], text[:1000]))
            elif rng.random() < 0.4 and parameter["in"] == "header":
                headers[parameter["name"]] = re.sub(r"[^ -~]", "?", text[:300])
        if "requestBody" in operation:
            media, content = next(iter(operation["requestBody"]["content"].items()))
            body = self.value(content["schema"])
            if isinstance(body, dict) and body.get("wait") and (body.get("delayMs") or body.get("startAt")):
                del body["wait"]  # it would be waited for
            headers["Content-Type"] = media
            body = json.dumps(body)
            if rng.random() < 0.05:
                body = rng.choice([body[:-1], "", "{", "\xff\xfe", "[" * 200, body + "x"])
            body = body.encode("utf-8", "surrogatepass")
        return path + ("?" + urllib.parse.urlencode(query, errors="replace") if query else ""), headers, body


class Random(hz.Case):
    def test_random_calls_are_answered_as_described(self):
        flows = {"hook": hz.webhook_flow("hook"), "once": hz.simple_flow("once")}
        server = hz.Server(self.place, flows=flows, env={"HORIZON_STOP_GRACE": "500"})
        hz.WATCHERS.clear()
        known = openapi.description(server.socket)
        rng, counts, wrong = random.Random(hz.SEED), {}, []
        words = Words(rng, known.doc)
        # Logging in is throttled on purpose, and each password costs a hash that is slow on purpose.
        dear = {("POST", "/api/v1/login"), ("POST", "/api/v1/users"), ("PATCH", "/api/v1/users/{id}"), ("PATCH", "/api/v1/me")}
        choices = [key for key in known.operations for _ in range(1 if key in dear else 8)]
        for number in range(hz.pick(400, 6000) // (1 if hz.SLOW == 1 else 2)):
            method, template = rng.choice(choices)
            path, headers, body = words.call(template, known.operations[method, template])
            where = server.socket if rng.random() < 0.2 else server.port
            if where == server.port:
                headers["Authorization"] = "Bearer " + server.token
            if where == server.socket and template == "/api/v1/manager/restart":
                continue
            sent = f"call {number} of seed {hz.SEED}: {method} {path[:200]} {headers} {(body or b'')[:300]}"
            try:
                answer = hz.request(where, method, path, body, headers=headers, timeout=30 * hz.SLOW)
            except (OSError, http.client.HTTPException) as error:
                self.fail(f"{sent}: {error!r}")
            counts[answer.status] = counts.get(answer.status, 0) + 1
            problem = known.problem(method, path, answer)
            if not problem and answer.status >= 400 and template != "/readyz":
                media, told = answer.headers.get("content-type"), answer.json
                if media != "application/problem+json" or told["status"] != answer.status or not told["title"]:
                    problem = f"no problem document: {answer!r}"
            if problem:
                wrong.append(f"{sent}: {problem}")
            if answer.status < 300 and answer.body and "json" in answer.headers.get("content-type", ""):
                words.learn(answer.json)
            if answer.status == 401:
                server._token = None  # a call has revoked it
            if number % 100 == 99:
                for worker in hz.request(server.socket, "GET", "/api/v1/workers").json["workers"]:
                    hz.request(server.socket, "POST", f"/api/v1/workers/{worker['id']}/stop")
        print("statuses", dict(sorted(counts.items())), flush=True)
        self.assertEqual(wrong[:5], [], f"{len(wrong)} of them")
        self.assertEqual(hz.request(server.port, "GET", "/health").status, 200)
        self.assertGreater(sum(n for status, n in counts.items() if status < 300), sum(counts.values()) // 5, "most calls mean nothing")
        self.assertEqual(server.stop(30), 0)
        self.assert_no_sanitizer_report(server.process.text())


if __name__ == "__main__":
    hz.main()
