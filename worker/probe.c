/*
 * probe.c - `--describe` and `--check`: short-lived processes of the manager. Each file is opened in a child of its own, in
 * the sandbox, with a time limit: one that crashes, hangs, ends the process or prints is refused with that reason.
 */
#include "describe.h"
#include "host.h"
#include "js.h"
#include "sandbox.h"
#include "shm/err.h"
#include "value.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_ONCE 4u
#define LIMIT_MS 5000
#define ANSWER_MAX ((size_t)4 << 20)

struct child {
    pid_t pid;
    int answer_fd, output_fd;
    const char *file; /* of the list */
    struct hz_buffer answer, output;
    uint64_t started_ns;
};

static json_t *types, *refused;

static void refuse(const char *file, const char *reason)
{
    size_t len = strlen(file);
    if (strncmp(reason, file, len) == 0 && strncmp(reason + len, ": ", 2) == 0)
        reason += len + 2;
    static const char tail[] = ": refused"; /* of the error's code; here that goes without saying */
    len = strlen(reason);
    if (len > sizeof(tail) && strcmp(reason + len - (sizeof(tail) - 1), tail) == 0)
        len -= sizeof(tail) - 1;
    hz_value *text = hz_value_string(reason, len); /* a reason may quote bytes of the file */
    (void)json_array_append_new(refused, json_pack("{s:s, s:O}", "file", file, "reason", hz_value_json(text)));
    hz_value_unref(text);
}

/* ---- the child ---- */

static void put(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0 && errno != EINTR)
            return;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}

HZ_NORETURN static void describe_one(const char *file, int answer_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    char *folder = strdup(file), *slash = folder ? strrchr(folder, '/') : NULL;
    if (slash)
        *slash = '\0';
    struct hz_sandbox_options options = {.mode = HZ_SANDBOX_MODE_TRY, .caps = HZ_CAP_NET, .plugins = true,
            .plugin_path = slash ? folder : "."};
    const struct hz_loaded *loaded;
    json_t *entry = NULL;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    options.mode = HZ_SANDBOX_MODE_OFF; /* the sanitizers' own reports need more than a node may */
#endif
    int r = hz_sandbox_enter(&options);
    if (r == 0)
        r = hz_loader_open(file, false, &loaded);
    if (r == 0)
        entry = hz_describe_node(loaded, true);
    const char *mark = entry ? "+" : "-";
    char *text = entry ? json_dumps(entry, JSON_COMPACT) : NULL;
    const char *answer = text ? text : r != 0 ? hz_err_last() : "its texts are not UTF-8";
    put(answer_fd, text ? mark : "-", 1);
    put(answer_fd, answer, strlen(answer));
    put(answer_fd, "", 1); /* the end: an answer without it was cut short */
    _exit(0);
}

static int start(struct child *child, const char *file)
{
    int answer[2], output[2];
    memset(child, 0, sizeof(*child));
    child->file = file;
    if (pipe2(answer, O_CLOEXEC) != 0)
        return -ENOMEM;
    if (pipe2(output, O_CLOEXEC) != 0) {
        close(answer[0]);
        close(answer[1]);
        return -ENOMEM;
    }
    child->started_ns = hz_base_now_ns();
    child->pid = fork();
    if (child->pid == 0) {
        (void)dup2(output[1], STDOUT_FILENO);
        (void)dup2(output[1], STDERR_FILENO);
        close(answer[0]);
        close(output[0]);
        close(output[1]);
        describe_one(file, answer[1]);
    }
    close(answer[1]);
    close(output[1]);
    child->answer_fd = answer[0];
    child->output_fd = output[0];
    return child->pid < 0 ? -EAGAIN : 0;
}

/* ---- the parent ---- */

static void collect(int *fd, struct hz_buffer *buffer)
{
    char bytes[16384];
    ssize_t n = read(*fd, bytes, sizeof(bytes));
    if (n > 0 && buffer->len + (size_t)n <= ANSWER_MAX)
        hz_buffer_add(buffer, bytes, (size_t)n);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        close(*fd);
        *fd = -1;
    }
}

