/*
 * relayctl translate. Called by relayctl.c.
 */

#ifndef RELAYCTL_TRANSLATE_H
#define RELAYCTL_TRANSLATE_H

/* --from FORMAT --to FORMAT [--response] [--stream] [--usage] [--strict]
 * [--model NAME], standard input to standard output; returns the exit status. */
int relayctl_translate(int count, char **words);

#endif
