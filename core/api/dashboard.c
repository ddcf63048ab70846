/* dashboard.c - the overview of all workers. One copy of the registry, printed as it is read: no lock, no wait. */
#include "internal.h"

#include <stdlib.h>

void hz_api_dashboard(hz_api_done_fn *done, void *arg)
{
    size_t len;
    char *text = hz_api_dashboard_json(&len);
    if (text)
        done(arg, &(struct hz_api_result){.status = 200, .data = text, .len = len});
    else
        hz_api_fail(done, arg, 500, "Error al obtener dashboard de workers");
    free(text);
}
