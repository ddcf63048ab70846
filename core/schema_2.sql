-- Version 2: what recovery, retries, scheduling and supervision keep. Applied to a file of version 1, and after it to a new one.
-- dead: 1 a dead letter. *_key: NULL none. priority: higher goes first. due_ms: not before; deadline_ms: not after; 0: none.
ALTER TABLE executions ADD COLUMN due_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN deadline_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN dead INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN bytes_in INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN bytes_out INTEGER NOT NULL DEFAULT 0;
ALTER TABLE executions ADD COLUMN idempotency_key TEXT;
ALTER TABLE executions ADD COLUMN dedup_key TEXT;
CREATE INDEX executions_idempotency ON executions (workflow_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX executions_dedup ON executions (workflow_id, dedup_key) WHERE dedup_key IS NOT NULL AND state < 4;
CREATE INDEX executions_dead ON executions (workflow_id, created_ms) WHERE dead = 1;
-- A payload is TEXT as it is or, when large, BLOB: a zstd frame with its own checksum. *_sum: checksum of a TEXT; NULL: of version 1.
ALTER TABLE payloads ADD COLUMN input_sum INTEGER;
ALTER TABLE payloads ADD COLUMN result_sum INTEGER;
-- Outputs of finished node runs of executions that are not over; gone with their end. data: the scheduler's own packing.
CREATE TABLE checkpoints (execution BLOB NOT NULL, ordinal INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (execution, ordinal)) WITHOUT ROWID;
CREATE TABLE node_runs (sequence INTEGER PRIMARY KEY, data BLOB NOT NULL);
-- What was not kept as rows is counted. hour: hours since the epoch.
CREATE TABLE counters (workflow_id TEXT NOT NULL, hour INTEGER NOT NULL, state INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (workflow_id, hour, state)) WITHOUT ROWID;
CREATE TABLE crashes (
    sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, at_ms INTEGER NOT NULL, workflow_id TEXT NOT NULL, worker_id TEXT NOT NULL,
    execution BLOB, node TEXT, kind TEXT NOT NULL, signature TEXT NOT NULL, report TEXT NOT NULL);
CREATE INDEX crashes_signature ON crashes (signature);
CREATE INDEX crashes_workflow ON crashes (workflow_id, at_ms);
CREATE TABLE logs (
    sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, level INTEGER NOT NULL, workflow_id TEXT NOT NULL, worker_id TEXT NOT NULL,
    execution BLOB, text TEXT NOT NULL);
CREATE INDEX logs_at ON logs (at_ms);
-- step_s: 1 for an hour, 60 for a day, 900 for a year. subject: a worker's id, "workflow:ID" or "manager". data: see store.h.
CREATE TABLE metrics (step_s INTEGER NOT NULL, at_s INTEGER NOT NULL, subject TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (step_s, subject, at_s)) WITHOUT ROWID;
CREATE INDEX metrics_at ON metrics (step_s, at_s);
CREATE TABLE alerts (
    sequence INTEGER PRIMARY KEY, rule TEXT NOT NULL, subject TEXT NOT NULL, level INTEGER NOT NULL, raised_ms INTEGER NOT NULL,
    cleared_ms INTEGER NOT NULL, silenced_ms INTEGER NOT NULL, text TEXT NOT NULL);
CREATE UNIQUE INDEX alerts_open ON alerts (rule, subject) WHERE cleared_ms = 0;
-- sealed: opaque to the store.
CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL, updated_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    id BLOB PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password_hash TEXT NOT NULL, role TEXT NOT NULL,
    active INTEGER NOT NULL, created_ms INTEGER NOT NULL, last_login_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY, user BLOB NOT NULL, kind TEXT NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX tokens_user ON tokens (user);
PRAGMA user_version = 2;
