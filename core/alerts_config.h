/* alerts_config.h - DIR/alerts.json: thresholds and times of the rules, and whom alerts are told to. Main thread. */
#ifndef HZ_CORE_ALERTS_CONFIG_H
#define HZ_CORE_ALERTS_CONFIG_H

#include "alerts_book.h"

#include <sys/types.h>
#include <time.h>

struct hz_alerts_config {
    struct hz_alert_settings settings[HZ_ALERT_RULES];
    char *url; /* of the web hook, http or https; NULL none */
    uint32_t url_timeout_ms;
    char **command; /* argument vector, NULL-terminated, the first an absolute path; NULL none */
    uint32_t command_timeout_ms;
};
struct hz_alerts_stamp { /* of the file that was read last */
    struct timespec changed;
    off_t size;
    ino_t inode;
    bool there;
};

/* The rules' own settings, changed by the file if it is there. HZ_EFORMAT, HZ_EREFUSED: hz_err_last() names file,
 * property, value and what was expected; *ret_config is untouched then. *ret_stamp is set either way. */
HZ_MUST_CHECK int hz_alerts_config_load(
        const char *path, struct hz_alerts_config *ret_config, struct hz_alerts_stamp *ret_stamp);
void hz_alerts_config_fini(struct hz_alerts_config *config);
/* Is it another file now? One system call. */
bool hz_alerts_config_changed(const char *path, const struct hz_alerts_stamp *stamp);

#endif
