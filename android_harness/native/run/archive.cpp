#include "run/archive.h"

#include <algorithm>

#include "host/crc32.h"
#include "host/little_endian.h"
#include "run/arrays.h"

namespace pocketllm {
namespace {

constexpr uint32_t LOCAL = 0x04034b50, CENTRAL = 0x02014b50, END = 0x06054b50;
constexpr uint32_t END_64 = 0x06064b50, LOCATOR_64 = 0x07064b50;
constexpr uint32_t FULL_32 = 0xFFFFFFFF;
constexpr uint16_t FULL_16 = 0xFFFF, VERSION = 45, ZIP64 = 1;  // 45: with ZIP64
constexpr uint16_t DATE = 0x0021;  // 1980-01-01: a file of the same values has the same bytes
constexpr uint64_t MOST_DIRECTORY = 1 << 28;
constexpr size_t LOCAL_BYTES = 30, CENTRAL_BYTES = 46, END_BYTES = 22;

template <typename Number>
std::string& operator<<(std::string& data, Number value) {
  append_number(data, value);
  return data;
}

template <typename Number>
Number checked_at(const std::string& data, size_t place) {
  if (place + sizeof(Number) > data.size()) throw Unreadable("it is cut short");
  return number_at<Number>(data.data(), place);
}

}  // namespace

void ArchiveWriter::write(const std::string& data) {
  file_.write(data);
  place_ += data.size();
}

void ArchiveWriter::add(const std::string& name, const std::string& head, const void* data,
                        uint64_t bytes) {
  Member member{name, crc32(data, bytes, crc32(head)), head.size() + bytes, place_};
  std::string local;
  local << LOCAL << VERSION << uint16_t{0} << uint16_t{0} << uint16_t{0} << DATE << member.crc;
  local << FULL_32 << FULL_32 << static_cast<uint16_t>(name.size()) << uint16_t{20};
  local += name;
  local << ZIP64 << uint16_t{16} << member.bytes << member.bytes;
  write(local + head);
  file_.write(data, bytes);
  place_ += bytes;
  members_.push_back(member);
}

void ArchiveWriter::finish() {
  const uint64_t begin = place_;
  for (const Member& member : members_) {
    std::string extra, central;
    const bool is_large = member.bytes >= FULL_32, is_far = member.place >= FULL_32;
    if (is_large) extra << member.bytes << member.bytes;
    if (is_far) extra << member.place;
    const uint32_t size = is_large ? FULL_32 : static_cast<uint32_t>(member.bytes);
    const uint32_t place = is_far ? FULL_32 : static_cast<uint32_t>(member.place);
    const auto extra_bytes = static_cast<uint16_t>(extra.empty() ? 0 : 4 + extra.size());
    central << CENTRAL << uint16_t{VERSION | 3 << 8} << VERSION << uint16_t{0} << uint16_t{0};
    central << uint16_t{0} << DATE << member.crc << size << size;
    central << static_cast<uint16_t>(member.name.size()) << extra_bytes << uint16_t{0};
    central << uint16_t{0} << uint16_t{0} << uint32_t{0600u << 16} << place;
    central += member.name;
    if (extra_bytes) {
      central << ZIP64 << static_cast<uint16_t>(extra.size());
      central += extra;
    }
    write(central);
  }
  const uint64_t bytes = place_ - begin, count = members_.size();
  const bool is_64 = count >= FULL_16 || bytes >= FULL_32 || begin >= FULL_32;
  std::string end;
  if (is_64) {
    end << END_64 << uint64_t{44} << VERSION << VERSION << uint32_t{0} << uint32_t{0} << count;
    end << count << bytes << begin << LOCATOR_64 << uint32_t{0} << place_ << uint32_t{1};
  }
  const auto short_count = static_cast<uint16_t>(std::min<uint64_t>(count, FULL_16));
  end << END << uint16_t{0} << uint16_t{0} << short_count << short_count;
  end << static_cast<uint32_t>(std::min<uint64_t>(bytes, FULL_32));
  end << static_cast<uint32_t>(std::min<uint64_t>(begin, FULL_32)) << uint16_t{0};
  write(end);
}

ArchiveReader::ArchiveReader(const std::string& path) : file_([&] {
  try {
    return File::open_to_read(path);
  } catch (const std::system_error& error) {
    throw Unreadable(error.code().message());
  }
}()) {
  try {
    read_directory();
  } catch (const std::system_error& error) {
    throw Unreadable(error.code().message());
  }
}

std::string ArchiveReader::bytes_at(uint64_t place, uint64_t count) const {
  if (count > MOST_DIRECTORY || place > file_.size() || count > file_.size() - place)
    throw Unreadable("it is cut short");
  std::string data(count, '\0');
  if (!file_.read_at(data.data(), count, place)) throw Unreadable("it is cut short");
  return data;
}

void ArchiveReader::read_directory() {
  const uint64_t size = file_.size();
  if (size < END_BYTES) throw Unreadable("it is no ZIP archive");
  const std::string end = bytes_at(size - END_BYTES, END_BYTES);
  if (checked_at<uint32_t>(end, 0) != END) throw Unreadable("it does not end as a ZIP archive");
  uint64_t count = checked_at<uint16_t>(end, 10), bytes = checked_at<uint32_t>(end, 12);
  uint64_t begin = checked_at<uint32_t>(end, 16);
  if (count == FULL_16 || bytes == FULL_32 || begin == FULL_32) {
    if (size < END_BYTES + 20) throw Unreadable("it is cut short");
    const std::string locator = bytes_at(size - END_BYTES - 20, 20);
    if (checked_at<uint32_t>(locator, 0) == LOCATOR_64) {
      const std::string large = bytes_at(checked_at<uint64_t>(locator, 8), 56);
      if (checked_at<uint32_t>(large, 0) != END_64) throw Unreadable("its end is damaged");
      count = checked_at<uint64_t>(large, 32);
      bytes = checked_at<uint64_t>(large, 40);
      begin = checked_at<uint64_t>(large, 48);
    }
  }
  const std::string directory = bytes_at(begin, bytes);
  size_t at = 0;
  for (uint64_t i = 0; i < count; i++) {
    if (checked_at<uint32_t>(directory, at) != CENTRAL) throw Unreadable("its directory is damaged");
    if (checked_at<uint16_t>(directory, at + 10)) throw Unreadable("a member is compressed");
    Member member{checked_at<uint32_t>(directory, at + 24), checked_at<uint32_t>(directory, at + 42),
                  checked_at<uint32_t>(directory, at + 16)};
    const size_t name = checked_at<uint16_t>(directory, at + 28);
    const size_t extra = checked_at<uint16_t>(directory, at + 30);
    const size_t comment = checked_at<uint16_t>(directory, at + 32);
    const size_t names = at + CENTRAL_BYTES, extras = names + name;
    if (extras + extra + comment > directory.size()) throw Unreadable("its directory is damaged");
    for (size_t field = extras; field + 4 <= extras + extra;) {
      size_t value = field + 4;
      if (checked_at<uint16_t>(directory, field) == ZIP64) {
        if (member.bytes == FULL_32) {
          member.bytes = checked_at<uint64_t>(directory, value);
          value += 16;  // the other one is the compressed size
        }
        if (member.place == FULL_32) member.place = checked_at<uint64_t>(directory, value);
      }
      field += 4 + size_t{checked_at<uint16_t>(directory, field + 2)};
    }
    members_[directory.substr(names, name)] = member;
    at = extras + extra + comment;
  }
}

void ArchiveReader::read(const std::string& name, std::string& head, void* into,
                         uint64_t bytes) const {
  const auto entry = members_.find(name);
  if (entry == members_.end()) throw Unreadable("it lacks " + name);
  const Member& member = entry->second;
  if (member.bytes != head.size() + bytes) throw Unreadable(name + " has another size");
  try {
    const std::string local = bytes_at(member.place, LOCAL_BYTES);
    if (checked_at<uint32_t>(local, 0) != LOCAL) throw Unreadable(name + " is damaged");
    const uint64_t place = member.place + LOCAL_BYTES + checked_at<uint16_t>(local, 26) +
                           checked_at<uint16_t>(local, 28);
    if (!file_.read_at(head.data(), head.size(), place) ||
        !file_.read_at(into, bytes, place + head.size()))
      throw Unreadable("it is cut short");
  } catch (const std::system_error& error) {
    throw Unreadable(error.code().message());
  }
  if (crc32(into, bytes, crc32(head)) != member.crc) throw Unreadable(name + ": bad CRC-32");
}

}  // namespace pocketllm
