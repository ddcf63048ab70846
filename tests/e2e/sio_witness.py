"""A client that behaves: one call after the other, in a process of its own, so that who attacks does not slow it by Python's lock. Each line
on standard input ends a span: one object with its calls and their latencies in milliseconds is printed.

    sio_witness.py PORT TOKEN"""
import json
import sys
import threading
import time

import sio

PAUSE_S = 0.004


class Server:
    port = int(sys.argv[1])


def main():
    client = sio.Client(Server, {"token": sys.argv[2]})
    marks = threading.Semaphore(0)

    def listen():
        for _ in sys.stdin:
            marks.release()
        marks.release()
    threading.Thread(target=listen, daemon=True).start()
    spans, failed = [], 0
    while True:
        began = time.perf_counter()
        answer = client.call("workers:dashboard", {})
        spans.append((time.perf_counter() - began) * 1000)
        failed += answer["success"] is not True
        client.events.clear()
        if marks.acquire(blocking=False):
            spans.sort()
            count = len(spans)
            print(json.dumps({"calls": count, "failed": failed, "p50": round(spans[count // 2], 2),
                              "p99": round(spans[min(count - 1, count * 99 // 100)], 2), "most": round(spans[-1], 2)}), flush=True)
            spans = []
        time.sleep(PAUSE_S)


main()
