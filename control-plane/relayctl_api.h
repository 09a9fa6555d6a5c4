/* The commands of relayctl that call relayd. */

#ifndef RELAYCTL_API_H
#define RELAYCTL_API_H

/* list, get, create, edit, delete, rotate, test, revoke, apply, diff, export, why, doctor;
 * words[0] is the command. -1: it is none of these. */
int relayctl_api(int count, char **words);

/* relayctl key mint NAME …: makes it at relayd and shows how to use it. */
int relayctl_key_mint(int count, char **words);

/* relayctl completion bash|zsh|fish */
int relayctl_completion(int count, char **words);

/* relayctl_snippet.c: how TOOL uses a key at url. False: there is no such tool. */
#include <stdbool.h>
bool relayctl_snippet(const char *tool, const char *url, const char *key);
bool relayctl_snippet_known(const char *tool);

#endif
