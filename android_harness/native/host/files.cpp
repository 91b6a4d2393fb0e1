#include "host/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "errors.h"
#include "host/text.h"

namespace pocketllm {
namespace {

constexpr std::string_view PARTIAL = ".partial-";

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Of a name ".NAME.partial-PID" the (NAME, PID), else nothing.
std::optional<std::pair<std::string, long>> partial_of(const std::string& name) {
  size_t mark = name.rfind(PARTIAL);
  if (name[0] != '.' || mark == std::string::npos || mark < 2) return {};
  std::string digits = name.substr(mark + PARTIAL.size());
  if (!is_digits(digits)) return {};
  return std::pair(name.substr(1, mark - 1), std::strtol(digits.c_str(), nullptr, 10));
}

bool is_unlocked(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) return false;
  bool free = flock(file, LOCK_EX | LOCK_NB) == 0;
  close(file);
  return free;
}

// Names the file under way, removes it where the block ends badly.
class Partial {
 public:
  explicit Partial(const std::string& path)
      : beside_(folder_of(path) + "/." + name_of(path) + std::string(PARTIAL) +
                std::to_string(getpid())),
        file_(File::open(beside_, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC)) {
    flock(file_.descriptor(), LOCK_EX | LOCK_NB);  // a file system without locks has none
  }
  ~Partial() {
    if (!is_done_) unlink(beside_.c_str());
  }
  File& file() { return file_; }
  const std::string& path() const { return beside_; }
  void become(const std::string& path) {
    file_.sync();
    if (rename(beside_.c_str(), path.c_str())) fail(path);
    is_done_ = true;
    sync_folder(folder_of(path));
  }

 private:
  std::string beside_;
  File file_;
  bool is_done_ = false;
};

void write_partial(const std::string& path, const std::function<void(Partial&)>& fill) {
  try {
    make_folders(folder_of(path));
    sweep_beside(path);
    Partial partial(path);
    fill(partial);
    partial.become(path);
  } catch (const std::system_error& error) {
    refuse_write(path, error,
                 "what was there before stays: free some space, or choose another path, and run "
                 "the same command again");
  }
}

}  // namespace

bool is_no_space(const std::system_error& error) {
  return error.code().value() == ENOSPC || error.code().value() == EDQUOT;
}

void refuse_write(const std::string& path, const std::system_error& error,
                  const std::string& remedy) {
  const std::string text =
      path + ": cannot be written: " + error.code().message() + "; " + remedy;
  if (is_no_space(error)) throw NoSpaceError(text);
  throw RunError(text);
}

File File::open_to_read(const std::string& path) { return open(path, O_RDONLY | O_CLOEXEC); }

File File::open(const std::string& path, int flags, int mode) {
  int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (descriptor < 0) fail(path);
  return File(descriptor);
}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

uint64_t File::size() const {
  struct stat status;
  if (fstat(descriptor_, &status)) fail("size");
  return static_cast<uint64_t>(status.st_size);
}

size_t File::read_some(void* into, size_t bytes) {
  ssize_t count;
  while ((count = ::read(descriptor_, into, bytes)) < 0)
    if (errno != EINTR) fail("read");
  return static_cast<size_t>(count);
}

bool File::read_at(void* into, size_t bytes, uint64_t place) const {
  auto at = static_cast<char*>(into);
  while (bytes) {
    ssize_t count = pread(descriptor_, at, bytes, static_cast<off_t>(place));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) return false;
    at += count, bytes -= static_cast<size_t>(count), place += static_cast<uint64_t>(count);
  }
  return true;
}

