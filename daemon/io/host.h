/* SPDX-License-Identifier: Apache-2.0 */
#ifndef IO_HOST_H
#define IO_HOST_H

/* host_process writes a name for this process that no other has, here or on
 * another host: the host's name, the process's id and when it began. Thread:
 * any. */
#define HOST_PROCESS_SIZE 128
void host_process(char out[HOST_PROCESS_SIZE]);

#endif
