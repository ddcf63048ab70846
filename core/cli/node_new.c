/* node_new.c - copies the template of a node, with its name in the place of @NAME@, in file names and in texts. */
#include "node_new.h"

#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char mark[] = "@NAME@";

/* The text with each mark replaced; caller frees. */
static char *filled(const char *text, const char *name)
{
    size_t count = 0, mark_len = sizeof mark - 1;
    for (const char *p = text; (p = strstr(p, mark)) != NULL; p += mark_len)
        count++;
    char *made = malloc(strlen(text) + count * strlen(name) + 1), *to = made;
    if (!made)
        return NULL;
    for (const char *p; (p = strstr(text, mark)) != NULL; text = p + mark_len)
        to += sprintf(to, "%.*s%s", (int)(p - text), text, name);
    memcpy(to, text, strlen(text) + 1);
    return made;
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t capacity = 0;
    if (!file)
        return NULL;
    if (getdelim(&text, &capacity, 0, file) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(file);
    return text;
}

static int copy_file(const char *from_dir, const char *file_name, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX];
    char *to_name = filled(file_name, name);
    snprintf(from, sizeof from, "%s/%s", from_dir, file_name);
    snprintf(to, sizeof to, "%s/%s", name, to_name ? to_name : "");
    free(to_name);
    char *text = read_text(from), *made = text ? filled(text, name) : NULL;
    free(text);
    FILE *file = made ? fopen(to, "wxe") : NULL;
    bool ok = file && fputs(made, file) >= 0;
    if (file && fclose(file))
        ok = false;
    free(made);
    return ok ? 0 : hz_cli_error(HZ_EXIT_FAILED, "cannot write %s: %s", to, strerror(errno));
}

static bool valid_name(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len &&
           !(name[0] >= '0' && name[0] <= '9');
}

int hz_node_new(const char *name)
{
    if (!valid_name(name))
        return hz_cli_error(
                HZ_EXIT_USAGE, "\"%s\" is no node type: 1 to 63 small letters, digits and _, a letter first", name);
    char *template = hz_cli_share("template");
    if (!template)
        return hz_cli_error(HZ_EXIT_FAILED, "the template was not found at ../share/horizon/template beside horizon");
    DIR *dir = opendir(template);
    int code = HZ_EXIT_OK;
    if (!dir)
        code = hz_cli_error(HZ_EXIT_FAILED, "cannot read %s: %s", template, strerror(errno));
    else if (mkdir(name, 0777))
        code = hz_cli_error(HZ_EXIT_FAILED, "cannot make the folder %s: %s", name, strerror(errno));
    for (struct dirent *entry; dir && code == HZ_EXIT_OK && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            code = copy_file(template, entry->d_name, name);
    if (dir)
        closedir(dir);
    free(template);
    if (code == HZ_EXIT_OK)
        printf("%s made; %s/README.md says how to build and run it\n", name, name);
    return code;
}
