/*
 * config_table.h - every number an operator can set: HZ_CONFIG_NUMBER(VARIABLE, field, default, lowest, highest, unit, meaning).
 * Help text, manual page and range checks are made from it.
 */
HZ_CONFIG_NUMBER("SERVER_PORT", server_port, 3000, 0, 65535, "port", "port of the API and the webhooks; 0: any free one")
HZ_CONFIG_NUMBER("WORKER_PORT_START", worker_port_start, 3001, 1, 65535, "port", "first port a worker may own")
HZ_CONFIG_NUMBER("WORKER_PORT_END", worker_port_end, 4000, 1, 65535, "port", "last port a worker may own")
HZ_CONFIG_NUMBER("SERVER_CLUSTERS", clusters, 0, 0, 64, "threads", "shards of the manager; 0: 1 up to 4 CPUs, then a quarter of them")
HZ_CONFIG_NUMBER("HORIZON_SPARES", spares, 2, 0, 64, "workers", "warm workers kept by each shard")
HZ_CONFIG_NUMBER("HORIZON_THREADS", threads, 0, 0, 16, "threads", "of a resident worker; 0: number of CPUs, at most 4")
HZ_CONFIG_NUMBER("HORIZON_START_TIMEOUT", start_timeout_ms, 10000, 100, 600000, "ms", "a worker that is not ready by then is killed")
HZ_CONFIG_NUMBER("HORIZON_STOP_GRACE", stop_grace_ms, 5000, 0, 600000, "ms", "between the shutdown message and SIGKILL")
HZ_CONFIG_NUMBER("HORIZON_STUCK_AFTER", stuck_after_ms, 5000, 200, 3600000, "ms", "a thread inside one node call for longer is shown as blocked, work that does not move as stuck")
HZ_CONFIG_NUMBER("HORIZON_RESTART_AFTER", restart_after_ms, 1000, 10, 60000, "ms", "first wait before a worker is started again; each further one doubles it, up to a minute")
HZ_CONFIG_NUMBER("HORIZON_STRAYS_EVERY", strays_every_ms, 60000, 1000, 3600000, "ms", "between two searches for what workers left behind; most is found at once")
HZ_CONFIG_NUMBER("HORIZON_REQUEST_TIMEOUT", request_timeout_ms, 30000, 100, 600000, "ms", "questions between manager and worker")
HZ_CONFIG_NUMBER("HORIZON_EXECUTION_TIMEOUT", execution_timeout_ms, 0, 0, 2000000000, "ms", "deadline of an execution; 0: none")
HZ_CONFIG_NUMBER("HORIZON_MAX_EXECUTIONS", max_executions, 100000, 1, 10000000, "executions", "admitted and not finished, all workflows together")
HZ_CONFIG_NUMBER("HORIZON_CONCURRENCY", concurrency, 4096, 1, 10000000, "executions", "running at once, all workflows together; webhooks are not counted")
HZ_CONFIG_NUMBER("HORIZON_INPUT_BYTES", input_bytes, 268435456, 1048576, 4294967295, "bytes", "input of the executions that are admitted and not finished")
HZ_CONFIG_NUMBER("HORIZON_QUEUE_BYTES", queue_bytes, 67108864, 1048576, 1073741824, "bytes", "messages waiting for one worker")
HZ_CONFIG_NUMBER("HORIZON_HISTORY", history, 100000, 100, 100000000, "executions", "finished executions kept, the oldest go first")
HZ_CONFIG_NUMBER("HORIZON_HISTORY_DAYS", history_days, 30, 0, 36500, "days", "finished executions, crash reports, counts kept; 0: whatever their age")
HZ_CONFIG_NUMBER("HORIZON_STORE_MB", store_mb, 4096, 64, 16777216, "MiB", "horizon.db with its log stays below this: the oldest history goes")
