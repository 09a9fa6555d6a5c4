/* The first things of a new installation: `relayd --bootstrap`, run by the launcher at each start.
 */

#ifndef RELAY_BOOTSTRAP_H
#define RELAY_BOOTSTRAP_H

struct relayd_s;

/*
 * Needs relayd.database and relayd.secrets. Makes a provider key for each host
 * of the catalog whose usual environment variable is set (`value_from`: the
 * variable, not its value), pool and policy `default`, and, if the workspace
 * has none, a relay key `first`, which is printed as `relay_key rly_…`. Prints
 * `provider_key NAME VARIABLE` for each that is there. Returns an exit status.
 */
int bootstrap_run(struct relayd_s *relayd);

#endif
