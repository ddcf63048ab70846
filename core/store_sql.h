/*
 * store_sql.h - every statement of the store, HZ_STORE_SQL_X(name, text): prepared once by each connection that uses it. Private to
 * store*.c. States below 4 are open, see enum hz_exec_state.
 */
#ifndef HZ_CORE_STORE_SQL_H
#define HZ_CORE_STORE_SQL_H

#include "store_access_sql.h"

#define HZ_STORE_COLUMNS                                                                                               \
    "e.id, e.activation, e.workflow_id, e.version, e.cause, e.state, e.attempt, e.is_activation, e.created_ms, "       \
    "e.started_ms, e.ended_ms, e.worker_id, e.error, e.error_node, e.error_code, e.node_runs, e.cpu_ns, e.peak_bytes, " \
    "e.due_ms, e.deadline_ms, e.priority, e.dead, e.bytes_in, e.bytes_out, e.idempotency_key, e.dedup_key, e.sequence"
#define HZ_STORE_PAYLOADS ", p.input, p.input_sum, p.result, p.result_sum"
#define HZ_STORE_WHOLE    "SELECT " HZ_STORE_COLUMNS HZ_STORE_PAYLOADS " FROM executions e LEFT JOIN payloads p USING (sequence)"

#define HZ_STORE_SQL(X)                                                                                                                     \
    HZ_STORE_SQL_ACCESS(X)                                                                                                                  \
    /* the writer */                                                                                                                        \
    X(BEGIN, "BEGIN IMMEDIATE") X(COMMIT, "COMMIT") X(ROLLBACK, "ROLLBACK")                                                                 \
    X(UPSERT,                                                                                                                               \
            "INSERT INTO executions (id, activation, workflow_id, version, cause, state, attempt, is_activation, created_ms, started_ms,"   \
            " ended_ms, worker_id, error, error_node, error_code, node_runs, cpu_ns, peak_bytes, due_ms, deadline_ms, priority, dead,"      \
            " bytes_in, bytes_out, idempotency_key, dedup_key)"                                                                             \
            " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22,?23,?24,?25,?26)"                      \
            " ON CONFLICT (id) DO UPDATE SET state=?6, attempt=?7, started_ms=?10, ended_ms=?11, worker_id=?12, error=?13,"                 \
            " error_node=?14, error_code=?15, node_runs=?16, cpu_ns=?17, peak_bytes=?18, due_ms=?19, deadline_ms=?20, priority=?21,"        \
            " dead=?22, bytes_in=?23, bytes_out=?24, idempotency_key=COALESCE(?25, idempotency_key), dedup_key=COALESCE(?26, dedup_key)"    \
            " WHERE executions.state < 4 AND executions.attempt <= ?7")                                                                     \
    X(PAYLOAD,                                                                                                                              \
            "INSERT INTO payloads (sequence, input, input_sum, result, result_sum) SELECT sequence, ?2, ?3, ?4, ?5 FROM executions"         \
            " WHERE id = ?1 ON CONFLICT (sequence) DO UPDATE SET"                                                                           \
            " input_sum = CASE WHEN ?2 IS NULL THEN payloads.input_sum ELSE ?3 END, input = COALESCE(?2, payloads.input),"                  \
            " result_sum = CASE WHEN ?4 IS NULL THEN payloads.result_sum ELSE ?5 END, result = COALESCE(?4, payloads.result)")              \
    X(FIND_OPEN, "SELECT sequence FROM executions WHERE id = ?1 AND state < 4")                                                             \
    X(FIND, "SELECT sequence FROM executions WHERE id = ?1")                                                                                \
    X(DELETE_EXECUTION, "DELETE FROM executions WHERE sequence = ?1")                                                                       \
    X(DELETE_PAYLOAD, "DELETE FROM payloads WHERE sequence = ?1")                                                                           \
    X(DELETE_NODE_RUNS, "DELETE FROM node_runs WHERE sequence = ?1")                                                                        \
    X(COUNT_ONE,                                                                                                                            \
            "INSERT INTO counters (workflow_id, hour, state, count) VALUES (?1,?2,?3,?4)"                                                   \
            " ON CONFLICT (workflow_id, hour, state) DO UPDATE SET count = count + ?4")                                                     \
    X(CHECKPOINT,                                                                                                                           \
            "INSERT INTO checkpoints (execution, ordinal, data) VALUES (?1,?2,?3) ON CONFLICT (execution, ordinal) DO UPDATE SET data = ?3") \
    X(CHECKPOINT_BASE, "DELETE FROM checkpoints WHERE execution = ?1 AND ordinal < ?2")                                                     \
    X(CHECKPOINTS_GONE, "DELETE FROM checkpoints WHERE execution = ?1")                                                                     \
    X(NODE_RUNS,                                                                                                                            \
            "INSERT INTO node_runs (sequence, data) SELECT sequence, ?2 FROM executions WHERE id = ?1"                                      \
            " ON CONFLICT (sequence) DO UPDATE SET data = ?2")                                                                              \
    X(DEAD_CLEAR, "UPDATE executions SET dead = 0 WHERE id = ?1 AND dead = 1")                                                              \
    X(CRASH,                                                                                                                                \
            "INSERT INTO crashes (id, at_ms, workflow_id, worker_id, execution, node, kind, signature, report)"                             \
            " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)")                                                                                         \
    X(LOG, "INSERT INTO logs (at_ms, level, workflow_id, worker_id, execution, text) VALUES (?1,?2,?3,?4,?5,?6)")                           \
    X(METRIC, "INSERT OR REPLACE INTO metrics (step_s, at_s, subject, data) VALUES (?1,?2,?3,?4)")                                          \
    X(METRIC_SPAN, "SELECT subject, data, at_s FROM metrics WHERE step_s = ?1 AND at_s >= ?2 AND at_s < ?3 ORDER BY subject, at_s")       \
    X(METRIC_NEWEST, "SELECT MAX(at_s) FROM metrics WHERE step_s = ?1")                                                                     \
    X(METRIC_COUNT, "SELECT COUNT(*) FROM metrics")                                                                                         \
    X(METRIC_KNOWN, "SELECT 1 FROM metrics WHERE step_s IN (1, 60, 900) AND subject = ?1 LIMIT 1")                                          \
    X(CRASH_OLDEST, "DELETE FROM crashes WHERE sequence IN (SELECT sequence FROM crashes ORDER BY sequence LIMIT ?1)")                      \
    X(CRASH_SPAN, "SELECT IFNULL((SELECT MAX(sequence) FROM crashes) - (SELECT MIN(sequence) FROM crashes) + 1, 0)")                        \
    X(CRASH_WIDTH, "SELECT IFNULL(AVG(length(CAST(report AS BLOB))), 0) FROM (SELECT report FROM crashes ORDER BY sequence DESC LIMIT 20)") \
    X(LOG_SPAN, "SELECT IFNULL((SELECT MAX(sequence) FROM logs) - (SELECT MIN(sequence) FROM logs) + 1, 0)")                              \
    X(LOG_WIDTH, "SELECT AVG(length(CAST(text AS BLOB)) + length(workflow_id)) FROM (SELECT * FROM logs ORDER BY sequence DESC LIMIT 200)") \
    X(METRIC_OLDEST, "SELECT MIN(at_s) FROM metrics WHERE step_s = ?1")                                                                     \
    X(METRIC_PRUNE,                                                                                                                         \
            "DELETE FROM metrics WHERE (step_s, subject, at_s) IN (SELECT step_s, subject, at_s FROM metrics INDEXED BY metrics_at"         \
            " WHERE step_s = ?1 AND at_s < ?2 ORDER BY at_s LIMIT 2000)")                                                                   \
    X(ALERT_UPDATE,                                                                                                                         \
            "UPDATE alerts SET level = ?3, cleared_ms = ?5, silenced_ms = ?6, text = ?7 WHERE rule = ?1 AND subject = ?2 AND cleared_ms = 0") \
    X(ALERT,                                                                                                                                \
            "INSERT INTO alerts (rule, subject, level, raised_ms, cleared_ms, silenced_ms, text) VALUES (?1,?2,?3,?4,?5,?6,?7)")            \
    X(SECRET_PUT,                                                                                                                           \
            "INSERT INTO secrets (name, sealed, updated_ms) VALUES (?1,?2,?3) ON CONFLICT (name) DO UPDATE SET sealed = ?2, updated_ms = ?3") \
    X(SECRET_DELETE, "DELETE FROM secrets WHERE name = ?1")                                                                                 \
    X(SECRET_DELETE_ALL, "DELETE FROM secrets")                                                                                             \
    X(WORKFLOW_PUT,                                                                                                                         \
            "INSERT INTO workflows (id, version, text, hash, author, updated_ms) VALUES (?1,?2,?3,?4,?5,?6)"                                \
            " ON CONFLICT (id, version) DO UPDATE SET text=?3, hash=?4, author=?5, updated_ms=?6")                                          \
    /* retention */                                                                                                                         \
    X(SWEEP, "SELECT sequence, state, created_ms, dead FROM executions WHERE sequence > ?1 ORDER BY sequence LIMIT 2000")                   \
    X(NEWEST, "SELECT MAX(sequence) FROM executions")                                                                                       \
    X(LOG_PRUNE, "DELETE FROM logs WHERE sequence IN (SELECT sequence FROM logs WHERE at_ms < ?1 ORDER BY at_ms LIMIT ?2)")                 \
    X(CRASH_PRUNE, "DELETE FROM crashes WHERE sequence IN (SELECT sequence FROM crashes WHERE at_ms < ?1 ORDER BY sequence LIMIT 500)")     \
    X(ALERT_PRUNE, "DELETE FROM alerts WHERE cleared_ms > 0 AND cleared_ms < ?1")                                                           \
    X(COUNTER_PRUNE, "DELETE FROM counters WHERE hour < ?1")                                                                                \
    X(PAGES, "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size")                \
    /* readers */                                                                                                                           \
    X(GET, HZ_STORE_WHOLE " WHERE e.id = ?1")                                                                                               \
    X(UNFINISHED, HZ_STORE_WHOLE " WHERE e.state < 4 ORDER BY e.sequence")                                                                  \
    X(BY_IDEMPOTENCY, HZ_STORE_WHOLE " WHERE e.workflow_id = ?1 AND e.idempotency_key = ?2 ORDER BY e.sequence DESC LIMIT 1")               \
    X(BY_DEDUP, HZ_STORE_WHOLE " WHERE e.workflow_id = ?1 AND e.dedup_key = ?2 AND e.state < 4 ORDER BY e.sequence LIMIT 1")                \
    X(LIST_ALL,                                                                                                                             \
            "SELECT " HZ_STORE_COLUMNS " FROM executions e WHERE e.is_activation = ?2 AND e.sequence < ?4"                                  \
            " AND (?5 = 0 OR e.state = ?5) ORDER BY e.sequence DESC LIMIT ?6")                                                              \
    X(LIST_WORKFLOW,                                                                                                                        \
            "SELECT " HZ_STORE_COLUMNS " FROM executions e WHERE e.workflow_id = ?1 AND e.is_activation = ?2"                               \
            " AND (e.created_ms, e.sequence) < (?3, ?4) AND (?5 = 0 OR e.state = ?5) ORDER BY e.created_ms DESC, e.sequence DESC LIMIT ?6") \
    X(LIST_BAD,                                                                                                                             \
            "SELECT " HZ_STORE_COLUMNS " FROM executions e WHERE e.state = ?5 AND e.state > 4 AND e.is_activation = ?2 AND e.sequence < ?4" \
            " AND (?1 IS NULL OR e.workflow_id = ?1) ORDER BY e.sequence DESC LIMIT ?6")                                                    \
    X(LIST_DEAD,                                                                                                                            \
            "SELECT " HZ_STORE_COLUMNS " FROM executions e WHERE e.dead = 1 AND (?1 IS NULL OR e.workflow_id = ?1)"                         \
            " AND (e.created_ms, e.sequence) < (?3, ?4) ORDER BY e.created_ms DESC, e.sequence DESC LIMIT ?6")                              \
    X(CHECKPOINTS, "SELECT ordinal, data FROM checkpoints WHERE execution = ?1 ORDER BY ordinal")                                           \
    X(NODE_RUNS_GET, "SELECT n.data FROM executions e JOIN node_runs n USING (sequence) WHERE e.id = ?1")                                   \
    X(COUNTERS,                                                                                                                             \
            "SELECT workflow_id, hour, state, count FROM counters WHERE (?1 IS NULL OR workflow_id = ?1) AND hour >= ?2"                    \
            " ORDER BY workflow_id, hour, state")                                                                                           \
    X(CRASH_GET,                                                                                                                            \
            "SELECT id, at_ms, workflow_id, worker_id, execution, node, kind, signature,"                                                   \
            " (SELECT COUNT(*) FROM crashes b WHERE b.signature = c.signature AND b.sequence < c.sequence), report, sequence FROM crashes c"           \
            " WHERE id = ?1")                                                                                                               \
    X(CRASH_LIST,                                                                                                                           \
            "SELECT id, at_ms, workflow_id, worker_id, execution, node, kind, signature,"                                                   \
            " (SELECT COUNT(*) FROM crashes b WHERE b.signature = c.signature AND b.sequence < c.sequence), CASE WHEN json_valid(report) THEN json_extract(report, '$.text') END, sequence FROM crashes c" \
            " WHERE (?1 IS NULL OR workflow_id = ?1) AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3")                           \
    X(LOGS,                                                                                                                                 \
            "SELECT at_ms, level, workflow_id, worker_id, execution, text, sequence FROM logs WHERE at_ms >= ?1 AND at_ms < ?2"                       \
            " AND level >= ?3 AND (?4 IS NULL OR workflow_id = ?4) AND (?5 IS NULL OR worker_id = ?5)"                          \
            " AND (?6 IS NULL OR execution = ?6) AND (?7 IS NULL OR instr(lower(text), lower(?7)) > 0)"                                     \
            " AND (?9 = 0 OR (at_ms, sequence) < (?9, ?10)) ORDER BY at_ms DESC, sequence DESC LIMIT ?8")                                                                                 \
    X(METRICS,                                                                                                                              \
            "SELECT at_s, data FROM metrics WHERE step_s = ?1 AND subject = ?2 AND at_s >= ?3 AND at_s < ?4 ORDER BY at_s LIMIT 10000")     \
    X(ALERTS,                                                                                                                               \
            "SELECT rule, subject, level, raised_ms, cleared_ms, silenced_ms, text FROM alerts WHERE (?1 = 0 OR cleared_ms = 0)"            \
            " AND level >= ?3 AND (?4 = 0 OR raised_ms < ?4)"                                                                               \
            " ORDER BY sequence DESC LIMIT ?2")                                                                                             \
    X(SECRET_GET, "SELECT sealed FROM secrets WHERE name = ?1")                                                                             \
    X(SECRET_LIST, "SELECT name, updated_ms FROM secrets ORDER BY name")                                                                    \
    X(WORKFLOW_NEWEST, "SELECT text, version, hash, updated_ms FROM workflows WHERE id = ?1 ORDER BY sequence DESC LIMIT 1")                \
    X(WORKFLOW_VERSION, "SELECT text, version, hash, updated_ms FROM workflows WHERE id = ?1 AND version = ?2")                             \
    X(WORKFLOW_LIST,                                                                                                                        \
            "SELECT id, version, hash, updated_ms, author FROM workflows w WHERE sequence ="                                                \
            " (SELECT MAX(sequence) FROM workflows WHERE id = w.id) ORDER BY id")                                                           \
    X(WORKFLOW_VERSIONS, "SELECT id, version, hash, updated_ms, author FROM workflows WHERE id = ?1 ORDER BY sequence DESC")                \
    /* records of the pages, events, stored answers */                                                                                      \
    X(RECORD_GET, "SELECT id, parent, status, created_ms, updated_ms, revision, data FROM records WHERE kind = ?1 AND id = ?2")             \
    X(RECORD_LIST,                                                                                                                          \
            "SELECT id, parent, status, created_ms, updated_ms, revision, data FROM records WHERE kind = ?1"                                \
            " AND (?2 IS NULL OR parent = ?2) ORDER BY created_ms, id")                                                                     \
    X(RECORD_WITH, "SELECT id FROM records WHERE kind = ?1 AND status = ?2")                                                                \
    X(RECORD_REVISION, "SELECT revision FROM records WHERE kind = ?1 AND id = ?2")                                                          \
    X(RECORD_PUT,                                                                                                                           \
            "INSERT INTO records (kind, id, parent, status, created_ms, updated_ms, revision, data) VALUES (?1,?2,?3,?4,?5,?6,?7,?8)"       \
            " ON CONFLICT (kind, id) DO UPDATE SET parent=?3, status=?4, updated_ms=?6, revision=?7, data=?8")                              \
    X(HISTORY_PUT,                                                                                                                          \
            "INSERT INTO record_history (workflow, version, change, description, author, at_ms, data) VALUES (?1,?2,?3,?4,?5,?6,?7)")       \
    X(HISTORY, "SELECT version, change, description, at_ms, author FROM record_history WHERE workflow = ?1 ORDER BY sequence DESC")         \
    X(HISTORY_VERSION, "SELECT data FROM record_history WHERE workflow = ?1 AND version = ?2 ORDER BY sequence DESC LIMIT 1")               \
    X(EVENT_PUT, "INSERT OR REPLACE INTO events (sequence, at_ms, kind, workflow_id, data) VALUES (?1,?2,?3,?4,?5)")                        \
    X(EVENT_PRUNE,                                                                                                                          \
            "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE at_ms < ?1 ORDER BY at_ms LIMIT 2000)"                 \
            " OR sequence <= (SELECT sequence FROM events ORDER BY sequence DESC LIMIT 1 OFFSET ?2)")                                       \
    X(EVENT_OLDEST, "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events ORDER BY sequence LIMIT ?1)")                         \
    X(EVENT_COUNT, "SELECT COUNT(*) FROM events")                                                                                            \
    X(EVENT_WIDTH, "SELECT IFNULL(AVG(length(CAST(data AS BLOB))), 0) FROM (SELECT data FROM events ORDER BY sequence DESC LIMIT 200)")     \
    X(EVENTS_BEFORE,                                                                                                                        \
            "SELECT data FROM events WHERE (?1 IS NULL OR instr(?1, ',' || kind || ',') > 0) AND (?2 IS NULL OR workflow_id = ?2)"          \
            " AND (?3 = 0 OR sequence < ?3) ORDER BY sequence DESC LIMIT ?4")                                                               \
    X(EVENTS_AFTER,                                                                                                                         \
            "SELECT data FROM events WHERE (?1 IS NULL OR instr(?1, ',' || kind || ',') > 0) AND (?2 IS NULL OR workflow_id = ?2)"          \
            " AND sequence > ?3 ORDER BY sequence LIMIT ?4")                                                                                \
    X(ANSWER_GET, "SELECT request, status, body FROM answers WHERE owner = ?1 AND key = ?2")                                                \
    X(ANSWER_PUT,                                                                                                                           \
            "INSERT OR REPLACE INTO answers (owner, key, request, status, body, at_ms) VALUES (?1,?2,?3,?4,?5,?6)")                         \
    X(ANSWER_PRUNE, "DELETE FROM answers WHERE (owner, key) IN (SELECT owner, key FROM answers WHERE at_ms < ?1 ORDER BY at_ms LIMIT 500)") \
    X(ROW_COUNTS,                                                                                                                           \
            "SELECT (SELECT COUNT(*) FROM executions), (SELECT COUNT(*) FROM executions WHERE state < 4),"                                  \
            " (SELECT COUNT(*) FROM executions WHERE dead = 1), (SELECT COUNT(*) FROM workflows), (SELECT COUNT(*) FROM checkpoints),"      \
            " (SELECT COUNT(*) FROM logs), (SELECT COUNT(*) FROM metrics), (SELECT COUNT(*) FROM crashes),"                                 \
            " (SELECT COUNT(*) FROM alerts), (SELECT COUNT(*) FROM secrets)")

#endif
