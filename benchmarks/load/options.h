/* The command line of the load: its defaults, and what makes no sense. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes at the head of each message; see load.h. A frame has its own before. */
enum { HEADER = 8, FRAME_HEADER = 4 };

static int port, connections = 100, depth = 1, senders, watched, traffic = LOAD_ECHO;
static size_t size = 1024;
static double seconds = 2, warmup = 0.5, patience = 10;

static int traffic_of(const char *name)
{
    static const char *const names[] = {"echo", "framed", "fanout"};
    for (int kind = LOAD_ECHO; kind <= LOAD_FANOUT; kind++)
        if (strcmp(name, names[kind]) == 0)
            return kind;
    fprintf(stderr, "load: --traffic is echo, framed or fanout\n");
    exit(2);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, 0, 'p'},    {"connections", 1, 0, 'c'}, {"size", 1, 0, 's'},
        {"depth", 1, 0, 'd'},   {"seconds", 1, 0, 't'},     {"warmup", 1, 0, 'w'},
        {"patience", 1, 0, 'q'}, {"watch", 1, 0, 'i'},
        {"traffic", 1, 0, 'k'}, {"senders", 1, 0, 'f'}, {0, 0, 0, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'p': port = atoi(optarg); break;
        case 'c': connections = atoi(optarg); break;
        case 's': size = strtoul(optarg, NULL, 10); break;
        case 'd': depth = atoi(optarg); break;
        case 't': seconds = atof(optarg); break;
        case 'w': warmup = atof(optarg); break;
        case 'q': patience = atof(optarg); break;
        case 'k': traffic = traffic_of(optarg); break;
        case 'f': senders = atoi(optarg); break;
        case 'i': watched = atoi(optarg); break;
        default: exit(2);
        }
    size_t least = traffic == LOAD_ECHO ? HEADER : HEADER + FRAME_HEADER;
    size_t most = traffic == LOAD_ECHO ? 1 << 24 : 65535;
    int members = traffic == LOAD_FANOUT ? 2000 : 25000;
    if (port < 1 || port > 65535 || connections < 1 || connections > members || size < least ||
        size > most || depth < 1 || depth > 1024 || senders < 0 || seconds <= 0 || warmup < 0) {
        fprintf(stderr, "load: give --port; --connections 1 to %d, --size %zu to %zu, "
                        "--depth 1 to 1024, --senders 0 (all) or more, --seconds above 0\n",
                members, least, most);
        exit(2);
    }
}

#endif
