/* store_access_sql.h - the statements of accounts and audit log, a part of HZ_STORE_SQL. Private to store*.c. */
#ifndef HZ_CORE_STORE_ACCESS_SQL_H
#define HZ_CORE_STORE_ACCESS_SQL_H

#define HZ_STORE_SQL_ACCESS(X)                                                                                                              \
    X(ROLE_PUT, "INSERT OR IGNORE INTO roles (level, id, name, description, created_ms) VALUES (?1,?2,?3,?4,?5)")                           \
    X(ROLES, "SELECT level, id, created_ms FROM roles")                                                                                     \
    X(PERMISSION_PUT,                                                                                                                       \
            "INSERT INTO permissions (id, module, action, roles, description, created_ms) VALUES (?1,?2,?3,?4,?5,?6)"                       \
            " ON CONFLICT (module, action) DO UPDATE SET roles = ?4, description = ?5")                                                     \
    X(PERMISSIONS, "SELECT module, action, id, roles, created_ms FROM permissions")                                                         \
    X(USER_PUT,                                                                                                                             \
            "INSERT INTO users (id, email, name, avatar, password, origin, level, active, created_ms, updated_ms, last_login_ms)"           \
            " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT (id) DO UPDATE SET email=?2, name=?3, avatar=?4, password=?5,"        \
            " origin=?6, level=?7, active=?8, updated_ms=?10, last_login_ms=?11")                                                           \
    X(USERS,                                                                                                                                \
            "SELECT id, email, name, avatar, password, origin, level, active, created_ms, updated_ms, last_login_ms FROM users"             \
            " ORDER BY sequence")                                                                                                           \
    X(CREDENTIAL_PUT,                                                                                                                       \
            "INSERT INTO credentials (id, hash, kind, user, level, name, scopes, created_ms, expires_ms, seen_ms)"                          \
            " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)")                                                                                     \
    X(CREDENTIAL_SEEN, "UPDATE credentials SET seen_ms = ?2 WHERE id = ?1")                                                                 \
    X(CREDENTIAL_DROP, "DELETE FROM credentials WHERE id = ?1")                                                                             \
    X(CREDENTIALS, "SELECT id, hash, kind, user, level, name, scopes, created_ms, expires_ms, seen_ms FROM credentials")                    \
    X(AUDIT_PUT, "INSERT INTO audit (at_ms, user, kind, address, action, target, status) VALUES (?1,?2,?3,?4,?5,?6,?7)")                    \
    X(AUDIT_PRUNE,                                                                                                                          \
            "DELETE FROM audit WHERE (status >= 400) = ?1 AND sequence <= (SELECT sequence FROM audit WHERE (status >= 400) = ?1"           \
            " ORDER BY sequence DESC LIMIT 1 OFFSET ?2)")                                                                                   \
    X(AUDIT_LIST,                                                                                                                           \
            "SELECT sequence, at_ms, user, kind, address, action, target, status FROM audit WHERE (?1 IS NULL OR user = ?1)"                \
            " AND (?2 IS NULL OR action = ?2) AND at_ms >= ?3 AND (?4 = 0 OR sequence < ?4) ORDER BY sequence DESC LIMIT ?5")

#endif
