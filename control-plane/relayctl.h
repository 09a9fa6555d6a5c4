/*
 * What the commands of relayctl share. Each takes the words behind its own name
 * and returns the exit status.
 */

#ifndef RELAYCTL_H
#define RELAYCTL_H

enum { EXIT_OK = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

/* One line to standard error: "relayctl: WHAT: ABOUT", or "relayctl: WHAT" if
 * about is "". Returns EXIT_REFUSED. */
int relayctl_complain(const char *what, const char *about);

/* The same with a hint to --help. Returns EXIT_USAGE. */
int relayctl_usage(const char *what, const char *about);

/* What was printed has to arrive: status, or EXIT_REFUSED with a complaint. */
int relayctl_finish(int status);

/* relayctl_config.c */
int relayctl_config_check(int count, char **words);
int relayctl_catalog_compile(int count, char **words);

#endif
