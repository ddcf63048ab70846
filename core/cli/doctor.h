/* doctor.h - the checks of `horizon doctor`, by subject. Private to doctor*.c. */
#ifndef HZ_CORE_CLI_DOCTOR_H
#define HZ_CORE_CLI_DOCTOR_H

#include "command.h"

enum hz_finding_state { HZ_FINDING_OK, HZ_FINDING_WARN, HZ_FINDING_BAD };
struct hz_doctor {
    const struct hz_config *config;
    const char *data_dir;
    bool served;      /* a server runs on the data directory */
    json_t *findings; /* array of {name, state, text, cure} */
    int bad;
};
/* Keeps one finding. cure: "" if there is nothing to do. */
void hz_doctor_find(struct hz_doctor *doctor, enum hz_finding_state state, const char *name, const char *cure,
        const char *format, ...) HZ_PRINTF(5, 6);

/* doctor_host.c */
void hz_doctor_shm(struct hz_doctor *doctor);
void hz_doctor_limits(struct hz_doctor *doctor);
void hz_doctor_kernel(struct hz_doctor *doctor);
void hz_doctor_libraries(struct hz_doctor *doctor);
/* doctor_place.c */
void hz_doctor_data(struct hz_doctor *doctor); /* also says whether a server runs there */
void hz_doctor_ports(struct hz_doctor *doctor);
void hz_doctor_segments(struct hz_doctor *doctor);
void hz_doctor_containment(struct hz_doctor *doctor); /* policy, users of the workers */
/* doctor_live.c */
void hz_doctor_nodes(struct hz_doctor *doctor);
void hz_doctor_live(struct hz_doctor *doctor);

#endif
