/* The command line of the load: its defaults, and what makes no sense. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEADER = 8 }; /* Bytes at the head of each message; see load.c. */

static int port, connections = 100, depth = 1, watched;
static size_t size = 1024;
static double seconds = 2, warmup = 0.5, patience = 10;

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"port", 1, 0, 'p'},    {"connections", 1, 0, 'c'}, {"size", 1, 0, 's'},
        {"depth", 1, 0, 'd'},   {"seconds", 1, 0, 't'},     {"warmup", 1, 0, 'w'},
        {"patience", 1, 0, 'q'}, {"watch", 1, 0, 'i'},      {0, 0, 0, 0}};
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
        case 'i': watched = atoi(optarg); break;
        default: exit(2);
        }
    if (port < 1 || port > 65535 || connections < 1 || connections > 25000 || size < HEADER ||
        size > 1 << 24 || depth < 1 || depth > 1024 || seconds <= 0 || warmup < 0) {
        fprintf(stderr, "load: give --port; --connections 1 to 25000, --size %d to 16777216, "
                        "--depth 1 to 1024, --seconds above 0\n", HEADER);
        exit(2);
    }
}

#endif
