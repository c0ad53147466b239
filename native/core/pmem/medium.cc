#include "core/pmem/medium.h"

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>

namespace paste {
namespace {

struct FileSystem {
  uint32_t magic;  // statfs(2), linux/magic.h
  const char* name;
  Medium medium;
};

// ramfs and tmpfs live in memory only; everything else is taken for a disk, whose domain promises nothing before fdatasync.
constexpr FileSystem kFileSystems[] = {
    {0x01021994, "tmpfs", Medium::kMemory},     {0x958458f6, "hugetlbfs", Medium::kMemory},
    {0x858458f6, "ramfs", Medium::kMemory},     {0xef53, "ext4", Medium::kDisk},
    {0x58465342, "xfs", Medium::kDisk},         {0x9123683e, "btrfs", Medium::kDisk},
    {0x794c7630, "overlay", Medium::kDisk},     {0xf2f52010, "f2fs", Medium::kDisk},
    {0x2fc12fc1, "zfs", Medium::kDisk},         {0x6969, "nfs", Medium::kDisk},
    {0x65735546, "fuse", Medium::kDisk},        {0x01021997, "9p", Medium::kDisk},
    {0xff534d42, "cifs", Medium::kDisk},        {0xfe534d42, "smb2", Medium::kDisk},
    {0xca451a4e, "bcachefs", Medium::kDisk},    {0x4d44, "vfat", Medium::kDisk},
    {0x2011bab0, "exfat", Medium::kDisk},       {0x6a656a62, "virtiofs", Medium::kDisk},
};

bool read_number(const std::string& path, uint64_t* value) {
  FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  const bool read = std::fscanf(file, "%" SCNu64, value) == 1;
  std::fclose(file);
  return read;
}

// Documentation/ABI/testing/sysfs-bus-dax: the node's size and alignment; fstat says 0 for a character device.
Status detect_device(const struct stat& node, const std::string& path, MediumInfo* info) {
  const std::string sysfs =
      "/sys/dev/char/" + std::to_string(major(node.st_rdev)) + ":" + std::to_string(minor(node.st_rdev));
  char target[512];
  const ssize_t length = readlink((sysfs + "/subsystem").c_str(), target, sizeof target - 1);
  const std::string subsystem(target, length > 0 ? static_cast<size_t>(length) : 0);
  if (!subsystem.ends_with("/dax"))
    return {Code::kStore, path + " is a character device but not device-DAX: name a file or a /dev/daxX.Y node"};
  if (!read_number(sysfs + "/size", &info->size_bytes) || info->size_bytes == 0)
    return {Code::kStore, path + ": the size of the device is not in " + sysfs + "/size"};
  if (!read_number(sysfs + "/align", &info->page_bytes) && !read_number(sysfs + "/dax_region/align", &info->page_bytes))
    info->page_bytes = 2u << 20;
  info->medium = Medium::kDeviceDax;
  info->file_system = "devdax";
  info->free_bytes = info->size_bytes;
  return {};
}

}  // namespace

Status detect_medium(int descriptor, const std::string& path, MediumInfo* info) {
  struct stat file;
  struct statfs system;
  if (fstat(descriptor, &file) != 0) return {Code::kStore, path + ": " + std::strerror(errno)};
  if (S_ISCHR(file.st_mode)) return detect_device(file, path, info);
  if (!S_ISREG(file.st_mode)) {
    const char* what = S_ISDIR(file.st_mode) ? "a folder" : S_ISBLK(file.st_mode) ? "a block device" : "no regular file";
    return {Code::kStore, path + " is " + what + ": name a file, or a device-DAX node such as /dev/dax0.0"};
  }
  if (fstatfs(descriptor, &system) != 0) return {Code::kStore, path + ": " + std::strerror(errno)};
  const auto magic = static_cast<uint32_t>(system.f_type);
  info->medium = Medium::kDisk;
  char unnamed[16];
  std::snprintf(unnamed, sizeof unnamed, "0x%08x", magic);
  info->file_system = unnamed;
  for (const FileSystem& known : kFileSystems)
    if (known.magic == magic) {
      info->file_system = known.name;
      info->medium = known.medium;
    }
  info->size_bytes = static_cast<uint64_t>(file.st_size);
  const bool huge = info->file_system == "hugetlbfs";
  info->page_bytes = huge ? static_cast<uint64_t>(system.f_bsize) : static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  // tmpfs and hugetlbfs without a limit report no blocks at all.
  const bool limited = system.f_blocks != 0;
  info->free_bytes = limited ? static_cast<uint64_t>(system.f_bavail) * static_cast<uint64_t>(system.f_bsize) : ~0ull;
  return {};
}

}  // namespace paste
