"""The HTTP nodes in served flows: security, CORS, redirect, fixed answer, proxy, download; validator and cache, too."""
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time

import hz


def token(algorithm, claims, secret):
    def text(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    head = text(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + "." + text(json.dumps(claims).encode())
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    return head + "." + text(hmac.new(secret.encode(), head.encode(), digest).digest())


class Peer(http.server.BaseHTTPRequestHandler):
    """Says what it was asked."""
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        out = json.dumps({"method": self.command, "path": self.path, "body": body,
                          "host": self.headers["host"], "keep": self.headers.get("x-keep")}).encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(out)))
        self.send_header("X-Peer", "yes")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(out)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *arguments):
        pass


def flow(name, method="get", answer=None, between=(), **hook):
    """init -> webhook -> (nodes ->) response; the errors of the webhook answer 400."""
    made = hz.Flow(name)
    start = made.node("workflow_init", "Inicio")
    entry = made.node("webhook_handler", "Entrada", endpoint="/" + name, type=method, timeout=30, **hook)
    made.link(start, "init", entry)
    last, output = entry, "response"
    for kind, title, properties, out in between:
        step = made.node(kind, title, **properties)
        made.link(last, output, step)
        if kind in ("http_request", "data_transformer"):
            made.link(step, "error", made.node("http_response", title + "_mal", status=502, response="{{input.data}}"))
        last, output = step, out
    made.link(last, output, made.node("http_response", "Salida", **(answer or {"response": "{{input.data.security}}"})))
    made.link(entry, "error", made.node("http_response", "Fallo", status=400, response="{{input.data}}"))
    return made.json


