/* SPDX-License-Identifier: MIT */
/* efi/config_parse.h - the text of octavo.conf and of LoadOptions; no firmware in sight */
#ifndef EFI_CONFIG_PARSE_H
#define EFI_CONFIG_PARSE_H

#include "core/boot_info.h"

/* config_defaults - what holds without a file */
void config_defaults(struct boot_config *c);

/*
 * config_parse_file - lines "key=value"; '#' starts a comment line; blanks around both are dropped
 *
 *   What is not understood is noted in c->unknown, a line each, and changes nothing else.
 */
void config_parse_file(struct boot_config *c, const char *text, size_t n_bytes);

/*
 * config_parse_options - words "key=value" or key="value with blanks", as typed in the UEFI shell; a
 * word without '=' (the program's own name) is passed over
 */
void config_parse_options(struct boot_config *c, const char *text, size_t n_bytes);

#endif
