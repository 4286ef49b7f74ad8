#include "replicator/control/layout.h"

#include "replicator/base/file.h"

namespace tanist {

Layout::Layout(const std::string& db_path) : db(real_path(db_path)), directory(db + "-tanist") {}

}  // namespace tanist
