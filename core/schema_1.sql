-- Version 1. Payloads stand apart from the rows that lists read. state: enum hz_exec_state (1-3 open, 4-9 final).
CREATE TABLE workflows (
    id TEXT NOT NULL, version TEXT NOT NULL, text TEXT NOT NULL, hash INTEGER NOT NULL, author TEXT NOT NULL,
    updated_ms INTEGER NOT NULL, sequence INTEGER PRIMARY KEY AUTOINCREMENT, UNIQUE (id, version));
CREATE TABLE executions (
    sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, activation BLOB, workflow_id TEXT NOT NULL, version TEXT NOT NULL,
    cause TEXT NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, is_activation INTEGER NOT NULL,
    created_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL, worker_id TEXT NOT NULL,
    error TEXT, error_node TEXT, error_code TEXT, node_runs INTEGER NOT NULL, cpu_ns INTEGER NOT NULL, peak_bytes INTEGER NOT NULL);
CREATE INDEX executions_open ON executions (state) WHERE state < 4;
CREATE INDEX executions_workflow ON executions (workflow_id, created_ms);
CREATE TABLE payloads (sequence INTEGER PRIMARY KEY, input TEXT, result TEXT);
PRAGMA user_version = 1;
