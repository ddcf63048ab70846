"""REST: pages, filters and order of lists, ETags, kept answers, events as a list and as they happen, the description of it all."""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import hz
import openapi
import sio
import sio


class Rest(openapi.Case):
    def start(self, **options):
        self.server = hz.Server(self.place, flows={"hook": hz.webhook_flow("hook"), "once": hz.simple_flow("once")}, **options)
        return self.server

    def problem(self, answer, status):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json["status"], status)
        return answer.json

    def test_lists_have_pages_filters_and_an_order(self):
        server = self.start()
        space = server.call("GET", "/workspaces", expect=200)["workspaces"][0]["id"]
        for name in "c", "a", "b":
            server.call("POST", "/projects", {"name": name, "workspaceId": space, "transportType": "tcp" if name == "a" else None}, expect=201)
        names = lambda query: [p["name"] for p in server.call("GET", "/projects?" + query, expect=200)["projects"]]
        self.assertEqual(names("sort=name"), ["General", "a", "b", "c"])
        self.assertEqual(names("sort=-name"), ["c", "b", "a", "General"])
        self.assertEqual(names("transportType=tcp"), ["a"])
        self.assertEqual(names("name=b&workspaceId=" + space), ["b"])
        first = server.call("GET", "/projects?sort=name&limit=3", expect=200)
        rest = server.call("GET", f"/projects?sort=name&limit=3&cursor={first['next']}", expect=200)
        self.assertEqual([p["name"] for p in first["projects"] + rest["projects"]], ["General", "a", "b", "c"])
        self.assertIsNone(rest["next"])
        self.problem(server.call("GET", "/projects?cursor=x"), 400)
        self.problem(server.call("GET", "/projects?limit=x"), 400)
        self.assertEqual([w["id"] for w in server.call("GET", "/workflows?sort=-id&limit=1", expect=200)["workflows"]], ["once"])
        off = hz.simple_flow("off")
        off["info"]["disabled"] = True
        server.call("PUT", "/workflows/off", off, expect=200)
        enabled = lambda: {w["id"]: w["enabled"] for w in server.call("GET", "/workflows", expect=200)["workflows"]}
        self.assertEqual(enabled(), {"hook": True, "off": False, "once": True})
        server.start_worker("hook")
        self.assertEqual(len(server.call("GET", "/workers?workflowId=hook", expect=200)["workers"]), 1)
        self.assertEqual(server.call("GET", "/workers?workflowId=none", expect=200), {"workers": [], "next": None})

    def test_executions_are_paged_by_a_cursor(self):
        server = self.start()
        ids = [server.call("POST", "/workflows/once/executions", {}, expect=202)["executionId"] for _ in range(7)]
        hz.wait_for(lambda: all(server.execution(i)["endedAt"] for i in ids), 20, what="their ends")
        for query in "", "&workflowId=once", "&state=success":
            got, cursor = [], ""
            for _ in range(4):
                page = server.call("GET", f"/executions?limit=2{query}{cursor}", expect=200)
                got += [e["id"] for e in page["executions"]]
                if page["next"] is None:
                    break
                cursor = "&cursor=" + page["next"]
            self.assertEqual(len(got), 7)
            self.assertEqual(set(got), set(ids))
        for most, expected in (3, 3), (1000, 7), (1001, 7):
            told = json.loads(server.cli("executions", "--json", "--limit", str(most)).out)
            self.assertEqual([e["id"] for e in told["executions"]], got[:expected])
            self.assertEqual(told["next"] is None, expected == 7)
        for wrong in "x", "1", "1-", "-1-1", "1-1x", "1-" + ids[0]:
            self.assertIn("cursor", self.problem(server.call("GET", "/executions?cursor=" + wrong), 400)["detail"])
        self.assertIn("cursor", self.problem(server.call("GET", "/executions?state=running&cursor=1-1"), 400)["detail"])
        self.assertIn("kind", self.problem(server.call("GET", "/executions?kind=x"), 400)["detail"])
        self.assertEqual(server.call("GET", "/crashes?limit=1", expect=200), {"crashes": [], "next": None})

    def test_what_is_too_long_is_cut_between_characters(self):
        server = self.start()
        server.call("POST", "/workflows/once/execute", {"trigger": "t" * 30 + "é"}, expect=202)
        text = hz.request(server.socket, "GET", "/api/v1/executions").body.decode()  # or it is no UTF-8
        self.assertEqual([run["trigger"] for run in json.loads(text)["executions"]], ["t" * 30])

    def test_a_record_is_changed_by_who_has_seen_it(self):
        server = self.start()
        space = server.call("GET", "/workspaces", expect=200)["workspaces"][0]["id"]
        made = server.call("POST", "/projects", {"name": "P", "workspaceId": space})
        self.assertEqual(made.status, 201)
        path = "/projects/" + made.json["id"]
        self.assertEqual(made.headers["location"], "/api/v1" + path)
        seen = server.call("GET", path)
        self.assertEqual(seen.json, made.json)
        old = seen.headers["etag"]
        signed = server.signed
        new = server.call("PATCH", path, {"name": "Q"}, headers={**signed, "If-Match": old})
        self.assertEqual((new.status, new.json["name"]), (200, "Q"))
        self.assertNotEqual(new.headers["etag"], old)
        self.problem(server.call("PATCH", path, {"name": "R"}, headers={**signed, "If-Match": old}), 412)
        self.problem(server.call("DELETE", path, headers={**signed, "If-Match": "W/x"}), 412)
        self.assertEqual(server.call("DELETE", path).status, 204)
        self.problem(server.call("GET", path), 404)
        self.problem(server.call("POST", "/projects", {"name": "P"}), 400)
        flow = hz.simple_flow("x")
        workflow = server.call("POST", "/workflows", {"name": "W", "description": "", "projectId": "00000000-0000-4000-8000-000000000002"}, expect=201)
        path = "/workflows/" + workflow["id"]
        changed = server.call("PATCH", path, {"nodes": flow["nodes"], "connections": flow["connections"]}, expect=200)
        self.assertEqual(changed["version"], "0.0.2")
        seen = server.call("GET", path).headers["etag"]
        put = lambda tag: server.call("PUT", path, {**flow, "version": "0.0.2"}, headers={**signed, "If-Match": tag})
        self.problem(put('"r99"'), 412)
        self.problem(put("x"), 412)
        self.assertEqual(put(seen).status, 200)
        self.assertEqual(put(server.call("GET", path).headers["etag"]).headers["etag"], server.call("GET", path).headers["etag"])
        self.assertEqual(server.execute(workflow["id"])["state"], "success")
        versions = server.call("GET", path + "/versions", expect=200)["versions"]
        self.assertEqual([v["version"] for v in versions][-2:], ["0.0.2", "0.0.1"])
        self.assertEqual(server.call("POST", path + "/execute", {}).status, 202)
        self.assertEqual(server.call("DELETE", path).status, 204)
        self.problem(server.call("GET", path), 404)

    def test_what_everybody_has_stays_and_what_is_archived_is_gone(self):
        server = self.start()
        client = sio.Client(server, {"token": server.new_token("SuperAdmin")})
        self.addCleanup(client.close)
        space, project = "/workspaces/00000000-0000-4000-8000-000000000001", "/projects/00000000-0000-4000-8000-000000000002"
        for path, name in (space, "workspace"), (project, "proyecto"):
            self.assertIn("everybody's", self.problem(server.call("DELETE", path), 409)["detail"])
            kind = path.split("/")[1]
            self.assertEqual(client.call(kind + ":delete", {"id": path.split("/")[2]}), {"success": False, "message": "Error al eliminar " + name})
        for status in "archived", "inactive":
            self.assertIn("status", self.problem(server.call("PATCH", project, {"status": status}), 409)["detail"])
        self.assertIs(server.call("GET", "/workspaces", expect=200)["workspaces"][0]["isDefault"], True)
        # Another one is gone when it is archived: it is not changed, not deleted twice, and nothing new comes into it.
        own = server.call("POST", "/workspaces", {"name": "W"}, expect=201)["id"]
        inner = server.call("POST", "/projects", {"name": "P", "workspaceId": own}, expect=201)["id"]
        for path in f"/projects/{inner}", f"/workspaces/{own}":
            self.assertEqual(server.call("DELETE", path).status, 204)
            self.assertIn(path.split("/")[2], self.problem(server.call("DELETE", path), 404)["detail"])
            self.problem(server.call("PATCH", path, {"name": "X"}), 404)
        self.assertIn("workspaceId", self.problem(server.call("POST", "/projects", {"name": "P", "workspaceId": own}), 400)["detail"])
        self.assertIn("projectId", self.problem(server.call("POST", "/workflows", {"name": "F", "description": "", "projectId": inner}), 400)["detail"])
        # A workflow: what runs ends, and nothing starts it.
        worker = server.start_worker("hook")["id"]
        self.assertEqual(server.call("DELETE", "/workflows/hook").status, 204)
        self.assertEqual(server.call("DELETE", "/workflows/once").status, 204)
        hz.wait_for(lambda: worker not in [w["id"] for w in server.workers()], 20, what="its worker is stopped")
        for flow in "hook", "once":
            self.problem(server.call("POST", f"/workflows/{flow}/executions", {}), 404)
            self.problem(server.call("POST", "/workers", {"workflowId": flow}), 404)
            self.problem(server.call("DELETE", f"/workflows/{flow}"), 404)
        self.assertEqual(client.call("workflows:delete", {"id": "once"}), {"success": True})

    def test_a_problem_says_which_field_is_wrong_and_what_is_expected(self):
        server = self.start()
        space = server.call("GET", "/workspaces", expect=200)["workspaces"][0]["id"]
        common = "00000000-0000-4000-8000-000000000002"
        for method, path, body, status, field in (
                ("POST", "/workspaces", {}, 400, "name"), ("POST", "/workspaces", {"name": 5}, 400, "name"),
                ("POST", "/workspaces", {"name": "W", "isDefault": "yes"}, 400, "isDefault"),
                ("PATCH", f"/workspaces/{space}", {"isDefault": "yes"}, 400, "isDefault"), ("PATCH", f"/workspaces/{space}", {"colour": "x"}, 422, "color"),
                ("POST", "/projects", {"name": "P", "workspaceId": space, "transportType": "pigeon"}, 400, "transportType"),
                ("POST", "/projects", {"name": "P", "workspaceId": "none"}, 400, "workspaceId"), ("PATCH", "/projects/none", {"name": "P"}, 404, "none"),
                ("PATCH", f"/projects/{common}", {"status": 5}, 400, "status"), ("PATCH", f"/projects/{common}", {"Name": "P"}, 422, "name"),
                ("POST", "/workflows", {"name": "W", "description": "", "projectId": "none"}, 400, "projectId"),
                ("POST", "/workflows", {"name": "W", "description": "", "projectId": common, "version": "0.0.1000000000"}, 400, "version"),
                ("POST", "/workflows", {"name": "W", "description": "", "projectId": common, "version": "70000.0.0"}, 400, "version"),
                ("POST", "/workflows", {"name": "W", "description": "", "projectId": common, "lastRun": 5}, 400, "lastRun"),
                ("PATCH", "/workflows/once", {"nodes": 5, "connections": []}, 400, "nodes"), ("PATCH", "/workflows/once", {"connections": "x"}, 400, "connections"),
                ("PATCH", "/workflows/once", {"isPublished": "yes"}, 400, "isPublished"), ("PATCH", "/workflows/once", {"nonsense": 1}, 422, "nodes"),
                ("PATCH", "/settings", {"fontSize": "x"}, 400, "fontSize"), ("PATCH", "/settings", {"size": 1}, 422, "fontSize")):
            with self.subTest(path=path, body=body):
                self.assertIn(field, self.problem(server.call(method, path, body), status)["detail"])
        client = sio.Client(server, {"token": server.new_token("SuperAdmin")})
        self.addCleanup(client.close)
        for name, data, text in (("projects:create", {"name": "P", "workspaceId": space, "transportType": "pigeon"}, "Error al crear proyecto"),
                                 ("workflows:update", {"id": "once", "nodes": [], "connections": []}, "Error al actualizar workflow"),
                                 ("workflows:update", {"id": "once", "nodes": {}, "connections": {}}, "Error al actualizar workflow"),
                                 ("workflows:create", {"name": "W", "description": "", "projectId": "none"}, "Error al crear workflow"),
                                 ("settings:update", {"fontSize": "x"}, "Error al actualizar configuraciones")):
            self.assertEqual(client.call(name, data), {"success": False, "message": text})

    def test_the_same_key_gets_the_same_answer(self):
        server = self.start()
        ask = lambda body, key, flow="once": server.call("POST", f"/workflows/{flow}/executions", body, headers={**server.signed, "Idempotency-Key": key})
        first = ask({"data": 1, "wait": True}, "k-1")
        again = ask({"data": 1, "wait": True}, "k-1")
        self.assertEqual((first.status, first.json), (again.status, again.json))
        self.assertEqual((first.headers.get("idempotency-replayed"), again.headers.get("idempotency-replayed")), (None, "true"))
        self.problem(ask({"data": 2, "wait": True}, "k-1"), 422)
        self.problem(ask({}, "x" * 256), 400)
        for path, body in ("/workers", {"workflowId": "hook"}), ("/workflows/once/execute", {}):
            one, two = (server.call("POST", path, body, headers={**server.signed, "Idempotency-Key": "k" + path}) for _ in range(2))
            self.assertEqual((one.status, one.json, two.headers.get("idempotency-replayed")), (two.status, two.json, "true"), path)
        self.assertEqual([w["workflowId"] for w in server.workers()].count("hook"), 1)
        server.call("POST", f"/workers/{next(w['id'] for w in server.workers() if w['workflowId'] == 'hook')}/stop", expect=200)
        hook = ask({}, "k-2", "hook")
        self.assertEqual((hook.status, ask({}, "k-2", "hook").json), (202, hook.json))
        self.assertEqual(len(server.call("GET", "/executions?kind=activation", expect=200)["executions"]), 2)
        self.assertEqual(len(server.call("GET", "/executions?workflowId=once", expect=200)["executions"]), 2)
        self.assertFalse(any(e["activation"] for e in server.call("GET", "/executions", expect=200)["executions"]))
        server.stop()
        self.server = server = hz.Server(self.place, data=server.data)
        self.assertEqual(ask({"data": 1, "wait": True}, "k-1").json, first.json)

    def test_an_execution_runs_again_from_its_start(self):
        server = self.start()
        first = server.execute("once", {"n": 1})
        self.assertIsNone(server.execution(first["id"])["progress"])
        again = server.call("POST", f"/executions/{first['id']}/rerun", {"from": "Inicio"}, expect=202)
        row = hz.wait_for(lambda: (e := server.execution(again["executionId"]))["endedAt"] and e, what="its end")
        self.assertEqual((row["input"], row["version"], row["trigger"]), (first["input"], first["version"], "rerun"))
        # The only node behind the start was given the same: the input, which is kept. What others were given is not.
        again = server.call("POST", f"/executions/{first['id']}/rerun", {"from": "Paso"}, expect=202)
        row = hz.wait_for(lambda: (e := server.execution(again["executionId"]))["endedAt"] and e, what="its end")
        self.assertEqual((row["input"], row["result"], row["state"]), (first["input"], first["result"], "success"))
        refused = server.call("POST", f"/executions/{first['id']}/rerun", {"from": "Consola"})
        self.problem(refused, 422)
        self.assertIn("what this node was given is not kept", refused.json["detail"])
        self.problem(server.call("POST", f"/executions/{first['id']}/rerun", {"from": "none"}), 422)
        self.problem(server.call("POST", "/executions/none/rerun", {}), 404)
        server.start_worker("hook")
        trigger = hz.wait_for(lambda: server.call("GET", "/executions?workflowId=hook&state=success", expect=200)["executions"], what="its first run")[0]
        refused = server.call("POST", f"/executions/{trigger['id']}/rerun", {})
        self.problem(refused, 422)
        self.assertIn("begun by a trigger", refused.json["detail"])
        late = server.call("POST", "/workflows/once/executions", {"delayMs": 600000}, expect=202)
        self.problem(server.call("POST", f"/executions/{late['executionId']}/rerun", {}), 409)

    def test_who_ended_it_is_named(self):
        server = self.start()
        server.call("POST", "/users", {"email": "eva@example.org", "role": "Admin", "name": "Eva Gil", "password": "secret-1234"}, expect=201)
        cookie = server.call("POST", "/login", {"email": "eva@example.org", "password": "secret-1234"}).headers["set-cookie"].split(";")[0]
        token = {"Authorization": "Bearer " + server.new_token(name="limpieza")}
        for where, headers, name in ((server.port, {"Cookie": cookie}, "Eva Gil"), (server.port, token, "limpieza"), (server.socket, {}, "horizon")):
            late = server.call("POST", "/workflows/once/executions", {"delayMs": 600000}, expect=202)["executionId"]
            hz.request(where, "POST", f"/api/v1/executions/{late}/cancel", headers=headers)
            row = hz.wait_for(lambda: (e := server.execution(late))["endedAt"] and e, what="its end")
            self.assertEqual((row["state"], row["error"]["message"]), ("cancelled", "Detenido por " + name))
            worker = server.start_worker("hook")
            hz.request(where, "POST", f"/api/v1/workers/{worker['id']}/stop", headers=headers)
            row = hz.wait_for(lambda: (e := server.execution(worker["executionId"]))["endedAt"] and e, what="the activation's end")
            self.assertEqual((row["state"], row["error"]["message"]), ("cancelled", "Detenido por " + name))

    def test_progress_is_told_four_times_a_second_and_the_last_always(self):
        flow = hz.Flow("informa")
        flow.chain(flow.node("workflow_init", "Inicio"), "init", flow.node("teller", "Informa", count=150, pause=10), "response", flow.node("console_output", "Fin"))
        server = self.server = hz.Server(self.place, flows={"informa": flow.json}, env={"HORIZON_NODES": os.path.join(hz.BUILD, "tests", "e2e", "nodes")})
        client = sio.Client(server, {"token": server.token})
        events, _ = self.follow("?kind=progress")
        began = time.monotonic()
        first, second = (server.execute("informa", wait=False)["executionId"] for _ in range(2))
        told, during = {first: [], second: []}, None
        for _ in range(400):
            report = client.event("executions:progress")
            self.assertEqual(set(report), {"executionId", "workerId", "nodeId", "stepName", "percentage", "message"})
            told[report["executionId"]].append((time.monotonic() - began, report["percentage"]))
            if report["percentage"] < 100 and not during:
                during = server.execution(report["executionId"])["progress"]
            if all(one and one[-1][1] == 100 for one in told.values()):
                break
        for one in told.values():
            self.assertEqual([percentage for _, percentage in one], sorted(percentage for _, percentage in one))
            self.assertGreaterEqual(len(one), 3, told)
            self.assertLessEqual(len(one), 4 * (one[-1][0] - one[0][0]) + 2, one)
        self.assertLess(during["percentage"], 101)
        last = server.execution(first)["progress"]
        self.assertEqual((last["percentage"], last["message"], last["stepName"], last["executionId"]), (100, "done", "step", first))
        self.assertEqual(server.execution(first.upper())["progress"], last)
        hz.wait_for(lambda: {first, second} == {e[2]["executionId"] for e in events if e[2]["percentage"] == 100}, what="the stream has the last ones")
        client.close()

    def test_the_examples_of_the_readme_do_what_they_say(self):
        server = self.server = hz.Server(self.place)
        with open(os.path.join(hz.SOURCE, "README.md"), encoding="utf-8") as file:
            script = re.search(r"By example.*?```sh\n(.*?)```", file.read(), re.S).group(1)
        script = script.replace("127.0.0.1:3000", f"127.0.0.1:{server.port}").replace("tests/flows", hz.FLOWS).replace("-m 5", "-m 2")
        result = subprocess.run(["sh", "-e", "-c", script], cwd=self.place.dir, capture_output=True, text=True, timeout=60 * hz.SLOW, check=False,
                                env={**os.environ, "PATH": os.path.dirname(hz.HORIZON) + ":" + os.environ["PATH"]})
        out = result.stdout
        self.assertIn(result.returncode, (0, 28), result)
        self.assertIn('"email":"eva@example.org"', out)
        for wanted in ("idempotency-replayed: true", '"state":"success"', '"name":"Invoices"', '"status":412', "event: alert", '"kind":"alert"', '"projects":['):
            self.assertIn(wanted.lower(), out.lower(), out[-3000:] + result.stderr)
        self.assertNotIn('"status":4', out.replace('"status":412', ""))
        self.assertEqual(len(server.call("GET", "/executions?workflowId=hello", expect=200)["executions"]), 1)

    def test_alerts_are_events(self):
        server = self.start()
        events, _ = self.follow("?kind=alert")
        server.call("POST", "/alerts/test", {"rule": "disk"}, expect=202)
        hz.wait_for(lambda: events, what="the alert in the stream")
        self.assertEqual((events[0][2]["rule"], events[0][2]["event"], events[0][2]["test"]), ("disk", "raised", True))
        kept = hz.wait_for(lambda: server.call("GET", "/events?kind=alert", expect=200)["events"], what="it is kept")
        self.assertEqual(kept[0]["sequence"], events[0][1])
        server.call("POST", "/alerts/silence", {"rule": "disk", "minutes": 5}, expect=200)
        self.assertEqual(len(server.call("GET", "/events?kind=alert", expect=200)["events"]), 1)

    def setUp(self):
        super().setUp()
        self.readers = []  # what became of each stream

    def follow(self, query="", last=None):
        """Reads the stream on a thread; (events, close)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30 * hz.SLOW)
        headers = {**self.server.signed, "Accept": "text/event-stream"}
        if last:
            headers["Last-Event-ID"] = str(last)
        connection.request("GET", "/api/v1/events" + query, headers=headers)
        sock = connection.sock
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/event-stream"))
        events, place = [], len(self.readers)
        self.readers.append("it is open")

        def read():
            event = {}
            try:
                for line in answer:
                    key, _, value = line.decode().rstrip("\n").partition(": ")
                    if key:
                        event[key] = value
                    else:
                        if "data" in event:
                            events.append((event.get("event"), int(event.get("id", 0)), json.loads(event["data"])))
                        event = {}
            except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
                self.readers[place] = f"its reader ended: {error!r}"
            else:
                self.readers[place] = "the server ended it"
        thread = threading.Thread(target=read, daemon=True)
        thread.start()

        def close():  # the thread reads: only a shutdown wakes it
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            thread.join(10)
            answer.close()
            connection.close()
        self.addCleanup(close)
        return events, close

    def test_events_as_they_happen_and_none_is_missed(self):
        server = self.start()
        events, close = self.follow()
        only, _ = self.follow("?kind=stopped")
        worker = server.start_worker("hook")["id"]
        kinds = lambda: [e[0] for e in events]
        try:
            hz.wait_for(lambda: "ready" in kinds(), what="ready is told")
        except AssertionError as error:  # was it not told, or not heard?
            last = [e["kind"] for e in server.call("GET", "/events", expect=200)["events"]]
            raise AssertionError(f"{error}: of {last} came {kinds()}; {self.readers[0]}") from None
        self.assertEqual([e[1] for e in events], sorted(e[1] for e in events))
        created = next(e for e in events if e[0] == "created")
        self.assertEqual((created[2]["workerId"], created[2]["sequence"]), (worker, created[1]))
        last = events[-1][1]
        close()
        server.call("POST", f"/workers/{worker}/stop", expect=200)
        time.sleep(0.4)
        more, _ = self.follow(last=last)
        hz.wait_for(lambda: "stopped" in [e[0] for e in more], what="what was missed")
        self.assertTrue(all(e[1] > last for e in more), more)
        hz.wait_for(lambda: only, what="the chosen kind")
        self.assertEqual({e[0] for e in only}, {"stopped"})
        lost, _ = self.follow(last=7)
        hz.wait_for(lambda: lost, what="reset")
        self.assertEqual(lost[0][0], "reset")
        hz.wait_for(lambda: {"created", "ready", "stopped"} <= {e["kind"] for e in server.call("GET", "/events", expect=200)["events"]}, what="the list")
        page = server.call("GET", "/events?kind=ready,stopped&limit=1", expect=200)
        self.assertEqual((len(page["events"]), page["next"]), (1, page["events"][0]["sequence"]))
        self.assertEqual(server.stop(), 0)

    def test_streams_that_were_closed_leave_nothing_behind(self):
        server = self.start()
        server.call("GET", "/workers")
        before = hz.fd_count(server.pid)
        streams = []
        for _ in range(40):
            stream = socket.create_connection(("127.0.0.1", server.port), timeout=10 * hz.SLOW)
            self.addCleanup(stream.close)
            stream.sendall(f"GET /api/v1/events?kind=crashed HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
                           "Accept: text/event-stream\r\n\r\n".encode())
            streams.append(stream)
        for stream in streams:
            self.assertIn(b" 200 ", stream.recv(4096))
        self.assertGreaterEqual(hz.fd_count(server.pid), before + 30)
        for number, stream in enumerate(streams):
            if number % 2:
                stream.shutdown(socket.SHUT_WR)  # some say that they go, others are gone
            else:
                stream.close()
        hz.wait_for(lambda: hz.fd_count(server.pid) <= before + 5, 8, what="their descriptors")

    def followed(self):
        """A client of Socket.IO that follows, and the sequence up to which it knows everything."""
        client = sio.Client(self.server, {"token": self.server.token})
        self.addCleanup(client.close)
        return client, client.call("events:follow", {})["last"]

    def test_who_resumes_within_a_tick_misses_nothing(self):
        server = self.start()
        worker = server.start_worker("hook")["id"]
        for turn in range(hz.pick(3, 40)):
            client, last = self.followed()
            client.call("events:unfollow")
            route = f"r{turn}"
            client.send("workers:send-message", {"workerId": worker, "route": route, "messageData": {}})
            client.settle()
            streamed, close = self.follow(last=last)
            client.send("events:follow", {"after": last})
            hz.wait_for(lambda: route in [e[2].get("route") for e in streamed], 5, what=f"{route} in the stream")
            told = lambda delta: [e["sequence"] for e in delta["events"] if e.get("route") == route]
            first = told(client.event("events:delta", told))
            self.assertEqual([e[1] for e in streamed], sorted({e[1] for e in streamed}), "each once, in order")
            client.send("workers:send-message", {"workerId": worker, "route": "more", "messageData": {}})
            client.event("events:delta", lambda delta: [e for e in delta["events"] if e.get("route") == "more"])
            self.assertFalse([d for name, d, *_ in client.events if name == "events:delta" and set(told(d)) & set(first)], "told twice")
            close()
            client.close()

    def test_who_missed_megabytes_gets_them(self):
        server = self.start()
        worker = server.start_worker("hook")["id"]
        client, last = self.followed()
        client.call("events:unfollow")
        count = 15000  # of some 350 bytes: more than may wait for one client
        for start in range(0, count, 250):
            numbers = client.send_together(*[("workers:send-message", {"workerId": worker, "route": f"{n}-" + "r" * 120, "messageData": {}})
                                             for n in range(start, start + 250)])
            for answered in numbers:
                client.answer(answered)
            time.sleep(0.03)  # more than a tick takes would be left out
        number = lambda event: int(event["route"].split("-")[0]) if event.get("route") else None
        ids = set(range(count))
        streamed, _ = self.follow(last=last)
        hz.wait_for(lambda: len(streamed) >= count and {number(e[2]) for e in streamed} >= ids, 15, what="all of it, streamed")
        self.assertEqual([e[1] for e in streamed], sorted({e[1] for e in streamed}))
        again, _ = self.followed()
        again.call("events:unfollow")
        answer = again.call("events:follow", {"after": last})
        self.assertEqual((answer["success"], answer["reset"]), (True, False), answer)
        deltas = [event[1] for event in again.events if event[0] == "events:delta"]
        self.assertEqual({number(e) for delta in deltas for e in delta["events"]} - {None}, ids, "before the answer")
        self.assertTrue(all(a["to"] < b["from"] for a, b in zip(deltas, deltas[1:])), [(d["from"], d["to"]) for d in deltas])

    def test_who_chose_kinds_resumes_behind_what_others_saw(self):
        server = self.start()
        worker = server.start_worker("hook")["id"]
        chosen = socket.create_connection(("127.0.0.1", server.port), timeout=20 * hz.SLOW)
        self.addCleanup(chosen.close)
        chosen.sendall(f"GET /api/v1/events?kind=message HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n"
                       "Accept: text/event-stream\r\nLast-Event-ID: 7\r\n\r\n".encode())
        got = b""
        while b"event: reset" not in got:
            got += chosen.recv(65536)
        self.assertRegex(got, rb"id: \d+\nevent: reset\n", "who comes again after a reset is not reset again")
        client, _ = self.followed()
        client.send("workers:send-message", {"workerId": worker, "route": "a", "messageData": {}})
        while b"event: message" not in got:
            got += chosen.recv(65536)
        server.call("POST", f"/workers/{worker}/stop", expect=200)
        if not hz.CAMPAIGN:
            return
        last = client.event("events:delta", lambda delta: [e for e in delta["events"] if e["kind"] == "stopped"])["to"]
        while f"id: {last}\n\n".encode() not in got:  # every 15 s, which also keeps proxies from cutting it
            got += chosen.recv(65536)

    def test_an_event_quotes_what_was_sent_and_does_not_repeat_it(self):
        server = self.start()
        worker = server.start_worker("hook")["id"]
        client, _ = self.followed()
        client.call("workers:send-message", {"workerId": worker, "route": "ñ" * 200000, "messageData": {}})
        told = lambda delta: [e for e in delta["events"] if e["kind"] == "message"]
        quoted = told(client.event("events:delta", told))[0]["route"]
        self.assertTrue(0 < len(quoted.encode()) < 128 and set(quoted) == {"ñ"}, quoted)

    def test_metrics_are_what_prometheus_reads(self):
        server = self.start()
        server.start_worker("hook")
        answer = hz.request(server.port, "GET", "/metrics", headers=server.signed)
        self.assertEqual(answer.status, 200)
        self.assertIn('horizon_workers{status="running"} 1\n', answer.text)
        for line in answer.text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) horizon_\w+ .+|horizon_\w+(\{\w+="[^"]*"\})? [-0-9.e+]+)$')
        self.assertEqual(hz.request(server.port, "GET", "/metrics", headers={"Authorization": None}).status, 401)

    def test_promtool_has_nothing_to_say_of_the_metrics(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed (package prometheus)")
        server = self.start()
        server.start_worker("hook")
        server.execute("once", {"n": 1})
        text = hz.request(server.port, "GET", "/metrics", headers=server.signed).body
        result = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))


if __name__ == "__main__":
    hz.main()
