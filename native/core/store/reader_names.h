// What ids mean, as far as the records read so far have said it.
#pragma once

#include <unordered_map>

#include "core/index/run.h"
#include "core/store/reader.h"

namespace paste {

class ReaderNames {
 public:
  // A checked kPort or kRule record. Ids are unique in a store, so the first description of one stands.
  void learn(const layout::RecordHeader& header, const uint8_t* payload);
  // What an index run says an id is called; a description that is read later says more.
  void learn(const IndexName& name);
  void clear();

  std::vector<Reader::PortName> ports() const;
  std::vector<Reader::RuleName> rules() const;
  // Null while nothing was said about the id.
  const std::string* port(uint32_t id) const;
  const std::string* rule(uint32_t id) const;
  uint64_t version() const { return version_; }

 private:
  std::unordered_map<uint32_t, Reader::PortName> ports_;
  std::unordered_map<uint32_t, Reader::RuleName> rules_;
  uint64_t version_ = 0;
};

}  // namespace paste
