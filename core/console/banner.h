/* SPDX-License-Identifier: MIT */
/* core/console/banner.h - the first words on the console */
#ifndef CORE_CONSOLE_BANNER_H
#define CORE_CONSOLE_BANNER_H

/* banner_print - greet, and say in the screen's header what machine this is */
void banner_print(void);

#endif
