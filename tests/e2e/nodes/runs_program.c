/* runs_program - asks for exec: runs `/bin/sh -c command` and emits {status, errno} on `response`. A test's node. */
#include <errno.h>
#include <horizon/node.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int runs_program_run(hz_call *call)
{
    char command[512];
    int status = -1;
    hz_str wanted = hz_param_str(call, "command", "");
    (void)snprintf(command, sizeof(command), "%.*s", (int)wanted.len, wanted.data);
    pid_t pid = vfork();
    if (pid == 0) {
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
        .properties = HZ_PROPERTIES({.key = "command", .type = "string", .name = "Command", .value = "\"\""}))
