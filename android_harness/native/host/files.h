// Files that are whole or not there: written beside, flushed, renamed, the name flushed too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace pocketllm {

bool is_no_space(const std::system_error& error);
// Throws the RunError of a file that cannot be written, a NoSpaceError where the disk is full.
[[noreturn]] void refuse_write(const std::string& path, const std::system_error& error,
                               const std::string& remedy);

// An open descriptor; every failure is a std::system_error.
class File {
 public:
  static File open_to_read(const std::string& path);
  static File open(const std::string& path, int flags, int mode = 0644);
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(File&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  File& operator=(File&& other) noexcept;
  ~File();

  int descriptor() const { return descriptor_; }
  uint64_t size() const;
  size_t read_some(void* into, size_t bytes);                 // 0 at the end
  bool read_at(void* into, size_t bytes, uint64_t place) const;  // false where the file ends
  void write(const void* data, size_t bytes);
  void write(std::string_view data) { write(data.data(), data.size()); }
  void write_at(const void* data, size_t bytes, uint64_t place);
  void truncate(uint64_t bytes);
  void sync();

 private:
  int descriptor_;
};

// Returns a file's bytes, none where it cannot be opened.
std::optional<std::string> read_file(const std::string& path);
bool exists(const std::string& path);
bool is_folder(const std::string& path);
// Refuses what is no file that can be mapped. Throws InputError: a folder or a device, or nothing.
void check_file(const std::string& path, const std::string& expected, const std::string& remedy);
// Refuses a file that cannot be written now, not after the work; its folder is made. Throws
// InputError, or the RunError of a full disk.
void check_writable(const std::string& path);
// Writes a file by rename: `fill` gets the open one beside it, which holds a lock, so that nobody
// takes it for one that a dead process left. Throws RunError (NoSpaceError on a full disk).
void write_beside(const std::string& path, const std::function<void(File&)>& fill);
// The same, of a file that `fill` opens by its path.
void write_path_beside(const std::string& path, const std::function<void(const std::string&)>& fill);
void write_bytes(const std::string& path, std::string_view data);
// As write_bytes, nothing where the file holds these bytes already.
void replace_bytes(const std::string& path, std::string_view data);
void sync_folder(const std::string& folder);
void make_folders(const std::string& folder);
std::string folder_of(const std::string& path);
std::string name_of(const std::string& path);
bool is_same_path(const std::string& one, const std::string& other);
// The names in a folder, in any order, "." and ".." among them; none where it cannot be read.
std::vector<std::string> names_in(const std::string& folder);
// Removes what dead processes left in a run's folder; only who holds the run's lock calls this.
void sweep_run(const std::string& folder);
// Removes what dead processes left beside a file on the way to it.
void sweep_beside(const std::string& path);

}  // namespace pocketllm
