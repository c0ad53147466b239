// Looks at crash images: recovers them with the real recovery, reads them with the real reader.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/store/reader.h"

namespace paste::test {

// A file in memory that images are laid into for the reader, which opens paths.
class ImageFile {
 public:
  explicit ImageFile(uint64_t size_bytes);
  ~ImageFile();
  ImageFile(const ImageFile&) = delete;
  ImageFile& operator=(const ImageFile&) = delete;
  // Every record of a store, events too, in the reader's order.
  Status read(const std::vector<uint8_t>& image, ReadBatch* batch);

 private:
  int descriptor_;
  std::string path_;
};

// Takes the heartbeat out of an image: what is found long after the writer died.
void kill_writer(std::vector<uint8_t>& image);

// Of the records that were returned, those marked in place whose buffer block is free, given to somebody else or not held.
std::vector<std::string> unowned_buffers(const std::vector<uint8_t>& image, const ReadBatch& returned);

// What is wrong with the runs of the image's index, one sentence each: torn ones, and records of blocks that are there which a run
// that covers them does not find. `runs` is increased by how many there are.
std::vector<std::string> wrong_runs(const std::vector<uint8_t>& image, uint64_t* runs);

// Whether two images differ in anything but superblocks and live page; the offset of the first difference, or ~0.
uint64_t first_difference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b);

// Gives every record that a block's former life left behind the checksum of the present life: what a store would be that forgot to
// seed its checksums with the serial, or a recovery that did not look.
void forge_stale_records(std::vector<uint8_t>& image);

}  // namespace paste::test
