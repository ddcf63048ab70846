/* doctor.c - `horizon doctor`: what is wrong with this host, and what cures it. */
#include "doctor.h"

#include "shm/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const states[] = {"ok", "warning", "wrong"};

void hz_doctor_find(struct hz_doctor *doctor, enum hz_finding_state state, const char *name, const char *cure,
        const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    doctor->bad += state == HZ_FINDING_BAD;
    json_array_append_new(doctor->findings, json_pack("{s:s,s:s,s:s,s:s}", "name", name, "state", states[state], "text",
                                                    text ? text : "out of memory", "cure", cure));
    free(text);
}

static const char *text_of(const json_t *finding, const char *key)
{
    const char *text = json_string_value(json_object_get(finding, key));
    return text ? text : "";
}

static void print(const json_t *findings)
{
    size_t i;
    const json_t *finding;
    json_array_foreach(findings, i, finding)
    {
        printf("%-8s %-12s %s\n", text_of(finding, "state"), text_of(finding, "name"), text_of(finding, "text"));
        if (*text_of(finding, "cure"))
            printf("%21s cure: %s\n", "", text_of(finding, "cure"));
    }
}

static int run(const struct hz_args *args)
{
    struct hz_config config;
    int code = hz_cli_config(&config);
    if (code)
        return code;
    hz_log_set_level(HZ_LOG_ERROR);
    struct hz_doctor doctor = {.config = &config, .data_dir = hz_args_data(args), .findings = json_array()};
    hz_doctor_shm(&doctor);
    hz_doctor_limits(&doctor);
    hz_doctor_kernel(&doctor);
    hz_doctor_libraries(&doctor);
    hz_doctor_data(&doctor);
    hz_doctor_ports(&doctor);
    hz_doctor_segments(&doctor);
    hz_doctor_containment(&doctor);
    hz_doctor_nodes(&doctor);
    hz_doctor_live(&doctor);
    code = doctor.bad ? HZ_EXIT_FAILED : HZ_EXIT_OK;
    if (hz_args_has(args, "--json")) {
        if (hz_cli_print_json(json_pack("{s:b,s:o}", "ok", doctor.bad == 0, "checks", doctor.findings)))
            code = HZ_EXIT_FAILED;
    } else {
        print(doctor.findings);
        if (doctor.bad)
            printf("\n%d of %zu checks found something wrong\n", doctor.bad, json_array_size(doctor.findings));
        else
            printf("\nnothing is wrong\n");
        json_decref(doctor.findings);
    }
    hz_config_fini(&config);
    return code;
}

const struct hz_command hz_command_doctor = {.name = "doctor",
        .words = "[--data DIR] [--json]",
        .summary = "Says what is wrong with this host",
        .text = "Looks at /dev/shm, limits, kernel, libraries, the data directory, ports, left-over segments and node "
                "files, and sends messages\n"
                "through the shared memory of a real worker. Each thing that is wrong comes with its cure; exit code 1 "
                "if there is one.",
        .options = {HZ_OPTION_DATA, HZ_OPTION_JSON},
        .least = 0,
        .most = 0,
        .run = run};
