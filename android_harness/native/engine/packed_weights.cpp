#include "engine/packed_weights.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "errors.h"
#include "host/files.h"
#include "host/json.h"
#include "host/machine.h"
#include "host/native_output.h"
#include "host/sha256.h"
#include "host/signals.h"

namespace pocketllm {
namespace {

constexpr const char* MODIFIED = "modified_ns";
constexpr const char* KEEP_IN_MEMORY = "give --nopacked_weights to keep them in memory";

std::string packed_path(const Bundle& bundle) { return bundle.folder + "/packed-weights"; }
std::string stamp_path(const Bundle& bundle) { return packed_path(bundle) + ".json"; }

Json stamp_of(const Bundle& bundle, const Json& sha256) {
  struct stat status;
  if (stat(packed_path(bundle).c_str(), &status)) status = {};
  return {{"bundle_checksum", bundle.checksum},
          {"library", "ai-edge-litert " + library_version()},
          {"processor", processor()},
          {"instructions", instructions()},
          {"bytes", static_cast<int64_t>(status.st_size)},
          {MODIFIED, int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec},
          {"sha256", sha256}};
}

// Whether the file was packed from this bundle, on this machine, and was not changed since.
bool fits(const Bundle& bundle) {
  const auto data = read_file(stamp_path(bundle));
  if (!data || !exists(packed_path(bundle))) return false;
  Json stamp = Json::parse(*data, nullptr, false);
  if (!stamp.is_object() || !stamp.value("sha256", Json()).is_string()) return false;
  const Json expected = stamp_of(bundle, stamp["sha256"]);
  // Keys may stand in any order, so the comparison is of sorted objects.
  auto sorted = [](const Json& value) { return nlohmann::json(value); };
  if (sorted(stamp) == sorted(expected)) return true;
  stamp[MODIFIED] = expected[MODIFIED];  // another time, as in a copy: the contents decide
  if (sorted(stamp) != sorted(expected)) return false;
  if (sha256_of_file(packed_path(bundle)) != stamp["sha256"].get<std::string>()) return false;
  if (access(bundle.folder.c_str(), W_OK) == 0) write_bytes(stamp_path(bundle), json_file(expected));
  return true;
}

// A lower bound of the file's size: the matrices without the largest, a table of embeddings.
uint64_t least_packed_bytes(const Bundle& bundle) {
  std::vector<uint64_t> sizes;
  for (const auto& shape : bundle.frozen)
    if (shape.size() == 2) sizes.push_back(static_cast<uint64_t>(shape[0] * shape[1]));
  std::sort(sizes.begin(), sizes.end());
  uint64_t total = 0;
  for (size_t i = 0; i + 1 < sizes.size(); i++) total += sizes[i];
  const uint64_t bits = bundle.base == "fp32" ? 32 : bundle.base == "int8" ? 8 : 4;
  return total * bits / 8;
}

uint64_t free_bytes(const std::string& folder) {
  struct statvfs system;
  struct rlimit limit;
  if (statvfs(folder.c_str(), &system)) return UINT64_MAX;
  uint64_t free = uint64_t{geteuid() ? system.f_bavail : system.f_bfree} * system.f_frsize;
  if (!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur != RLIM_INFINITY)
    free = std::min<uint64_t>(free, limit.rlim_cur);
  return free;
}

// Packs in a process that may die of it: the library ends the process where it cannot write.
void pack(const Bundle& bundle, int threads, const std::string& path) {
  const uint64_t needed = least_packed_bytes(bundle), free = free_bytes(bundle.folder);
  const std::string space = std::to_string(needed) + " bytes are needed at least, " +
                            std::to_string(free) + " can be written";
  const std::string packed = packed_path(bundle) + ": cannot be written";
  if (free < needed)
    throw RunError(packed + ": " + space + "; free some space, or " + KEEP_IN_MEMORY);
  const pid_t child = fork();
  if (child == 0) {
    for (int number : {SIGINT, SIGTERM, SIGSEGV, SIGABRT, SIGBUS, SIGXFSZ}) signal(number, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    try {
      Engine engine(bundle.model_path(), threads, path);
    } catch (const std::exception& error) {
      dprintf(2, "ERROR: %s\n", error.what());
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) < 0) throw RunError(packed + ": " + strerror(errno));
  signals::check();  // Ctrl-C ends the child too
  struct stat file;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !stat(path.c_str(), &file) && file.st_size)
    return;
  const std::string how = WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status))
                                              : "wrote nothing";
  throw RunError(packed + ": packing " + how + native_output::explanation() + "; " + space +
                 ": free some space or memory, or " + KEEP_IN_MEMORY);
}

void make_packed(const Bundle& bundle, int threads, const Say& say) {
  if (access(bundle.folder.c_str(), W_OK))
    throw InputError(bundle.folder +
                     ": cannot be written, and holds no packed weights for this machine; make it "
                     "writable once, or " + KEEP_IN_MEMORY);
  say(packed_path(bundle) + ": packing the frozen weights, once for this machine");
  // Never written in place: another process may have the old file open. Its space is needed.
  unlink(stamp_path(bundle).c_str());
  unlink(packed_path(bundle).c_str());
  write_path_beside(packed_path(bundle),
                    [&](const std::string& beside) { pack(bundle, threads, beside); });
  try {
    const std::string sum = sha256_of_file(packed_path(bundle));
    write_bytes(stamp_path(bundle), json_file(stamp_of(bundle, sum)));
  } catch (...) {  // without its stamp it is of no use, and takes space
    unlink(packed_path(bundle).c_str());
    throw;
  }
}

}  // namespace

std::unique_ptr<Engine> open_engine(const Bundle& bundle, int threads, bool packed_in_file,
                                    const std::vector<std::string>& signatures, const Say& say) {
  std::string packed = IN_MEMORY;
  if (packed_in_file && !bundle.frozen.empty()) {
    packed = packed_path(bundle);
    if (packed.find('\n') != std::string::npos)
      throw InputError(bundle.folder + ": a line break in its path, where LiteRT ends the path of "
                       "the packed weights; move the bundle, or " + KEEP_IN_MEMORY);
    if (!fits(bundle)) make_packed(bundle, threads, say);
  }
  return std::make_unique<Engine>(bundle.model_path(), threads, packed,
                                  bundle.signatures_of(signatures));
}

std::string describe_engine(const Bundle& bundle, int threads, bool packed_in_file,
                            const std::string& accelerated) {
  const std::string library = "litert (ai-edge-litert " + library_version() + ", " +
                              std::to_string(threads) + " threads, ";
  if (!accelerated.empty()) return library + accelerated + ")";
  const bool has_file = packed_in_file && !bundle.frozen.empty();
  return library + "XNNPACK delegate, packed weights in " +
         (has_file ? "a mapped file" : "memory") + ")";
}

std::string library_version() { return POCKETLLM_LITERT_VERSION; }

}  // namespace pocketllm
