/* runs_program - asks for exec: runs `/bin/sh -c command` and emits {status, errno} on `response`; flags other than 0: makes
 * a child by clone() with them instead, which ends with 0. A test's node. */
#include <errno.h>
#include <horizon/node.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int runs_program_run(hz_call *call)
{
    char command[512];
    int status = -1;
    hz_str wanted = hz_param_str(call, "command", "");
    (void)snprintf(command, sizeof(command), "%.*s", (int)wanted.len, wanted.data);
    long flags = (long)hz_param_num(call, "flags", 0);
    pid_t pid = flags ? (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0) : vfork();
    if (pid == 0) {
        if (flags)
            _exit(0);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(126);
    }
    int error = pid < 0 ? errno : 0;
    if (pid > 0 && waitpid(pid, &status, 0) == pid)
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    hz_value *result = hz_object(call);
    if (!result || hz_set(result, "status", hz_int(call, status)) || hz_set(result, "errno", hz_int(call, error)))
        return HZ_ERR_NOMEM;
    return hz_emit(call, "response", result);
}

HZ_NODE(.type = "runs_program", .title = "Runs a program", .group = "Test", .flags = HZ_NODE_BLOCKING, .caps = HZ_CAP_EXEC,
        .inputs = HZ_NAMES("input"), .outputs = HZ_NAMES("response", "error"), .run = runs_program_run,
        .properties = HZ_PROPERTIES({.key = "command", .type = "string", .name = "Command", .value = "\"\""},
                {.key = "flags", .type = "number", .name = "Flags", .value = "0"}))
