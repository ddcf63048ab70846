-- Version 3: accounts, records of the pages, events, stored answers; executions that ended badly are found among many that did not.
CREATE INDEX executions_bad ON executions (state) WHERE state > 4;
-- Accounts. The tables of before were never filled. level: 0 SuperAdmin .. 4 Viewer; roles: bit 1 << level of those who own it.
DROP TABLE users;
DROP TABLE tokens;
CREATE TABLE roles (level INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, created_ms INTEGER NOT NULL);
CREATE TABLE permissions (
    id BLOB NOT NULL UNIQUE, module TEXT NOT NULL, action TEXT NOT NULL, roles INTEGER NOT NULL, description TEXT NOT NULL,
    created_ms INTEGER NOT NULL, PRIMARY KEY (module, action)) WITHOUT ROWID;
-- password: Argon2id, '' none yet. origin: 0 drawn, 1 set by somebody, 2 of the demo accounts.
CREATE TABLE users (
    sequence INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, avatar TEXT, password TEXT NOT NULL,
    origin INTEGER NOT NULL, level INTEGER NOT NULL, active INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    last_login_ms INTEGER NOT NULL);
-- Tokens, sessions, handles of Socket.IO logins, one-time codes. hash: SHA-256 of what its owner shows. user: NULL nobody's (made on the
-- server's own machine). scopes: permissions with blanks between, '' all of the role. expires_ms: 0 never.
CREATE TABLE credentials (
    id BLOB PRIMARY KEY, hash BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, user BLOB, level INTEGER NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,
    created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, address TEXT NOT NULL, action TEXT NOT NULL,
    target TEXT, status INTEGER NOT NULL);
-- What the pages show. kind: 1 workspace, 2 project, 3 workflow, 4 settings, 5 which older version a flow.json
-- holds, 6 how a workflow last ran (apart, so that runs and changes do not meet). parent: of a workspace and of settings the account's id ('' nobody's),
-- of a project its workspace, of a workflow its project. revision: counts its changes from 1. data: the record as JSON.
CREATE TABLE records (
    kind INTEGER NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, status TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID;
CREATE INDEX records_parent ON records (kind, parent, created_ms);
-- Each change of a workflow with the whole record as it was then. change: created, updated.
CREATE TABLE record_history (
    sequence INTEGER PRIMARY KEY, workflow TEXT NOT NULL, version TEXT NOT NULL, change TEXT NOT NULL, description TEXT NOT NULL, author TEXT NOT NULL,
    at_ms INTEGER NOT NULL, data TEXT NOT NULL);
CREATE INDEX record_history_workflow ON record_history (workflow, sequence);
-- What happened: the last days. data: the event as JSON.
CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, workflow_id TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_at ON events (at_ms);
-- Answers to requests with an Idempotency-Key. request: hash of what was asked.
CREATE TABLE answers (
    owner TEXT NOT NULL, key TEXT NOT NULL, request INTEGER NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (owner, key)) WITHOUT ROWID;
CREATE INDEX answers_at ON answers (at_ms);
PRAGMA user_version = 3;
