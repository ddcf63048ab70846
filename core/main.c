/* main.c - the command `horizon`: hands its words to the command line's room and lends it the manager. */
#include "cli/cli.h"
#include "manager.h"
#include "restart.h"

static int run_manager(struct hz_config *config, bool http, bool quiet, void (*started)(void *arg), void *arg)
{
    return hz_manager_run(
            config, &(struct hz_manager_options){.http = http, .quiet = quiet, .started = started, .arg = arg});
}

int main(int argc, char **argv)
{
    hz_restart_set_arguments(argv);
    return hz_cli_main(
            argc, argv, &(struct hz_cli_host){.run = run_manager, .stop = hz_manager_stop, .port = hz_manager_port});
}
