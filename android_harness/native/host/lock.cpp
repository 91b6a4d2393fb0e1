#include "host/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>

#include "errors.h"

namespace pocketllm {
namespace {

File open_lock(const std::string& folder) {
  try {
    make_folders(folder);
    return File::open(folder + "/.lock", O_WRONLY | O_CREAT | O_APPEND);
  } catch (const std::system_error& error) {
    throw RunError(folder + ": cannot be written: " + error.code().message() +
                   " (.lock); make the folder writable, or choose another --run");
  }
}

}  // namespace

RunLock::RunLock(const std::string& folder) : file_(open_lock(folder)) {
  if (flock(file_.descriptor(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK)
    throw InputError(folder +
                     ": another process trains in it; wait for that, or choose another --run");
  throw RunError(folder + ": cannot be locked: " + std::strerror(errno) +
                 ", and two processes must not train in it: choose a --run on a file system that "
                 "keeps locks, a local disk say");
}

}  // namespace pocketllm