class Webhook(hz.Case):
    def setUp(self):
        super().setUp()
        self.peer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Peer)
        self.peer_port = self.peer.server_address[1]
        threading.Thread(target=self.peer.serve_forever, daemon=True).start()
        self.addCleanup(self.peer.server_close)
        self.addCleanup(self.peer.shutdown)

    def serve(self, *flows):
        server = hz.Server(self.place, flows={made["info"]["uid"]: made for made in flows})
        for made in flows:
            server.start_worker(made["info"]["uid"])
        hz.wait_for(lambda: all(worker["status"] == "running" for worker in server.workers()), what="all flows run")
        return server

    def ask(self, server, method, path, body=None, **headers):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return hz.request(server.port, method, path, body, named)

    def test_security_comes_first(self):
        server = self.serve(
            flow("basico", security="basic", securityBasicUser="ana", securityBasicPass="clave"),
            flow("portador", security="bearer", securityBearerToken="t0k3n", advancedOptions=True, enableRedirect=True,
                 redirectUrl="http://127.0.0.1/x"),
            flow("firma", security="jwt", securityJWTSecret="secreto"))
        answer = self.ask(server, "GET", "/basico")
        self.assertEqual((answer.status, answer.headers["www-authenticate"]),
                         (401, 'Basic realm="horizon", charset="UTF-8"'))
        good = "Basic " + base64.b64encode(b"ana:clave").decode()
        answer = self.ask(server, "GET", "/basico", authorization=good)
        self.assertEqual((answer.status, answer.json), (200, {"user": "ana"}))
        answer = self.ask(server, "GET", "/portador", authorization="Bearer nope")
        self.assertEqual((answer.status, answer.headers["www-authenticate"]), (401, 'Bearer realm="horizon"'))
        answer = self.ask(server, "GET", "/portador", authorization="Bearer t0k3n")
        self.assertEqual((answer.status, answer.headers["location"]), (302, "http://127.0.0.1/x"))
        for algorithm in ("HS256", "HS384", "HS512"):
            claims = {"sub": "ana", "exp": int(time.time()) + 600}
            answer = self.ask(server, "GET", "/firma", authorization="Bearer " + token(algorithm, claims, "secreto"))
            self.assertEqual((answer.status, answer.json), (200, claims))
            answer = self.ask(server, "GET", "/firma", authorization="Bearer " + token(algorithm, claims, "otro"))
            self.assertEqual((answer.status, answer.json), (400, {"error": "invalid signature"}))
        answer = self.ask(server, "GET", "/firma")
        self.assertEqual((answer.status, answer.json),
                         (400, {"error": "Autenticación fallida", "responseTime": 30000, "responseCode": 506}))

    def test_cors_headers_are_on_every_answer(self):
        origin = "https://a.example"
        server = self.serve(flow("origen", "post", advancedOptions=True, enableCors=True, corsOrigin=origin))
        for method, status in (("OPTIONS", 204), ("POST", 200)):
            answer = self.ask(server, method, "/origen", {} if method == "POST" else None)
            self.assertEqual((answer.status, answer.headers["access-control-allow-origin"]), (status, origin))
            self.assertEqual(answer.headers["access-control-allow-methods"], "GET,POST,PUT,DELETE,OPTIONS")

    def test_fixed_answer(self):
        server = self.serve(flow("fija", advancedOptions=True, customResponse=True, responseStatusCode=418,
                                 responseContentType="text/html", responseBody="<p>té</p>"))
        answer = self.ask(server, "GET", "/fija")
        self.assertEqual((answer.status, answer.headers["content-type"], answer.text),
                         (418, "text/html; charset=utf-8", "<p>té</p>"))

    def test_proxy_forwards_and_hands_the_answer_back(self):
        server = self.serve(
            flow("reenvia", "post", advancedOptions=True, enableProxy=True,
                 proxyUrl=f"http://127.0.0.1:{self.peer_port}/base"))
        answer = self.ask(server, "POST", "/reenvia?q=a%20b", {"n": 1}, x_keep="si")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["x-peer"], "yes")
        said = answer.json
        self.assertEqual((said["method"], said["body"], said["keep"]), ("POST", '{"n":1}', "si"))
        self.assertTrue(said["path"].startswith("/base/") and said["path"].endswith("reenvia?q=a%20b"), said)
        self.assertEqual(said["host"], f"127.0.0.1:{self.peer_port}")

    def test_download_and_headers(self):
        server = self.serve(flow("baja", answer={"response": "a;b\n", "contentType": "text/csv", "isFile": True,
                                                 "nameFile": "datos.csv", "header": '{"X-Uno": "1"}'}))
        answer = self.ask(server, "GET", "/baja")
        self.assertEqual((answer.status, answer.headers["content-type"], answer.text),
                         (200, "text/csv; charset=utf-8", "a;b\n"))
        self.assertEqual(answer.headers["content-disposition"], 'attachment; filename="datos.csv"')
        self.assertEqual(answer.headers["x-uno"], "1")

    def test_request_validator_and_cache_in_one_flow(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        schema = '{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}'
        made = hz.Flow("todo")
        start = made.node("workflow_init", "Inicio")
        entry = made.node("webhook_handler", "Entrada", endpoint="/todo", type="post", timeout=30)
        body = made.node("data_transformer", "Cuerpo", mapping="{{input.data.body}}")
        valid = made.node("validator", "Valida", validationSchema=schema)
        cache = made.node("cache", "Memoria", key="k{{Entrada.data.body.n}}")
        fetch = made.node("http_request", "Pide", type="post", url=peer + "/{{Entrada.data.body.n}}", body='{"m": 2}')
        hit = made.node("http_response", "Acierto", status=200, response="{{input.data}}")
        made.chain(start, "init", entry, "response", body, "output", valid)
        wrong = made.node("http_response", "Invalido", status=422, response="{{input.data.errors}}")
        made.link(valid, "invalid", wrong)
        made.link(valid, "valid", cache, "get")
        made.link(cache, "noExist", fetch)
        made.link(fetch, "response", cache, "set")
        made.link(cache, "response", hit)
        made.link(fetch, "error", made.node("http_response", "Mal", status=502, response="{{input.data}}"))
        server = self.serve(made.json)
        first = self.ask(server, "POST", "/todo", {"n": 7})
        self.assertEqual((first.status, first.json["path"], first.json["body"]), (200, "/7", '{"m":2}'), first)
        self.peer.shutdown()
        self.peer.server_close()
        again = self.ask(server, "POST", "/todo", {"n": 7})
        self.assertEqual((again.status, again.json), (200, first.json), "the second one comes from the cache")
        other = self.ask(server, "POST", "/todo", {"n": 8})
        self.assertEqual((other.status, other.json),
                         (502, {"error": f"Error: connect ECONNREFUSED 127.0.0.1:{self.peer_port}"}))
        wrong = self.ask(server, "POST", "/todo", {"n": "x"})
        self.assertEqual((wrong.status, wrong.json[0]["keyword"], wrong.json[0]["path"]), (422, "type", "/n"))


if __name__ == "__main__":
    hz.main()