static void judge_answer(struct child *child, int status, bool late)
{
    const char *answer = child->answer.data ? child->answer.data : "";
    bool whole = child->answer.len >= 2 && answer[child->answer.len - 1] == '\0';
    char reason[512];
    if (whole && *answer == '-') {
        refuse(child->file, answer + 1);
    } else if (late) {
        snprintf(reason, sizeof(reason), "loading took longer than %d s", LIMIT_MS / 1000);
        refuse(child->file, reason);
    } else if (WIFSIGNALED(status)) {
        snprintf(reason, sizeof(reason), "loading ended with signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
        refuse(child->file, reason);
    } else if (!whole) {
        snprintf(reason, sizeof(reason), "it ended the process with code %d while being loaded", WEXITSTATUS(status));
        refuse(child->file, reason);
    } else if (child->output.len > 0) {
        size_t len = HZ_MIN(child->output.len, (size_t)200);
        while (len > 0 && child->output.data[len - 1] == '\n')
            len--;
        snprintf(reason, sizeof(reason), "it writes to standard output while being loaded: %.*s", (int)len, child->output.data);
        refuse(child->file, reason);
    } else {
        json_t *entry = json_loads(answer + 1, 0, NULL);
        const char *type = json_string_value(json_object_get(entry, "type"));
        const json_t *other = type ? json_object_get(types, type) : NULL;
        if (other) {
            snprintf(reason, sizeof(reason), "type `%s` is taken by %s", type, json_string_value(json_object_get(other, "file")));
            refuse(child->file, reason);
        } else if (type) {
            (void)json_object_set(types, type, entry);
        } else {
            refuse(child->file, "its description cannot be read");
        }
        json_decref(entry);
    }
}

/* Waits for the end of one child; its answers are judged in the order of the files, whatever order they come in. */
static void finish(struct child *child)
{
    bool late = false;
    while (child->answer_fd >= 0 || child->output_fd >= 0) {
        int64_t left_ms = LIMIT_MS - (int64_t)((hz_base_now_ns() - child->started_ns) / 1000000u);
        struct pollfd fds[2] = {{.fd = child->answer_fd, .events = POLLIN}, {.fd = child->output_fd, .events = POLLIN}};
        /* those behind one that hangs have answered meanwhile: look before they are called late */
        if (poll(fds, 2, (int)HZ_MAX(left_ms, (int64_t)0)) == 0) {
            late = true;
            break;
        }
        if (fds[0].revents)
            collect(&child->answer_fd, &child->answer);
        if (fds[1].revents)
            collect(&child->output_fd, &child->output);
        bool whole = child->answer.len >= 2 && child->answer.data[child->answer.len - 1] == '\0';
        if (whole && (fds[1].revents == 0 || child->output_fd < 0))
            break; /* what it does at its end is no longer of interest */
    }
    if (late)
        (void)kill(child->pid, SIGKILL);
    int status = 0;
    bool whole = child->answer.len >= 2 && child->answer.data[child->answer.len - 1] == '\0';
    if (whole)
        (void)kill(child->pid, SIGKILL); /* it said all it had to say */
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (whole)
        status = 0;
    if (child->answer_fd >= 0)
        close(child->answer_fd);
    if (child->output_fd >= 0)
        close(child->output_fd);
    hz_buffer_add(&child->answer, "", child->answer.len == 0 ? 1 : 0);
    judge_answer(child, status, late);
    hz_buffer_fini(&child->answer);
    hz_buffer_fini(&child->output);
}

static int is_module(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

struct files {
    char **names;
    size_t count;
};

static bool add_file(struct files *files, const char *folder, const char *name)
{
    char **more = realloc(files->names, (files->count + 1) * sizeof(char *));
    if (!more)
        return false;
    files->names = more;
    char *file = NULL;
    if (asprintf(&file, "%s%s%s", folder ? folder : "", folder ? "/" : "", name) < 0)
        return false;
    files->names[files->count++] = file;
    return true;
}

static void list_files(struct files *files, const char *path)
{
    struct stat st;
    struct dirent **entries;
    if (stat(path, &st) != 0) {
        refuse(path, strerror(errno));
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (!add_file(files, NULL, path))
            refuse(path, "out of memory");
        return;
    }
    int n = scandir(path, &entries, is_module, alphasort);
    if (n < 0) {
        refuse(path, strerror(errno));
        return;
    }
    for (int i = 0; i < n; i++) {
        if (!add_file(files, path, entries[i]->d_name))
            refuse(path, "out of memory");
        free(entries[i]);
    }
    free(entries);
}

int hz_describe_main(int count, char *const paths[])
{
    types = json_object();
    refused = json_array();
    struct files files = {0};
    for (int i = 0; i < count && types && refused; i++)
        list_files(&files, paths[i]);
    struct child children[AT_ONCE];
    size_t next = 0, done = 0;
    bool can_start = true;
    (void)signal(SIGPIPE, SIG_IGN);
    fflush(NULL);
    while (done < files.count) {
        while (can_start && next < files.count && next - done < AT_ONCE) {
            can_start = start(&children[next % AT_ONCE], files.names[next]) == 0;
            if (can_start)
                next++;
            else
                fprintf(stderr, "horizon-worker: no process to probe %s\n", files.names[next]);
        }
        if (done < next) /* those that run are waited for, whatever comes after */
            finish(&children[done % AT_ONCE]);
        free(files.names[done]);
        done++;
    }
    free(files.names);
    json_t *answer = json_pack("{s:o?, s:o?}", "types", types, "refused", refused);
    int r = can_start && answer && json_dumpf(answer, stdout, JSON_COMPACT) == 0 && printf("\n") == 1 && fflush(stdout) == 0 ? 0 : 1;
    json_decref(answer);
    return r;
}

/* ---- --check ---- */

int hz_describe_check(void)
{
    json_t *texts = json_loadf(stdin, 0, NULL), *answer = json_array();
    if (!json_is_array(texts) || !answer) {
        fprintf(stderr, "horizon-worker --check: standard input is not a JSON array of texts\n");
        json_decref(texts);
        json_decref(answer);
        return 2;
    }
    struct hz_js *js = NULL;
    struct hz_sandbox_options options = {.mode = HZ_SANDBOX_MODE_TRY, .script = true};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    options.mode = HZ_SANDBOX_MODE_OFF;
#endif
    if (hz_js_preload() != 0 || hz_sandbox_enter(&options) != 0 || hz_js_new(false, 1000, &js) != 0) {
        fprintf(stderr, "horizon-worker --check: %s\n", hz_err_last());
        json_decref(texts);
        json_decref(answer);
        return 1;
    }
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        const char *reason = json_is_string(text) ? hz_js_check(js, json_string_value(text), json_string_length(text))
                                                  : "not a text";
        (void)json_array_append_new(answer, reason ? json_string_nocheck(reason) : json_null());
    }
    int r = json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENCODE_ANY) == 0 && fflush(stdout) == 0 ? 0 : 1;
    hz_js_free(&js);
    json_decref(texts);
    json_decref(answer);
    return r;
}
