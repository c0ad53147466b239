#include "core/pmem/region.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>

#include "core/base/huge_pages.h"
#include "core/pmem/cpu_domain.h"
#include "core/pmem/disk_region.h"
#include "core/pmem/mapped_region.h"
#include "core/pmem/medium.h"
#include "core/store/layout.h"
#include "core/tree/layout.h"

namespace paste {
namespace {

Code code_of(int reason) {
  switch (reason) {
    case EACCES:
    case EPERM:
    case EROFS: return Code::kPrivilege;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EFBIG: return Code::kResource;
    default: return Code::kStore;
  }
}

Status failed(const std::string& what, int reason) {
  const char* remedy = reason == EFBIG ? ": raise the limit (ulimit -f), or choose a smaller size" : "";
  return {code_of(reason), what + ": " + std::strerror(reason) + remedy};
}

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

// The process that holds an flock on this file, from /proc/locks ("1: FLOCK  ADVISORY  WRITE pid major:minor:inode 0 EOF");
// 0 when it is not told, as for a holder in another PID namespace. btrfs and overlay report another device than fstat does, so
// the inode alone decides where the device does not match any line.
int lock_holder(int descriptor) {
  struct stat file;
  FILE* locks = std::fopen("/proc/locks", "re");
  if (locks == nullptr || fstat(descriptor, &file) != 0) {
    if (locks != nullptr) std::fclose(locks);
    return 0;
  }
  char line[256];
  int exact = 0, by_inode = 0;
  while (std::fgets(line, sizeof line, locks) != nullptr) {
    int pid = 0;
    unsigned device_major = 0, device_minor = 0;
    uint64_t inode = 0;
    if (std::sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%" SCNu64, &pid, &device_major, &device_minor, &inode) != 4) continue;
    if (inode != file.st_ino) continue;
    by_inode = pid;
    if (device_major == major(file.st_dev) && device_minor == minor(file.st_dev)) exact = pid;
  }
  std::fclose(locks);
  return exact > 0 ? exact : by_inode > 0 ? by_inode : 0;
}

Status lock(int descriptor, const std::string& path) {
  while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return failed(path + ": cannot lock", errno);
    const int holder = lock_holder(descriptor);
    return {Code::kStore, path + " is in use" + (holder > 0 ? " by process " + std::to_string(holder) : "") +
                              ": a store has one writer; stop that one first"};
  }
  return {};
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// The file's name must be as durable as the file.
Status sync_folder(const std::string& path) {
  const Descriptor folder(open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that has no such sync, as tmpfs once.
  if (folder.get() < 0 || (fsync(folder.get()) != 0 && errno != EINVAL))
    return failed(folder_of(path) + ": cannot make the new file's name durable", errno);
  return {};
}

Status write_zeros(int descriptor, const std::string& path, uint64_t size_bytes) {
  static constexpr size_t kChunk = 1u << 20;
  const std::unique_ptr<uint8_t[]> zeros = std::make_unique<uint8_t[]>(kChunk);
  for (uint64_t at = 0; at < size_bytes;) {
    const ssize_t written =
        pwrite(descriptor, zeros.get(), std::min<uint64_t>(kChunk, size_bytes - at), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return failed(path + ": reserving the space", written < 0 ? errno : ENOSPC);
    at += static_cast<uint64_t>(written);
  }
  return {};
}

// A tmpfs that was not mounted for huge pages gives small ones: making those takes longer, and each process that writes or reads the
// store faults on each of them.
void reserve_huge_pages(int descriptor, uint64_t size_bytes) {
  constexpr uint32_t kRefusalsMax = 8;  // in a row: there are none left, and each try looks for some
  if (ftruncate(descriptor, static_cast<off_t>(size_bytes)) != 0) return;
  void* const mapped = map_at_huge_page(size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor);
  if (mapped == MAP_FAILED) return;
  auto* const memory = static_cast<uint8_t*>(mapped);
  uint32_t refusals = 0;
  for (uint64_t at = 0; at + kHugePageBytes <= size_bytes && refusals < kRefusalsMax; at += kHugePageBytes)
    refusals = make_huge_page(descriptor, at, memory + at) ? 0 : refusals + 1;
  munmap(mapped, size_bytes);
}

Status reserve(int descriptor, const std::string& path, uint64_t size_bytes, bool sparse) {
  const auto size = static_cast<off_t>(size_bytes);
  int result;
  do result = sparse ? ftruncate(descriptor, size) : fallocate(descriptor, 0, 0, size);
  while (result != 0 && errno == EINTR);
  if (result == 0) return {};
  if (!sparse && errno == EOPNOTSUPP) return write_zeros(descriptor, path, size_bytes);  // zfs, nfs before 4.2, ramfs
  return failed(path + ": cannot " + (sparse ? "set the size to " : "reserve ") + std::to_string(size_bytes) + " bytes", errno);
}

Status fill_new_file(int descriptor, const std::string& path, const Region::CreateOptions& options) {
  MediumInfo info;
  Status status = detect_medium(descriptor, path, &info);
  if (!status.ok()) return status;
  if (options.size_bytes == 0 || options.size_bytes > INT64_MAX - info.page_bytes)
    return {Code::kUsage, path + ": a size of " + std::to_string(options.size_bytes) + " bytes cannot be: name a larger one"};
  const uint64_t size = (options.size_bytes + info.page_bytes - 1) / info.page_bytes * info.page_bytes;
  if (!options.sparse && size > info.free_bytes)
    return {Code::kResource, path + ": " + std::to_string(size) + " bytes are needed and " + std::to_string(info.free_bytes) +
                                 " are free on this " + info.file_system + ": choose a smaller size or another place"};
  if (!options.sparse && info.medium == Medium::kMemory && info.page_bytes < kHugePageBytes) reserve_huge_pages(descriptor, size);
  status = reserve(descriptor, path, size, options.sparse);
  if (!status.ok()) return status;
  if (fsync(descriptor) != 0 && errno != EINVAL) return failed(path + ": fsync", errno);
  return sync_folder(path);
}

// A device-DAX node is zeroed, so that no record of a former life can pass for one of the new store's.
Status clear_device(const std::string& path, const Region::CreateOptions& options) {
  const Descriptor device(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (device.get() < 0) return failed(path + ": cannot open the device", errno);
  MediumInfo info;
  Status status = detect_medium(device.get(), path, &info);
  if (status.ok()) status = lock(device.get(), path);
  if (!status.ok()) return status;
  if (options.size_bytes > info.size_bytes)
    return {Code::kResource, path + ": " + std::to_string(options.size_bytes) + " bytes are needed and the device has " +
                                 std::to_string(info.size_bytes)};
  std::unique_ptr<Domain> domain;
  status = make_cpu_domain(Medium::kDeviceDax, cpu_features(), &domain);
  if (!status.ok()) return status;
  Mapping mapping(dup(device.get()), path, info);
  status = mapping.map(true);
  if (!status.ok()) return status;
  for (const uint64_t magic : {layout::kMagic, tree::kMagic})
    if (!options.replace && std::memcmp(mapping.base(), &magic, sizeof magic) == 0)
      return {Code::kStore, path + " holds a store or a tree already: ask for replacement to lose it"};
  alignas(64) static constexpr uint8_t kZeros[4096] = {};
  for (uint64_t at = 0; at < info.size_bytes; at += sizeof kZeros)
    domain->stream(mapping.base() + at, kZeros, sizeof kZeros / 64);
  domain->fence();
  return {};
}

}  // namespace

Status Region::create(const std::string& path, const CreateOptions& options) {
  struct stat file;
  if (stat(path.c_str(), &file) == 0) {
    if (S_ISCHR(file.st_mode)) return clear_device(path, options);
    if (S_ISDIR(file.st_mode)) return {Code::kStore, path + " is a folder: name the file to create in it"};
    return {Code::kStore, path + " exists: a store never overwrites a file; remove it or choose another name"};
  }
  const Descriptor created(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options.mode));
  if (created.get() < 0) return failed(path + ": cannot create the file", errno);
  const Status status = fill_new_file(created.get(), path, options);
  if (!status.ok()) unlink(path.c_str());
  return status;
}

Status Region::open(const std::string& path, Access access, std::unique_ptr<Region>* region) {
  const bool writes = access == Access::kWrite;
  // O_NONBLOCK: a FIFO in the store's place must not hold us up.
  Descriptor file(::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0 && errno == EISDIR) return {Code::kStore, path + " is a folder: name the store's file"};
  if (file.get() < 0) {
    const Status refusal = failed(path + ": cannot open the store", errno);
    if (refusal.code() != Code::kPrivilege) return refusal;
    return {refusal.code(), refusal.message() + ": act as its owner, or have its daemon started with --group"};
  }
  MediumInfo info;
  Status status = detect_medium(file.get(), path, &info);
  if (!status.ok()) return status;
  if (writes && !(status = lock(file.get(), path)).ok()) return status;
  if (info.size_bytes == 0) return {Code::kStore, path + " is empty: it is no store (create one first)"};
  auto mapping = std::make_unique<Mapping>(file.release(), path, info);
  if (!(status = mapping->map(writes)).ok()) return status;
  const Medium medium = mapping->info().medium;
  if (writes && medium == Medium::kDisk) {
    *region = std::make_unique<DiskRegion>(std::move(mapping));
    return {};
  }
  std::unique_ptr<Domain> domain;
  if (writes && !(status = make_cpu_domain(medium, cpu_features(), &domain)).ok()) return status;
  *region = std::make_unique<MappedRegion>(std::move(mapping), std::move(domain));
  return {};
}

}  // namespace paste
