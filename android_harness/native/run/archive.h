// ZIP archives of stored members, as Python's zipfile writes and reads them; ZIP64 where sizes or
// places need it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/files.h"

namespace pocketllm {

class ArchiveWriter {
 public:
  explicit ArchiveWriter(File& file) : file_(file) {}
  void add(const std::string& name, const std::string& head, const void* data, uint64_t bytes);
  void finish();

 private:
  struct Member {
    std::string name;
    uint32_t crc;
    uint64_t bytes, place;
  };
  void write(const std::string& data);

  File& file_;
  uint64_t place_ = 0;
  std::vector<Member> members_;
};

class ArchiveReader {
 public:
  struct Member {
    uint64_t bytes, place;
    uint32_t crc;
  };
  // Reads the directory; throws Unreadable (arrays.h).
  explicit ArchiveReader(const std::string& path);
  const std::map<std::string, Member>& members() const { return members_; }
  // Reads a member of `head` + `bytes` bytes whole, and checks its sum.
  void read(const std::string& name, std::string& head, void* into, uint64_t bytes) const;

 private:
  void read_directory();
  std::string bytes_at(uint64_t place, uint64_t count) const;

  File file_;
  std::map<std::string, Member> members_;
};

}  // namespace pocketllm
