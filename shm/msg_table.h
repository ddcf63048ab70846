/*
 * msg_table.h - every record on the rings: HZ_MSG_X(NAME, name, id, direction, meaning).
 * Direction: C = command ring (manager to worker), R = result ring, M = metrics ring (worker to manager).
 * Each has a fixed struct hz_msg_<name> in msg.h, followed by the byte strings whose lengths the struct holds.
 */
HZ_MSG_X(ASSIGN, assign, 1, C, "a spare or new worker gets its identity, flow name, port, environment values")
HZ_MSG_X(PLAN, plan, 2, C, "the compiled plan")
HZ_MSG_X(EXECUTE, execute, 3, C, "begin an execution at a node")
HZ_MSG_X(HTTP_REQUEST, http_request, 4, C, "begin an execution with an HTTP request of a webhook")
HZ_MSG_X(CANCEL, cancel, 5, C, "end an execution between node runs")
HZ_MSG_X(REQUEST, request, 6, C, "a question to the worker")
HZ_MSG_X(RESPONSE, response, 7, C, "the answer to a worker's question")
HZ_MSG_X(SHUTDOWN, shutdown, 8, C, "end now, exit code 0")
HZ_MSG_X(HTTP_GONE, http_gone, 9, C, "the open HTTP answer of an execution is gone (timed out, client left)")
HZ_MSG_X(CHECKPOINTED, checkpointed, 10, C, "a checkpoint is on disk")
HZ_MSG_X(RESUME, resume, 11, C, "go on with an execution from its checkpoint")

HZ_MSG_X(WARM, warm, 32, R, "a spare waits for its flow")
HZ_MSG_X(READY, ready, 33, R, "flow loaded; resident: start node has run")
HZ_MSG_X(ASK, ask, 34, R, "a question to the manager")
HZ_MSG_X(ANSWER, answer, 35, R, "the answer to the manager's question")
HZ_MSG_X(FATAL, fatal, 36, R, "the worker cannot go on: status error")
HZ_MSG_X(STARTED, started, 37, R, "an execution began on its own: a trigger fired")
HZ_MSG_X(FINISHED, finished, 38, R, "an execution reached its end")
HZ_MSG_X(HTTP_ANSWER, http_answer, 39, R, "the answer to an HTTP request")
HZ_MSG_X(LISTEN, listen, 40, R, "a webhook wants method and path")
HZ_MSG_X(LINE, line, 41, R, "a line that must not be lost: console output, errors, warnings")
HZ_MSG_X(CHECKPOINT, checkpoint, 42, R, "the state of an execution between two node runs: keep it before it goes on")
HZ_MSG_X(NODE_RUNS, node_runs, 43, R, "what each node of an execution did; before its FINISHED, for flows with nodeStats")

HZ_MSG_X(LOG, log, 64, M, "a log line below warning")
HZ_MSG_X(TELL, tell, 65, M, "progress, metrics, logs, debug: a route nobody answers")
HZ_MSG_X(HOP, hop, 66, M, "one hop of an execution, when tracking is on")
