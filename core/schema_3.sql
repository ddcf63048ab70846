-- Version 3: accounts. The tables of before were never filled. level: 0 SuperAdmin .. 4 Viewer; roles: bit 1 << level of those who own it.
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
PRAGMA user_version = 3;