void File::write(const void* data, size_t bytes) {
  auto at = static_cast<const char*>(data);
  while (bytes) {
    ssize_t count = ::write(descriptor_, at, bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    at += count, bytes -= static_cast<size_t>(count);
  }
}

void File::write_at(const void* data, size_t bytes, uint64_t place) {
  auto at = static_cast<const char*>(data);
  while (bytes) {
    ssize_t count = pwrite(descriptor_, at, bytes, static_cast<off_t>(place));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    at += count, bytes -= static_cast<size_t>(count), place += static_cast<uint64_t>(count);
  }
}

void File::truncate(uint64_t bytes) {
  if (ftruncate(descriptor_, static_cast<off_t>(bytes))) fail("truncate");
}

void File::sync() {
  if (fsync(descriptor_)) fail("flush");
}

std::optional<std::string> read_file(const std::string& path) {
  try {
    File file = File::open_to_read(path);
    std::string data(file.size(), '\0');
    if (!file.read_at(data.data(), data.size(), 0)) return {};
    return data;
  } catch (const std::system_error&) {
    return {};
  }
}

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool is_folder(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

void check_file(const std::string& path, const std::string& expected, const std::string& remedy) {
  struct stat status;
  if (stat(path.c_str(), &status))
    throw InputError(path + ": " + std::generic_category().message(errno) + "; " + remedy);
  if (S_ISREG(status.st_mode)) return;
  throw InputError(path + (S_ISDIR(status.st_mode) ? ": a folder" : ": no regular file") +
                   ", expected " + expected + "; " + remedy);
}

void check_writable(const std::string& path) {
  const char* remedy = "; choose another path";
  if (is_folder(path) || path.back() == '/')
    throw InputError(path + ": a folder, expected a file to write" + remedy);
  if (exists(path)) check_file(path, "a file to write", "choose another path");
  try {
    make_folders(folder_of(path));
    const Partial probe(path);  // is removed again
  } catch (const std::system_error& error) {
    const std::string text = path + ": cannot be written: " + error.code().message() + remedy;
    if (is_no_space(error)) throw RunError(text);
    throw InputError(text);
  }
}

void write_beside(const std::string& path, const std::function<void(File&)>& fill) {
  write_partial(path, [&](Partial& partial) { fill(partial.file()); });
}

void write_path_beside(const std::string& path,
                       const std::function<void(const std::string&)>& fill) {
  write_partial(path, [&](Partial& partial) { fill(partial.path()); });
}

void write_bytes(const std::string& path, std::string_view data) {
  write_beside(path, [&](File& file) { file.write(data); });
}

void replace_bytes(const std::string& path, std::string_view data) {
  if (read_file(path) != data) write_bytes(path, data);
}

void sync_folder(const std::string& folder) {
  int open_folder = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int failed = open_folder < 0 || fsync(open_folder) ? errno : 0;
  if (open_folder >= 0) close(open_folder);
  // Some file systems do not flush folders, and say so in one of these ways.
  if (failed && failed != EINVAL && failed != ENOTSUP && failed != EACCES && failed != EPERM)
    throw std::system_error(failed, std::generic_category(), folder);
}

void make_folders(const std::string& folder) {
  struct stat status;
  if (stat(folder.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode))
      throw std::system_error(ENOTDIR, std::generic_category(), folder);
    return;
  }
  make_folders(folder_of(folder));
  if (mkdir(folder.c_str(), 0777) && errno != EEXIST) fail(folder);
  sync_folder(folder_of(folder));
}

std::string folder_of(const std::string& path) {
  size_t end = path.find_last_not_of('/');
  size_t slash = end == std::string::npos ? end : path.find_last_of('/', end);
  if (slash == std::string::npos) return path[0] == '/' ? "/" : ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return "";
  size_t slash = path.find_last_of('/', end);
  return path.substr(slash == std::string::npos ? 0 : slash + 1,
                     end - (slash == std::string::npos ? 0 : slash + 1) + 1);
}

bool is_same_path(const std::string& one, const std::string& other) {
  auto whole = [](const std::string& path) {
    std::string text = std::filesystem::absolute(path).lexically_normal();
    while (text.size() > 1 && text.back() == '/') text.pop_back();
    return text;
  };
  return whole(one) == whole(other);
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  if (DIR* open = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(open)) names.emplace_back(entry->d_name);
    closedir(open);
  }
  return names;
}

void sweep_run(const std::string& folder) {
  for (const std::string& name : names_in(folder))
    if (partial_of(name)) unlink((folder + "/" + name).c_str());
}

void sweep_beside(const std::string& path) {
  const std::string folder = folder_of(path);
  for (const std::string& name : names_in(folder)) {
    auto partial = partial_of(name);
    if (!partial || partial->first != name_of(path)) continue;
    bool runs = partial->second != getpid() &&
                (kill(static_cast<pid_t>(partial->second), 0) == 0 || errno != ESRCH);
    if (!runs && is_unlocked(folder + "/" + name)) unlink((folder + "/" + name).c_str());
  }
}

}  // namespace pocketllm
