// A specimen with one breach of nearly every rule; never compiled.
#include <sodium.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <zmq.hpp>

#include "replicator/receive/receiver.h"
#include "replicator/tanistd_main.cc"

// A line that is longer than one hundred columns, which a reader of two files side by side cannot see.
