// The chain over a capture file's records, computed again from the file: pcapng and classic pcap as an export writes them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/export/record_chain.h"

namespace paste {

class ChainCheck {
 public:
  struct Interface {
    std::string name, description;
    uint32_t link_type = 0;
    bool operator==(const Interface&) const = default;
  };
  // A packet id that is not above the one before it from the same source.
  struct Disorder {
    uint64_t record = 0;  // from 1 in this file; 0 = none
    uint64_t id = 0, before = 0;
  };

  // `interfaces`: those that are known, in the chain's order; others that the file names are added.
  ChainCheck(const Digest& before, uint64_t stride, std::vector<Interface> interfaces)
      : chain_(before, stride), interfaces_(std::move(interfaces)) {}

  // The file's next bytes, however many. kCapture where it is no such file.
  Status feed(const uint8_t* bytes, size_t size);
  // kCapture when the file ends within a block.
  Status finish() const;

  const ChainPart& part() const { return chain_.part(); }
  const std::vector<Interface>& interfaces() const { return interfaces_; }
  const Disorder& disorder() const { return disorder_; }

 private:
  enum class Format : uint8_t { kUnknown, kPcapng, kPcap, kNsecPcap };
  struct Options;

  // Takes one whole block or record from the front; 0: more bytes are needed.
  size_t take(const uint8_t* bytes, size_t size, Status* status);
  size_t take_head(const uint8_t* bytes, size_t size, Status* status);
  size_t take_block(const uint8_t* bytes, size_t size, Status* status);
  size_t take_record(const uint8_t* bytes, size_t size, Status* status);
  bool take_interface(const uint8_t* body, uint32_t length);
  bool take_packet(const uint8_t* body, uint32_t length);
  uint32_t know(Interface interface);
  Status damaged(const std::string& what) const;

  RecordChain chain_;
  std::vector<Interface> interfaces_;
  std::vector<uint32_t> file_interfaces_;  // of the file: their numbers in interfaces_
  std::vector<uint64_t> last_ids_;         // by description, through `sources_`
  std::vector<std::string> sources_;
  std::vector<uint32_t> source_of_;        // of each interface of the file
  Disorder disorder_;
  Format format_ = Format::kUnknown;
  std::vector<uint8_t> pending_;
  uint64_t offset_ = 0;
};

}  // namespace paste
